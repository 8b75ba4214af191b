"""What a model's files were when they were installed, and whether they still are.

A model's folder holds `voiced.json`, the manifest, and `files`, which the engine reads. A load compares size, mtime
and inode of every file and hashes again only where one of them differs, so that nothing is parsed which was not
installed. Used by the model library, from any thread; imports nothing heavy.
"""

import contextlib
import hashlib
import logging
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

import msgspec

from voiced.files.atomic import write_atomically
from voiced.files.names import printable
from voiced_ipc.errors import ModelDamaged

logger = logging.getLogger(__name__)

MANIFEST = "voiced.json"
FILES = "files"
"""The folder of a model that its engine sees."""

MAX_MANIFEST_BYTES = 4 << 20
MAX_FILES = 10_000
MAX_DEPTH = 8
"""Folders below folders; published models have two."""

_BLOCK_BYTES = 4 << 20
_SHOWN = 3
_FORMAT = 1


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it was installed."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    """Below `files`, with `/`."""
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes."""
    mtime_ns: int
    inode: int
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it was installed."""

    model: str
    source: str
    """Repositories, or `import`."""
    revision: str
    """Commits of the repositories; empty = it came from a folder."""
    licence: str
    installed: str
    """ISO 8601, UTC."""
    files: Annotated[list[FileEntry], msgspec.Meta(min_length=1, max_length=MAX_FILES)]
    format: Annotated[int, msgspec.Meta(ge=1, le=_FORMAT)] = _FORMAT

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(entry.size for entry in self.files)


class Hashed(NamedTuple):
    """How far the hashing is."""

    path: str
    done_bytes: int
    """Of all files."""


_DECODER = msgspec.json.Decoder(Manifest)


def read_manifest(place: Path) -> Manifest:
    """Return the manifest of a model's folder.

    Args:
        place: The folder that holds `voiced.json`.

    Raises:
        ModelDamaged: If there is none that can be understood.
    """
    try:
        descriptor = os.open(place / MANIFEST, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_MANIFEST_BYTES:
                raise ModelDamaged(_unreadable(place, "it is no small file"))
            manifest = _DECODER.decode(file.read(MAX_MANIFEST_BYTES))
    except OSError as error:
        raise ModelDamaged(_unreadable(place, error.strerror or str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelDamaged(_unreadable(place, str(error))) from error
    names = [entry.path for entry in manifest.files]
    if len(set(names)) < len(names) or not all(map(_is_inside, names)):
        raise ModelDamaged(_unreadable(place, "it names files twice, or outside of the model"))
    return manifest


def write_manifest(place: Path, manifest: Manifest) -> None:
    """Write the manifest of a model's folder, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    write_atomically(place / MANIFEST, data)


def listed(files: Path) -> dict[str, os.stat_result]:
    """Return every file below a folder by its name with `/`.

    Raises:
        ModelDamaged: If it holds what no model has: links, devices, too many files or too deep ones.
        OSError: If it cannot be read.
    """
    found: dict[str, os.stat_result] = {}
    for entry in _walk(files, 0):
        if len(found) >= MAX_FILES:
            raise ModelDamaged(f"{printable(files)} holds over {MAX_FILES} files; a model has fewer")
        found[os.path.relpath(entry.path, files).replace(os.sep, "/")] = entry.stat(follow_symlinks=False)
    return found


def hash_files(files: Path) -> Generator[Hashed, None, list[FileEntry]]:
    """Hash every file below a folder while it is iterated; its value is the entries.

    Raises:
        ModelDamaged: If it holds what no model has, or a file changes meanwhile.
        OSError: If it cannot be read.
    """
    entries = []
    done = 0
    for path in sorted(listed(files)):
        entry = yield from _hash(files, path, done)
        entries.append(entry)
        done += entry.size
    return entries


def changed(files: Path, manifest: Manifest) -> list[str]:
    """Return the names of the files whose size, mtime or inode is not the manifest's, or which are gone.

    Raises:
        ModelDamaged: If the folder holds what no model has.
        OSError: If it cannot be read.
    """
    found = listed(files)
    return [
        entry.path
        for entry in manifest.files
        if entry.path not in found or not _is_same(entry, found[entry.path])
    ]


def verify(place: Path, manifest: Manifest, *, deep: bool = False) -> Manifest:
    """Return the manifest if the files are those that were installed; a renewed one where only their stats differ.

    Args:
        place: The model's folder; a renewed manifest is written there.
        manifest: What they should be.
        deep: Hash every file, whatever its stats say.

    Raises:
        ModelDamaged: Naming the file and the remedy.
    """
    files = place / FILES
    remedy = f"`voiced import {manifest.model} FOLDER` or `voiced pull {manifest.model}` installs it again"
    try:
        found = listed(files)
        _refuse_odd(manifest, found, remedy)
        entries = [
            entry
            if not deep and _is_same(entry, found[entry.path])
            else _rehashed(files, manifest, entry, remedy)
            for entry in manifest.files
        ]
    except OSError as error:
        what = printable(error.filename or files)
        raise ModelDamaged(f"{manifest.model}: {what} cannot be read ({error.strerror}): {remedy}") from error
    if entries == manifest.files:
        return manifest
    renewed = msgspec.structs.replace(manifest, files=entries)
    logger.info("%s: same files, new stats: the manifest is written anew", manifest.model)
    with contextlib.suppress(OSError):  # read-only: the files are hashed again next time
        write_manifest(place, renewed)
    return renewed


def _refuse_odd(manifest: Manifest, found: dict[str, os.stat_result], remedy: str) -> None:
    wanted = {entry.path for entry in manifest.files}
    missing, extra = sorted(wanted - found.keys()), sorted(found.keys() - wanted)
    if missing:
        raise ModelDamaged(f"{manifest.model}: {_some(missing)} missing: {remedy}")
    if extra:
        raise ModelDamaged(
            f"{manifest.model}: {_some(extra)} not installed with it: remove what is too many, or {remedy}"
        )


def _rehashed(files: Path, manifest: Manifest, entry: FileEntry, remedy: str) -> FileEntry:
    about = os.lstat(files / entry.path)
    if about.st_size == entry.size:
        now = _end_of(_hash(files, entry.path, 0))
        if now.sha256 == entry.sha256:
            return now
    raise ModelDamaged(f"{manifest.model}: {printable(entry.path)} is not what was installed: {remedy}")


def _end_of(hashing: Generator[Hashed, None, FileEntry]) -> FileEntry:
    while True:
        try:
            next(hashing)
        except StopIteration as end:
            entry: FileEntry = end.value
            return entry


def _hash(files: Path, path: str, before_bytes: int) -> Generator[Hashed, None, FileEntry]:
    """Tell of each block that was hashed, and give the entry.

    Hashed here rather than by `hashlib.file_digest`, which tells nothing before the end of gigabytes.
    """
    descriptor = os.open(files / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ModelDamaged(f"{printable(path)} is no file")
        digest = hashlib.sha256()
        block = memoryview(bytearray(_BLOCK_BYTES))
        size = 0
        while count := file.readinto(block):
            digest.update(block[:count])
            size += count
            yield Hashed(path, before_bytes + size)
        entry = FileEntry(
            path=path,
            size=size,
            mtime_ns=before.st_mtime_ns,
            inode=before.st_ino,
            sha256=digest.hexdigest(),
        )
        if not _is_same(entry, os.fstat(descriptor)):
            raise ModelDamaged(
                f"{printable(path)} is being changed by another program; try again when it is done"
            )
    return entry


def _walk(folder: Path | str, depth: int) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as found:
        for entry in found:
            if entry.is_file(follow_symlinks=False):
                yield entry
            elif entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
                yield from _walk(entry.path, depth + 1)
            else:
                raise ModelDamaged(
                    f"{printable(entry.path)} is a link, a special file or too deep: a model's folder has "
                    "files alone; remove it, or install the model again"
                )


def _is_same(entry: FileEntry, about: os.stat_result) -> bool:
    now = (about.st_size, about.st_mtime_ns, about.st_ino)
    return now == (entry.size, entry.mtime_ns, entry.inode)


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    is_plain = name == str(path) and name.isprintable() and "\\" not in name
    return is_plain and not path.is_absolute() and ".." not in path.parts and name != "."


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(printable, names[:_SHOWN])) + (" ..." if len(names) > _SHOWN else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"


def _unreadable(place: Path, why: str) -> str:
    model = place.name.replace("--", ":")
    return (
        f"the manifest of {printable(model)} cannot be used ({why}): `voiced import {printable(model)} FOLDER` or "
        f"`voiced pull {printable(model)}` installs it again"
    )
