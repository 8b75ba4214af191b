"""Fetching a model: what is needed, the room it takes, and a folder of parts that the next pull goes on with.

`<models>/.pulling/<id>/parts/<checksum>` holds a file, whole or begun; named by its content, so that a part is never
taken for another revision's. When all are there and checked, `staged` gives a folder in the published layout, of hard
links: the parts stay until the model is installed, also where converting them fails or is stopped.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from voiced.errors import LibraryError
from voiced.models.importing import MARGIN_BYTES
from voiced.models.remote import Listing, RemoteFile, missing
from voiced.models.spec import ModelSpec
from voiced_ipc.errors import StorageFailed

if TYPE_CHECKING:
    from voiced.models.hub import Hub


class Plan(NamedTuple):
    """What a pull fetches."""

    model: str
    source: str
    """The repositories, as the manifest names them."""
    revision: str
    """Their commits, in the same order."""
    files: tuple[RemoteFile, ...]

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)


class Fetched(NamedTuple):
    """How far a pull is."""

    file: RemoteFile
    file_bytes: int
    """Of this file."""
    done_bytes: int
    """Of all."""


class Room(NamedTuple):
    """The folder of one model's unfinished pull; held by one process."""

    folder: Path

    @property
    def parts(self) -> Path:
        """Files, whole or begun."""
        return self.folder / "parts"

    def part(self, file: RemoteFile) -> Path:
        """Return where a file's bytes lie."""
        return self.parts / file.digest

    def kept_bytes(self, plan: Plan) -> int:
        """Return how much of a plan lies here already."""
        return sum(min(_size(self.part(file)), file.size_bytes) for file in _distinct(plan.files))

    def clear(self) -> None:
        """Delete it: the model is installed."""
        shutil.rmtree(self.folder, ignore_errors=True)


def make_plan(spec: ModelSpec, listings: Sequence[Listing]) -> Plan:
    """Return what is fetched for a model.

    Raises:
        LibraryError: If the repositories lack files that the model cannot do without.
    """
    files = tuple(file for listing in listings for file in listing.files)
    lacking = missing(spec, files)
    source = ", ".join(_named(spec, listing) for listing in listings)
    if lacking:
        raise LibraryError(
            f"{source} has no {', '.join(lacking)}: that is not {spec.model}, or not at this revision; nothing was "
            "fetched"
        )
    return Plan(spec.model, source, ", ".join(listing.commit for listing in listings), files)


def needed_bytes(plan: Plan, kept_bytes: int) -> int:
    """Return the free space that a pull needs: what is still to come, room to convert torch's files, a margin."""
    converted = sum(file.size_bytes for file in plan.files if file.is_torch)
    return plan.total_bytes - kept_bytes + converted + MARGIN_BYTES


def check_space(plan: Plan, room: Room) -> None:
    """Refuse a pull that the disk has no room for.

    Raises:
        StorageFailed: If it has not; nothing was fetched.
    """
    needed = needed_bytes(plan, room.kept_bytes(plan))
    free = shutil.disk_usage(room.folder).free
    if needed > free:
        raise StorageFailed(
            f"{plan.model} needs {needed / 1e9:.1f} GB of free space at {room.folder.parent.parent}, and "
            f"{free / 1e9:.1f} GB are free: make room, or move the models with VOICED_DATA_DIR"
        )


@contextlib.contextmanager
def room_for(models: Path, name: str) -> Iterator[Room]:
    """Hold the folder of a model's unfinished pull.

    Args:
        models: The folder of all models.
        name: The model's own folder there.

    Raises:
        LibraryError: If another process fetches the same model.
        StorageFailed: If the folder cannot be made.
    """
    room = Room(models / ".pulling" / name)
    try:
        for folder in (models, room.folder.parent, room.folder, room.parts):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(
            models / ".pulling" / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise StorageFailed(f"{room.folder} cannot be made: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LibraryError(f"another `voiced pull` fetches {name}: wait for its end") from error
        yield room
    finally:
        os.close(lock)


def fetch(hub: "Hub", plan: Plan, room: Room) -> Iterator[Fetched]:
    """Bring all files of a plan into the room; each is whole and checked before the next begins.

    Raises:
        LibraryError: See `Hub.fetch`; what came is kept for the next pull.
        StorageFailed: If it cannot be written.
    """
    keep = {file.digest for file in plan.files}
    for stale in [part for part in room.parts.iterdir() if part.name not in keep]:
        stale.unlink()  # of another revision
    before = 0
    for file in plan.files:
        yield Fetched(file, 0, before)
        for done in hub.fetch(file, room.part(file)):
            yield Fetched(file, done, before + done)
        before += file.size_bytes


def staged(plan: Plan, room: Room) -> Path:
    """Return a new folder with the fetched files in the published layout; what it is used for may change it.

    Raises:
        StorageFailed: If it cannot be made.
    """
    folder = room.folder / "staged"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for file in plan.files:
            target = folder / file.target
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _link(room.part(file), target)
    except OSError as error:
        raise StorageFailed(f"{folder} cannot be made: {error.strerror}") from error
    return folder


def _named(spec: ModelSpec, listing: Listing) -> str:
    """The repository; with the file where the user chose it, for two files of one commit are two models."""
    source = listing.source
    if source.folder or source in spec.sources:
        return source.repository
    return ":".join((source.repository, *(file.path for file in listing.files)))


def _link(part: Path, target: Path) -> None:
    try:
        target.hardlink_to(part)
    except OSError:  # a file system without hard links
        shutil.copyfile(part, target)


def _distinct(files: Sequence[RemoteFile]) -> list[RemoteFile]:
    return list({file.digest: file for file in files}.values())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
