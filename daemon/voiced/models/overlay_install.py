"""Installing engine overlays: pip in a child, into a folder aside that takes its place only when it is whole.

The packages come from wherever the user's own pip looks; nothing here names an index. Each must have a hash of the
family's lock, and a wheel: only what the family lists as compiled is built here (pip then also fetches what the
build needs, which no lock of ours names). Before the overlay is put in place it is looked through, and the family's
adapter is imported from it in a child, as a worker will. Blocking; for the command line, never in the daemon.
"""

import contextlib
import datetime
import importlib.util
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import msgspec

from voiced.errors import LibraryError
from voiced.files.atomic import fsync_folder, write_atomically
from voiced.files.pid_lock import LockHeld, PidLock
from voiced.models.overlay import (
    MAIN_REMEDY,
    MANIFEST,
    Family,
    Manifest,
    Overlays,
    Package,
    lock_sha256,
    measure,
)
from voiced.models.overlay_lock import Pin, is_forbidden, normal_name, parse_lock
from voiced.models.overlay_pip import PipProgress, Program, for_pip, pip_command, pip_trouble

_STAGING, _REMOVED = ".installing-", ".removed-"
_LOCK = ".lock"

_ROOM = 2.0
"""Free space needed, as a multiple of the installed size: downloads lie beside what is unpacked."""

_MEASURE_S = 1.0
"""Between two counts of what lies on the disk."""
_TRY_S = 600.0
"""Greatest wait for the import of an adapter, on a slow disk."""

_TRY = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
module, _, function = sys.argv[2].partition(":")
adapter = importlib.import_module(module)
if function:
    getattr(adapter, function)()
"""

_COMPILERS = ("c++", "g++", "clang++")

_OURS_ALONE = frozenset({"voiced", "voiced_ipc", "voiced_tray"})


class InstallStep(NamedTuple):
    """How far an installation is."""

    what: str
    """What is done now, in words."""
    done: int
    total: int
    """Steps: one for each package, and three that put the overlay in place."""
    bytes: int = 0
    """On the disk so far."""


def install(
    overlays: Overlays, family: str, *, environment: Mapping[str, str], is_forced: bool = False
) -> Generator[InstallStep]:
    """Install the overlay of a family while it is iterated; closing the iterator leaves nothing behind.

    Nothing happens where it is there and fits, unless `is_forced`.

    Args:
        overlays: Where.
        family: Which.
        environment: Of the children: a worker's on a CPU.
        is_forced: Whether one that is there and fits is made anew.

    Raises:
        LibraryError: If it cannot be installed, and what to do; an older overlay is as it was.
        OSError: If a folder cannot be written.
    """
    known = _known(overlays, family)
    pins = _pins(overlays.lock(family))
    with _alone(overlays.folder):
        _sweep(overlays.folder)
        if not is_forced and overlays.info(family).is_ready:
            return
        _check_machine(overlays, family, environment)
        staging = Path(tempfile.mkdtemp(prefix=f"{_STAGING}{family}-", dir=overlays.folder))
        try:
            yield from _fill(staging, overlays, family, pins, environment)
            _publish(staging / "packages", overlays.folder / family)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    total = len(pins) + 3
    yield InstallStep(f"{family} is installed: {known.about}", total, total)


def remove(overlays: Overlays, family: str) -> int:
    """Remove the overlay of a family; return the bytes that it took, 0 where there was none.

    A worker that runs keeps what it has loaded.

    Raises:
        LibraryError: If the family has no overlay, or another process is at work.
        OSError: If it cannot be removed.
    """
    _known(overlays, family)
    with _alone(overlays.folder):
        _sweep(overlays.folder)
        place = overlays.folder / family
        size = measure(place)[2]
        if place.is_dir():
            shutil.rmtree(_set_aside(place))
    return size


# -- before ------------------------------------------------------------------------------------------------


def _known(overlays: Overlays, family: str) -> Family:
    known = overlays.families.get(family)
    if known is None:
        names = ", ".join(name for name, one in overlays.families.items() if not one.is_main)
        raise LibraryError(f"there is no engine family {family!r}: there are {names}")
    if known.is_main:
        raise LibraryError(f"{family} has no packages of its own, it needs torch and others: {MAIN_REMEDY}")
    return known


def _pins(lock: Path) -> tuple[Pin, ...]:
    try:
        return parse_lock(lock.read_text())
    except (OSError, ValueError) as error:
        raise LibraryError(f"voiced itself is damaged, install it again: {lock}: {error}") from error


def _check_machine(overlays: Overlays, family: str, environment: Mapping[str, str]) -> None:
    known = overlays.families[family]
    if not known.runs_on(overlays.look().platform):
        raise LibraryError(overlays.problem(family))
    if importlib.util.find_spec("pip") is None:
        raise LibraryError(
            f"pip is not in the environment of voiced: `{sys.executable} -m ensurepip` brings it "
            f"(in an environment of uv: `uv pip install --python {sys.executable} pip`)"
        )
    if known.needs_torch and not overlays.look().torch:
        raise LibraryError(f"{family} needs torch first: {MAIN_REMEDY.replace('them', 'it')}")
    path = environment.get("PATH")
    compilers = (*environment.get("CXX", "").split()[:1], *_COMPILERS)
    if known.compiled and not any(shutil.which(name, path=path) for name in compilers):
        raise LibraryError(
            f"{family} compiles {', '.join(known.compiled)} here and there is no C++ compiler: install one "
            "(Debian: `apt install g++`, Fedora: `dnf install gcc-c++`, macOS: `xcode-select --install`)"
        )
    problem = room_problem(family, known.disk_bytes, shutil.disk_usage(overlays.folder).free)
    if problem:
        raise LibraryError(f"{problem} at {overlays.folder}")


def room_problem(family: str, needs_bytes: int, free_bytes: int) -> str:
    """Return what is wrong with the free space; empty = it will do."""
    wanted = int(needs_bytes * _ROOM)
    if free_bytes >= wanted:
        return ""
    return (
        f"{family} needs {wanted / 1e6:.0f} MB of free disk space while it is installed, "
        f"{free_bytes / 1e6:.0f} MB are free"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One installation at a time; the folder is made, for its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = PidLock(folder / _LOCK)
    except LockHeld as error:
        raise LibraryError(
            f"another `voiced engine` is at work (process {error.pid}): wait until it is done"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove what an installation that was killed left; the lock is held."""
    for left in folder.iterdir():
        if left.name.startswith((_STAGING, _REMOVED)):
            shutil.rmtree(left, ignore_errors=True)


# -- pip ---------------------------------------------------------------------------------------------------


def _fill(
    staging: Path, overlays: Overlays, family: str, pins: Sequence[Pin], environment: Mapping[str, str]
) -> Iterator[InstallStep]:
    """Put the packages into `staging/packages`, look them through, and write the manifest."""
    packages, known = staging / "packages", overlays.families[family]
    total = len(pins) + 3
    # pip unpacks into its temporary folder first: on the same disk moving from there costs nothing.
    (staging / "tmp").mkdir()
    pip_environment = for_pip(environment) | {"TMPDIR": str(staging / "tmp")}
    log = overlays.folder / f"{family}.log"
    progress, size, next_look = PipProgress(pins), 0, 0.0
    with Program(pip_command(overlays.lock(family), packages, known.compiled), pip_environment) as pip:
        for line in pip.lines():
            progress.read(line)
            if time.monotonic() >= next_look:
                size, next_look = measure(staging)[2], time.monotonic() + _MEASURE_S
            yield InstallStep(progress.what, progress.done, total, size)
    if pip.code != 0:
        _keep(log, pip.output)
        raise LibraryError(f"{family} was not installed: {pip_trouble(pip.output)}; all that pip said: {log}")
    size = measure(packages)[2]
    yield InstallStep("looking the packages through", len(pins) + 1, total, size)
    found = _look_through(packages, pins, family)
    step = InstallStep("trying them", len(pins) + 2, total, size)
    yield from _try_adapter(packages, known.adapter, environment, log, step)
    _write_manifest(packages, overlays, family, found)
    log.unlink(missing_ok=True)


# -- after -------------------------------------------------------------------------------------------------


def _look_through(packages: Path, pins: Sequence[Pin], family: str) -> tuple[Package, ...]:
    """Return what is in an overlay.

    Raises:
        LibraryError: If it is not what the lock names, or would take the place of what the worker has already.
    """
    found = {normal_name(package.name): package for package in _packages(packages)}
    versions = {(pin.name, pin.version) for pin in pins}
    faults = [f"{name} belongs to the main environment" for name in found if is_forbidden(name)]
    faults += [f"{name} is not in the lock" for name in found if name not in {pin.name for pin in pins}]
    faults += [
        f"{name} is {package.version}, which the lock does not name"
        for name, package in found.items()
        if (name, package.version) not in versions
    ]
    faults += [f"{pin.name} is missing" for pin in pins if not pin.marker and pin.name not in found]
    modules = {entry.name.partition(".")[0] for entry in packages.iterdir()}
    shadowed = modules & (sys.stdlib_module_names | _OURS_ALONE | {"torch", "numpy"})
    faults += [f"a module {name!r} would hide another of that name" for name in sorted(shadowed)]
    if faults:
        raise LibraryError(f"{family} was not installed, its packages cannot be used: {'; '.join(faults)}")
    return tuple(found[name] for name in sorted(found))


def _packages(folder: Path) -> Iterator[Package]:
    for distribution in distributions(path=[str(folder)]):
        facts = distribution.metadata
        classified = [
            words.rpartition(" :: ")[2]
            for words in facts.get_all("Classifier") or []
            if words.startswith("License :: ")
        ]
        named = (facts.get_all("License-Expression") or classified or facts.get_all("License") or [""])[0]
        # Some put the whole text of their licence there.
        first = (str(named).strip().splitlines() or [""])[0][:80]
        yield Package(name=facts["Name"], version=distribution.version, licence=first)


def _try_adapter(
    packages: Path, adapter: str, environment: Mapping[str, str], log: Path, step: InstallStep
) -> Iterator[InstallStep]:
    """Import the family's adapter as a worker does; what is imported gets compiled, so that the first load is quick."""
    end = time.monotonic() + _TRY_S
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with Program([sys.executable, "-P", "-c", _TRY, str(packages), adapter], kept) as trial:
        for _ in trial.lines():
            if time.monotonic() > end:
                raise LibraryError(
                    f"the packages of {adapter} hang while they are imported: nothing was installed"
                )
            yield step
    if trial.code != 0:
        _keep(log, trial.output)
        said = (trial.output.strip().splitlines() or [f"it ended with {trial.code}"])[-1]
        raise LibraryError(
            f"its packages do not work here, nothing was installed: {said}; all that was said: {log}"
        )


def _keep(log: Path, output: str) -> None:
    write_atomically(log, output.encode())


def _write_manifest(packages: Path, overlays: Overlays, family: str, found: tuple[Package, ...]) -> None:
    now = overlays.look()
    files, own_bytes, _ = measure(packages)
    manifest = Manifest(
        family=family,
        python=now.python,
        torch=now.torch,
        platform=now.platform,
        lock_sha256=lock_sha256(overlays.lock(family)),
        files=files,
        bytes=own_bytes,
        packages=found,
        installed=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    write_atomically(packages / MANIFEST, msgspec.json.encode(manifest))


def _publish(packages: Path, place: Path) -> None:
    """Give an overlay its place; an older one goes, and workers that run keep what they have loaded of it."""
    packages.chmod(0o700)
    os.sync()  # thousands of files: all at once is quicker than each
    older = _set_aside(place) if place.exists() else None
    try:
        packages.rename(place)
    except OSError:
        if older is not None:
            older.rename(place)
        raise
    fsync_folder(place.parent)
    if older is not None:
        shutil.rmtree(older, ignore_errors=True)


def _set_aside(place: Path) -> Path:
    aside = place.with_name(f"{_REMOVED}{place.name}-{os.urandom(4).hex()}")
    place.rename(aside)
    return aside
