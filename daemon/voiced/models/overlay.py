"""Engine overlays: the packages of an engine family, in a folder of their own, first on its workers' path only.

Families whose packages pin what others must not get live here, so that no engine can break another, nor the main
environment. A family's lock is package data (`overlays/FAMILY.lock`); `voiced.models.overlay_install` installs it.
This module only reads: cheap, synchronous, from any thread; it imports neither pip nor torch.
"""

import hashlib
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import msgspec

from voiced.models.catalogue import CATALOGUE
from voiced_ipc.errors import EngineLoadFailed

LOCKS = Path(__file__).parent / "overlays"
"""The locks that come with voiced."""

MANIFEST = "voiced-overlay.json"
"""Name of the file in an overlay that says what it was made for."""

MAIN_REMEDY = "`pip install 'voiced[models]'` brings them"

_MAIN_PACKAGES = ("torch", "transformers", "safetensors", "snac")
_MAX_MANIFEST_BYTES = 1 << 20


class Family(NamedTuple):
    """A family of engines."""

    about: str
    adapter: str
    """What of ours imports its packages: a module, or `module:function`."""
    disk_bytes: int = 0
    """What its overlay takes on disk, measured on Linux and rounded up; 0 = the main environment has its packages."""
    needs_torch: bool = True
    licences: tuple[str, ...] = ()
    """Licences of what it uses that ask for more than a notice; all of it runs in its workers' processes alone."""
    compiled: tuple[str, ...] = ()
    """Distributions that come as source and are compiled here."""
    open_models: tuple[str, ...] = ()
    """Its models that carry a name of the user's choice; the others are in the catalogue."""
    platform: str = ""
    """Pattern of the platform tags that it runs on; empty = any."""

    def runs_on(self, platform: str) -> bool:
        """Return whether a platform can run it.

        Args:
            platform: As `sysconfig.get_platform` tells.
        """
        return not self.platform or fnmatch(platform, self.platform)

    @property
    def is_main(self) -> bool:
        """Whether the main environment has its packages."""
        return not self.disk_bytes


_MB = 1_000_000

FAMILIES: dict[str, Family] = {
    "chatterbox": Family("Chatterbox, clones voices, English", "voiced.engines.chatterbox", 600 * _MB),
    "kokoro": Family(
        "Kokoro 82M, six languages",
        "voiced.engines.kokoro_model:network",
        1 * _MB,
        licences=("espeak-ng: GPL-3.0-or-later",),
    ),
    "maya1": Family("Maya1 3B, voices from a description", "voiced.engines.maya1"),
    "maya1-gguf": Family(
        "Maya1 as a GGUF file, by llama.cpp",
        "voiced.engines.maya1_gguf",
        100 * _MB,
        compiled=("llama-cpp-python",),
    ),
    "openaudio": Family(
        "OpenAudio S1-mini, clones voices, 14 languages", "voiced.engines.openaudio", 10 * _MB
    ),
    "piper": Family(
        "Piper, small and fast voices for a CPU",
        "voiced.engines.piper",
        150 * _MB,
        needs_torch=False,
        licences=("piper-tts: GPL-3.0-or-later",),
        open_models=("piper:<voice>",),
    ),
    "qwen3-tts": Family(
        "Qwen3-TTS, clones voices, ten languages", "voiced.engines.qwen3_load:import_upstream", 100 * _MB
    ),
    "qwen3-mlx": Family(
        "Qwen3-TTS on Apple's chips, by MLX",
        "voiced.engines.qwen3_mlx",
        300 * _MB,
        platform="macosx-*-arm64",
    ),
    "vits": Family(
        "MMS/VITS, over a thousand languages", "voiced.engines.vits", open_models=("mms:<language>",)
    ),
}
"""Every family that an engine of the worker belongs to; the sizes are checked by a test where overlays are there."""


def models_of(family: str) -> tuple[str, ...]:
    """Return the ids of the models that a family speaks with; `<name>` stands for one of the user's choice."""
    listed = (spec.model for spec in CATALOGUE.values() if family in (spec.family, spec.engine))
    return (*listed, *FAMILIES[family].open_models)


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution in an overlay."""

    name: str
    version: str
    licence: str = ""
    """As its own metadata names it; empty = it names none."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an overlay was made for, and of what."""

    family: str
    python: str
    torch: str
    """Version that was there; empty = none."""
    platform: str
    lock_sha256: str
    files: int
    """How many, without what Python compiles beside them."""
    bytes: int
    """Of these files."""
    packages: tuple[Package, ...]
    installed: str
    """When, in UTC."""


class Here(NamedTuple):
    """This interpreter, as far as an overlay depends on it."""

    python: str
    """Such as `3.11`."""
    torch: str
    """Such as `2.13`; empty = none."""
    platform: str
    """Such as `linux-x86_64`."""


class OverlayInfo(NamedTuple):
    """What is known of a family on this computer."""

    family: str
    about: str
    models: tuple[str, ...]
    licences: tuple[str, ...]
    is_main: bool
    is_installed: bool
    is_ready: bool
    """Its workers can start."""
    problem: str
    """Why they cannot, and what to do; empty = they can."""
    disk_bytes: int
    """What it takes on disk now."""
    needs_bytes: int
    """What it takes when it is installed, about."""
    packages: tuple[Package, ...]
    installed: str


def here() -> Here:
    """Return this interpreter's facts; torch's version is read, torch is not imported."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}"
    torch = ".".join(_version("torch").split("+")[0].split(".")[:2])
    return Here(python, torch, sysconfig.get_platform())


def lock_sha256(lock: Path) -> str:
    """Return the SHA-256 of a lock, in hex."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def mismatch(family: str, manifest: Manifest, found: Here, lock: str, *, needs_torch: bool) -> str:
    """Return why an overlay does not fit this interpreter, and what to do; empty = it fits.

    Args:
        family: Whose overlay.
        manifest: What it was made for.
        found: What is here.
        lock: SHA-256 of the lock that is valid now.
        needs_torch: Whether torch matters to the family.
    """
    remedy = f"`voiced engine install {family} --force`"
    if manifest.family != family:
        return f"the folder of {family} holds the packages of {manifest.family}: {remedy}"
    if manifest.platform != found.platform:
        return (
            f"the packages of {family} were made for {manifest.platform}, here is {found.platform}: {remedy}"
        )
    if manifest.python != found.python or (needs_torch and manifest.torch != found.torch):
        if needs_torch:
            made = f"Python {manifest.python} and torch {manifest.torch or '(none)'}"
            are = f"are {found.python} and {found.torch}"
        else:
            made, are = f"Python {manifest.python}", f"is {found.python}"
        return f"the packages of {family} were made for {made}, here {are}: {remedy}"
    if manifest.lock_sha256 != lock:
        return f"the packages of {family} are not those that this version of voiced asks for: {remedy}"
    return ""


def is_counted(relative: Path) -> bool:
    """Return whether a file of an overlay counts as one of its own: Python adds and renews what it compiles."""
    return "__pycache__" not in relative.parts and relative != Path(MANIFEST)


class Overlays:
    """The overlays of this user.

    Args:
        folder: Holds a folder for each family.
        families: Which there are.
        locks: Folder of their locks.
        look: Gives this interpreter's facts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        families: Mapping[str, Family] = FAMILIES,
        locks: Path = LOCKS,
        look: Callable[[], Here] = here,
    ) -> None:
        self.folder = folder
        self.families = families
        self.look = look
        self._locks = locks

    def path(self, family: str) -> Path | None:
        """Return the folder that goes first on the path of a family's worker; None = the main environment has all.

        Raises:
            EngineLoadFailed: If it is not installed or does not fit this interpreter; the message says what to do.
        """
        if family not in self.families:
            raise EngineLoadFailed(
                f"there is no engine family {family!r}: `voiced engine list` shows which there are"
            )
        problem = self.problem(family)
        if problem:
            raise EngineLoadFailed(problem)
        return None if self.families[family].is_main else self.folder / family

    def problem(self, family: str) -> str:
        """Return why a known family's workers cannot start, and what to do; empty = they can, as far as is seen."""
        known = self.families[family]
        if known.is_main:
            missing = [name for name in _MAIN_PACKAGES if not _version(name)]
            return f"{family} needs {', '.join(missing)}: {MAIN_REMEDY}" if missing else ""
        found = self.look()
        if not known.runs_on(found.platform):
            return f"{family} runs on Apple's chips only, and this is {found.platform}"
        if known.needs_torch and not found.torch:
            return f"{family} needs torch: {MAIN_REMEDY.replace('them', 'it')}"
        manifest = self.manifest(family)
        if manifest is None:
            return f"the packages of {family} are not installed: `voiced engine install {family}`"
        lock = lock_sha256(self.lock(family))
        return mismatch(family, manifest, found, lock, needs_torch=known.needs_torch)

    def manifest(self, family: str) -> Manifest | None:
        """Return what an overlay says of itself; None = there is none, or it cannot be read."""
        try:
            with (self.folder / family / MANIFEST).open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_MANIFEST_BYTES), type=Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def lock(self, family: str) -> Path:
        """Return the lock of a family."""
        return self._locks / f"{family}.lock"

    def list(self) -> list[OverlayInfo]:
        """Return what is known of every family; counts the files of those that are installed."""
        return [self.info(family) for family in self.families]

    def info(self, family: str) -> OverlayInfo:
        """Return what is known of one family; counts its files."""
        known = self.families[family]
        problem, manifest, size = self.problem(family), None, 0
        if not known.is_main:
            manifest = self.manifest(family)
            files, own_bytes, size = measure(self.folder / family)
            if manifest is not None and (files, own_bytes) != (manifest.files, manifest.bytes):
                problem = problem or (
                    f"the packages of {family} were changed: {files} files with {own_bytes} bytes, "
                    f"installed were {manifest.files} with {manifest.bytes}: "
                    f"`voiced engine install {family} --force`"
                )
        return OverlayInfo(
            family=family,
            about=known.about,
            models=models_of(family) if family in FAMILIES else known.open_models,
            licences=known.licences,
            is_main=known.is_main,
            is_installed=not problem if known.is_main else manifest is not None,
            is_ready=not problem,
            problem=problem,
            disk_bytes=size,
            needs_bytes=known.disk_bytes,
            packages=manifest.packages if manifest is not None else (),
            installed=manifest.installed if manifest is not None else "",
        )


def measure(folder: Path) -> tuple[int, int, int]:
    """Return the number of an overlay's own files, their bytes, and the bytes of all; zeros where it is not there."""
    files = own_bytes = all_bytes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                size = path.lstat().st_size
            except FileNotFoundError:  # pip is at work there
                continue
            all_bytes += size
            if is_counted(path.relative_to(folder)):
                files, own_bytes = files + 1, own_bytes + size
    return files, own_bytes, all_bytes


def _version(distribution: str) -> str:
    """The version of a distribution of the main environment; empty = it is not there."""
    from importlib.metadata import (
        PackageNotFoundError,
        version,
    )  # 10 ms that the daemon's start need not spend

    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
