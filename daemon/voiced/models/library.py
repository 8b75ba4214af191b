"""The model library: a folder for each installed model, which appears whole or not at all.

`<folder>/<id, ":" as "--">/voiced.json` is the manifest, `files` beside it is what the engine reads. A model is made
in a `.staging-` folder and published by a rename; one that is replaced waits under `.old-` for that moment. Whoever
installs holds the lock. Names with another dot in front (`.pulling`) are not the library's. Synchronous: the daemon
calls it in a thread, the command line directly. Never imports torch.
"""

import contextlib
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from voiced.errors import LibraryError
from voiced.files.atomic import fsync_folder
from voiced.files.names import printable
from voiced.files.pid_lock import LockHeld, PidLock
from voiced.models.catalogue import find_spec
from voiced.models.manifest import FILES, MANIFEST, Manifest, listed, read_manifest, verify, write_manifest
from voiced.models.spec import ModelSpec
from voiced_ipc.errors import ModelDamaged, ModelMissing, UnknownModel

logger = logging.getLogger(__name__)

_STAGING, _OLD, _GONE = ".staging-", ".old-", ".gone-"
_LOCK = ".lock"
_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?")


class Installed(NamedTuple):
    """A model whose files are here."""

    spec: ModelSpec
    folder: Path
    """What its engine is given: files alone."""
    manifest: Manifest
    size_bytes: int


class _Seen(NamedTuple):
    """A manifest as it was read last."""

    stamp: tuple[int, int, int]
    manifest: Manifest | None
    fault: str = ""


class Library:
    """The installed models below a folder.

    Args:
        folder: Made when the first model is installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._seen: dict[str, _Seen] = {}
        self._looking = threading.Lock()
        self._lock: PidLock | None = None
        self._lock_depth = 0

    # -- what is here ---------------------------------------------------------------------------------

    def installed(self) -> list[Installed]:
        """Return the models whose manifests can be read, by id; a stat for each where nothing has changed."""
        found = []
        for name in self._names():
            place, seen = self._look(name)
            spec = None if seen is None or seen.manifest is None else find_spec(seen.manifest.model)
            if seen is not None and seen.manifest is not None and spec is not None:
                found.append(_installed(spec, place, seen.manifest))
        return sorted(found, key=lambda one: one.spec.model)

    def damaged(self) -> dict[str, str]:
        """Return the models whose folders are here and cannot be used, and why; an embedded one needs no manifest."""
        looked = {_model_of(name): self._look(name)[1] for name in self._names()}
        faults = {model: seen.fault for model, seen in looked.items() if seen is not None and seen.fault}
        embedded = {model for model in faults if (spec := find_spec(model)) is not None and spec.is_embedded}
        return {model: fault for model, fault in faults.items() if model not in embedded}

    def find(self, model: str) -> Installed | None:
        """Return an installed model; None = its files are not here, or its manifest cannot be read."""
        spec = find_spec(model)
        if spec is None or spec.is_embedded:
            return None
        place, seen = self._look(folder_name(spec.model))
        return None if seen is None or seen.manifest is None else _installed(spec, place, seen.manifest)

    def check(self, model: str, *, deep: bool = False) -> Installed:
        """Return an installed model whose files are those that were installed. May hash for minutes.

        Args:
            model: Its id.
            deep: Hash every file, whatever its stats say.

        Raises:
            UnknownModel: If there is no such model.
            ModelMissing: If its files are not here, and how to get them.
            ModelDamaged: If they are not what was installed, and how to mend it.
        """
        spec = find_spec(model)
        if spec is None:
            raise UnknownModel(f"there is no model {printable(model)!r}; `voiced models --all` lists them")
        before = self._stamp(spec.model)
        while True:
            try:
                return self._checked(spec, deep=deep)
            except (ModelMissing, ModelDamaged):
                # A newer one may have taken its place under our eyes: half of it was read, half of the other.
                now = self._stamp(spec.model)
                if now == before:
                    raise
                before = now

    def _checked(self, spec: ModelSpec, *, deep: bool) -> Installed:
        place = next(filter(os.path.lexists, self._tries(folder_name(spec.model))), None)
        if place is None:
            raise ModelMissing(missing_text(spec))
        if not place.is_dir() or place.is_symlink():
            raise ModelDamaged(
                f"{printable(place)} is no folder of the library: remove it, then install {spec.model}"
            )
        manifest = read_manifest(place)
        if manifest.model != spec.model:
            raise ModelDamaged(_foreign(manifest.model, spec.model))
        return _installed(spec, place, verify(place, manifest, deep=deep))

    def size_of(self, model: str) -> int | None:
        """Return the bytes that a model takes on the disk, be it damaged or unknown to this version; None = none.

        Raises:
            UnknownModel: If it is no id of a model.
        """
        places = [place for place in self._places(model) if os.path.lexists(place)]
        return sum(map(_size, places)) if places else None

    # -- changes --------------------------------------------------------------------------------------

    def remove(self, model: str) -> int:
        """Remove a model and return the bytes that were freed; a worker that has it open is not disturbed.

        Raises:
            ModelMissing: If it is not here.
            OSError: If it cannot be removed; it is then still whole.
        """
        freed = self.size_of(model)
        if freed is None:
            raise ModelMissing(f"{printable(model)} is not installed; `voiced models` lists what is")
        for place in self._places(model):
            if os.path.lexists(place):
                gone = Path(tempfile.mkdtemp(prefix=_GONE, dir=self.folder))
                place.rename(gone / place.name)
                fsync_folder(self.folder)
                _delete(gone)
        return freed

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the library for an install; may be nested by its holder. For one thread.

        Raises:
            LibraryError: If another process installs; names its pid.
            OSError: If the folder cannot be made.
        """
        if not self._lock_depth:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._lock = PidLock(self.folder / _LOCK)
            except LockHeld as error:
                raise LibraryError(
                    f"another voiced (process {error.pid}) installs a model at this moment; "
                    "try again when it is done"
                ) from None
        self._lock_depth += 1
        try:
            yield
        finally:
            self._lock_depth -= 1
            if self._lock is not None and not self._lock_depth:
                self._lock.release()
                self._lock = None

    def sweep(self) -> int:
        """Put right what a crash has left behind, and return how much it was; the lock is held for it.

        Raises:
            LibraryError: If another process installs.
        """
        if not self.folder.is_dir():
            return 0
        swept = 0
        with self.lock():
            for entry in list(os.scandir(self.folder)):
                path = Path(entry.path)
                name = entry.name.removeprefix(_OLD)
                if entry.name.startswith(_OLD) and not os.path.lexists(self.folder / name):
                    # The crash came between the two renames: the old model is the whole one.
                    path.rename(self.folder / name)
                elif entry.name.startswith((_STAGING, _OLD, _GONE)):
                    _delete(path)
                else:
                    continue
                swept += 1
        return swept

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder of our own to make a model in, with an empty `files`; gone at the end unless published."""
        place = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.folder))
        try:
            (place / FILES).mkdir(mode=0o700)
            yield place
        finally:
            if os.path.lexists(place):
                _delete(place)

    def publish(self, staging: Path, manifest: Manifest) -> Installed:
        """Make a complete staging folder the model: the one way in which a model appears.

        After a crash the model is the old one or the new one, whole. The lock is held by the caller.

        Args:
            staging: From `staging`, its `files` complete.
            manifest: Of these files.

        Raises:
            OSError: If it cannot be done; an older one is as it was.
        """
        spec = find_spec(manifest.model)
        if spec is None:
            raise UnknownModel(f"there is no model {printable(manifest.model)!r}")
        _make_lasting(staging / FILES)
        write_manifest(staging, manifest)
        staging.chmod(0o700)
        final = self.folder / folder_name(spec.model)
        old = self.folder / f"{_OLD}{final.name}"
        if os.path.lexists(final):
            if os.path.lexists(old):
                _delete(old)
            final.rename(old)
        try:
            staging.rename(final)
        except OSError:
            if os.path.lexists(old):
                old.rename(final)
            raise
        fsync_folder(self.folder)
        _delete(old)
        return _installed(spec, final, manifest)

    # -- inside ---------------------------------------------------------------------------------------

    def _names(self) -> set[str]:
        """The folders of models, also of one that is being replaced at this moment."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as found:
            names = [entry.name.removeprefix(_OLD) for entry in found if entry.is_dir(follow_symlinks=False)]
            return {name for name in names if not name.startswith(".")}
        return set()

    def _places(self, model: str) -> tuple[Path, Path]:
        """Where a model lies, and where it waits while it is being replaced."""
        spec = find_spec(model)
        name = folder_name(spec.model if spec is not None else model)
        return self.folder / name, self.folder / f"{_OLD}{name}"

    def _tries(self, name: str) -> tuple[Path, Path, Path]:
        """Where to look for a model, one after the other: it may be about to be replaced, and then it has been."""
        final = self.folder / name
        return final, self.folder / f"{_OLD}{name}", final

    def _stamp(self, model: str) -> tuple[int, int]:
        """What tells a model's folder from the one before it."""
        with contextlib.suppress(OSError):
            about = os.lstat(self._places(model)[0])
            return about.st_ino, about.st_mtime_ns
        return 0, 0

    def _look(self, name: str) -> tuple[Path, _Seen | None]:
        """A model's folder and its manifest, read again where it has changed; None = there is no such folder."""
        for place in self._tries(name):
            if place.is_dir() and not place.is_symlink():
                seen = self._remembered(place)
                if seen is not None:
                    return place, seen
        return self.folder / name, None

    def _remembered(self, place: Path) -> _Seen | None:
        """The manifest of a folder; None where the folder went away meanwhile."""
        stamp = _stamp_of(place / MANIFEST)
        with self._looking:
            seen = self._seen.get(str(place))
            if seen is None or seen.stamp != stamp:
                seen = self._seen[str(place)] = _read(place, stamp)
        is_other = seen.manifest is None and (not place.is_dir() or _stamp_of(place / MANIFEST) != stamp)
        return None if is_other else seen


def folder_name(model: str) -> str:
    """Return the name of a model's folder.

    Raises:
        UnknownModel: If it is no id of a model.
    """
    if not _MODEL.fullmatch(model):
        raise UnknownModel(f"{printable(model)!r} is no model's id; `voiced models --all` lists them")
    return model.replace(":", "--")


def missing_text(spec: ModelSpec) -> str:
    """Return that a model's files are not here, and what brings them."""
    named = (
        "" if spec.sources else " --repository OWNER/NAME --file NAME"
    )  # whose files are of the user's choice
    pull = f"`voiced pull {spec.model}{named}` fetches it, "
    return f"{spec.model} is not installed: {pull}`voiced import {spec.model} FOLDER` takes files of yours"


def _model_of(name: str) -> str:
    return name.removeprefix(_OLD).replace("--", ":")


def _installed(spec: ModelSpec, place: Path, manifest: Manifest) -> Installed:
    return Installed(spec, place / FILES, manifest, manifest.size_bytes)


def _foreign(model: str, wanted: str) -> str:
    return f"the folder of {wanted} holds {printable(model)}: `voiced rm {wanted}`, then install it again"


def _stamp_of(file: Path) -> tuple[int, int, int]:
    try:
        about = os.lstat(file)
    except OSError:
        return 0, 0, 0
    return about.st_mtime_ns, about.st_size, about.st_ino


def _read(place: Path, stamp: tuple[int, int, int]) -> _Seen:
    model = _model_of(place.name)
    try:
        manifest = read_manifest(place)
    except ModelDamaged as error:
        return _Seen(stamp, None, error.message)
    if manifest.model != model:
        return _Seen(stamp, None, _foreign(manifest.model, model))
    if find_spec(model) is None:
        return _Seen(stamp, None, f"this version of voiced knows no model {model}: `voiced rm {model}`")
    return _Seen(stamp, manifest)


def _make_lasting(files: Path) -> None:
    """Everything below a folder readable by its owner alone, and on the disk."""
    folders = {files}
    for name in listed(files):
        path = files / name
        folders.update(parent for parent in path.parents if parent.is_relative_to(files))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o600)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for folder in folders:
        folder.chmod(0o700)
        fsync_folder(folder)


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(Path(parent, name)).st_size
    return total


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
