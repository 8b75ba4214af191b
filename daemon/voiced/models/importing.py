"""From published files to an installed model: chosen, copied or converted, looked at, hashed, published.

Nothing here parses a file: a throw-away child does (`voiced.models.conversion`). `voiced import` and `voiced pull` run
this in their own process, iterating the steps; whatever ends the iteration early leaves the library as it was.
"""

import contextlib
import datetime
import errno
import os
import shutil
import stat
from collections.abc import Generator, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from voiced.errors import LibraryError
from voiced.files.names import printable
from voiced.models.conversion import convert
from voiced.models.library import Library, folder_name
from voiced.models.manifest import FILES, FileEntry, Manifest, hash_files
from voiced.models.spec import ModelSpec
from voiced_ipc.errors import InvalidRequest, ModelDamaged, StorageFailed

TORCH_SUFFIXES = (".pth", ".pt", ".bin")
"""Torch's own files, which may hold commands: they become safetensors."""
_CODE_SUFFIXES = (".py", ".pyc", ".pyd", ".so", ".dylib", ".dll", ".pkl", ".pickle", ".ckpt", ".sh", ".js")
"""Never taken, whatever a pattern says."""

MARGIN_BYTES = 256 << 20
"""Left free on the disk."""
_BLOCK_BYTES = 16 << 20
_SHOWN = 3


class Step(NamedTuple):
    """How far an install is."""

    what: str
    """What is done now, in words."""
    done_bytes: int
    total_bytes: int
    """Of this part of the work: copying, converting and checking, hashing."""


class Chosen(NamedTuple):
    """A published file that belongs to a model."""

    name: str
    """Below the model's folder, with `/`."""
    size: int

    @property
    def is_torch(self) -> bool:
        """Whether it must be converted."""
        return self.name.lower().endswith(TORCH_SUFFIXES)


class _Origin(NamedTuple):
    """Where published files come from."""

    folder: Path
    source: str
    revision: str
    is_ours: bool
    """Whether the files may share their place on the disk with the installed ones."""


def import_folder(
    library: Library, spec: ModelSpec, folder: Path, *, environment: Mapping[str, str]
) -> Generator[Step, None, None]:
    """Install a model from a folder of the user's while it is iterated; the folder stays as it is.

    Args:
        library: Where it goes.
        spec: The model.
        folder: Its files as they were published.
        environment: Of the child that reads them.

    Raises:
        InvalidRequest: If the model has no files, or the folder does not hold them.
        LibraryError: If a file is refused, there is no room, or torch is not installed.
        StorageFailed: If the disk fails.
    """
    return _install(library, spec, _Origin(folder.absolute(), "import", "", is_ours=False), environment)


def install_staged(
    library: Library,
    spec: ModelSpec,
    staging: Path,
    *,
    source: str,
    revision: str,
    environment: Mapping[str, str],
) -> Generator[Step, None, None]:
    """Install a model from files that were fetched for it, while it is iterated.

    Args:
        library: Where it goes.
        spec: The model.
        staging: A folder with the published files, on the library's disk. It stays, for the caller to remove: its
            files may be hard links to the installed ones, and must not be written to again.
        source: For the manifest: the repositories.
        revision: For the manifest: their commits.
        environment: Of the child that reads them.

    Raises:
        InvalidRequest, LibraryError, StorageFailed: As `import_folder`.
    """
    return _install(library, spec, _Origin(staging.absolute(), source, revision, is_ours=True), environment)


def matches(pattern: str, name: str) -> bool:
    """Return whether a file's name with `/` is one of a pattern, whose stars stay within a folder."""
    wanted, parts = pattern.split("/"), name.split("/")
    return len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted))


def choose(spec: ModelSpec, folder: Path) -> list[Chosen]:
    """Return the files of a folder that belong to a model.

    Those that its sources name, and where they are not all it needs, those that the catalogue's own patterns name. A
    torch file gives way to a safetensors file of the same name. Symbolic links are followed, as the hub's cache has
    them; only the folders that the patterns name are looked into.

    Raises:
        InvalidRequest: If some are missing, or it is no folder; says which files are looked for.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"{printable(folder)} is no folder; give the one that holds the model's files")
    published = [
        str(PurePosixPath(source.folder, pattern)) for source in spec.sources for pattern in source.files
    ]
    names = _found(folder, published)
    if _missing(spec, names):
        names |= _found(folder, spec.files)
    missing = _missing(spec, names)
    if missing or not names:
        raise InvalidRequest(
            f"{printable(folder)} has no {_some(missing or spec.files)}; {spec.model} is made of "
            f"{', '.join(spec.files)}"
        )
    kept = [name for name in sorted(names) if not _gives_way(name, names)]
    made = [_as_installed(name) for name in kept]
    if len(set(made)) < len(made):
        twice = next(name for name in made if made.count(name) > 1)
        raise InvalidRequest(f"two files of {printable(folder)} would become {twice}; remove one of them")
    return [Chosen(name, (folder / name).stat().st_size) for name in kept]


def needed_bytes(chosen: Sequence[Chosen], *, is_ours: bool = False) -> int:
    """Return the room that an install takes on the disk, in bytes.

    Args:
        chosen: The files.
        is_ours: Whether they lie on that disk already and need not be copied; converted ones are written anyhow.
    """
    return sum(one.size for one in chosen if one.is_torch or not is_ours)


# -- the steps ------------------------------------------------------------------------------------------


def _install(
    library: Library, spec: ModelSpec, origin: _Origin, environment: Mapping[str, str]
) -> Generator[Step, None, None]:
    if spec.is_embedded or not spec.has_folder:
        raise InvalidRequest(f"{spec.model} comes with voiced: there is nothing to install")
    folder_name(spec.model)
    chosen = choose(spec, origin.folder)
    try:
        with library.lock():
            library.sweep()
            _look_for_room(library.folder, needed_bytes(chosen, is_ours=origin.is_ours))
            with library.staging() as place:
                files = place / FILES
                yield from _bring(origin, [one for one in chosen if not one.is_torch], files)
                yield from _convert(origin, chosen, files, environment)
                entries = yield from _hash(files, spec)
                library.publish(place, _manifest(spec, origin, entries))
    except ModelDamaged as error:
        raise LibraryError(error.message) from error
    except OSError as error:
        raise _storage(error, library.folder) from error


def _bring(origin: _Origin, chosen: Sequence[Chosen], files: Path) -> Iterator[Step]:
    total = sum(one.size for one in chosen)
    done = 0
    for one in chosen:
        target = files / one.name
        _make_parent(target)
        if not (origin.is_ours and _is_linked(origin.folder / one.name, target)):
            for count in _copy(origin.folder / one.name, target):
                yield Step(f"copying {one.name}", done + count, total)
        done += one.size
        yield Step(f"copied {one.name}", done, total)


def _convert(
    origin: _Origin, chosen: Sequence[Chosen], files: Path, environment: Mapping[str, str]
) -> Iterator[Step]:
    """Let the child convert torch's files, and look at everything.

    Raises:
        LibraryError: If it refuses a file, or dies of it.
    """
    names = [one.name for one in chosen if one.is_torch]
    for name in names:
        _make_parent(files / name)
    size = sum(one.size for one in chosen)
    for told in convert(origin.folder, files, names, size_bytes=size, environment=environment):
        yield Step(*told)
    missing = [one.name for one in chosen if not (files / _as_installed(one.name)).is_file()]
    if missing:
        raise LibraryError(f"the files were not installed: {_some(missing)} could not be converted")


def _hash(files: Path, spec: ModelSpec) -> Generator[Step, None, list[FileEntry]]:
    total = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
    hashing = hash_files(files)
    while True:
        try:
            hashed = next(hashing)
        except StopIteration as end:
            entries: list[FileEntry] = end.value
            break
        yield Step(f"hashing {hashed.path}", hashed.done_bytes, total)
    yield Step(f"installing {spec.model}", total, total)
    return entries


def _manifest(spec: ModelSpec, origin: _Origin, entries: list[FileEntry]) -> Manifest:
    return Manifest(
        model=spec.model,
        source=origin.source,
        revision=origin.revision,
        licence=spec.licence,
        installed=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        files=entries,
    )


# -- choosing -------------------------------------------------------------------------------------------


def _found(folder: Path, patterns: Sequence[str]) -> set[str]:
    names = set()
    for pattern in patterns:
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            is_data = not name.lower().endswith(_CODE_SUFFIXES) and not path.name.startswith(".")
            if is_data and matches(pattern, name) and name.isprintable() and path.is_file():
                names.add(name)
    return names


def _missing(spec: ModelSpec, names: set[str]) -> list[str]:
    there = {*names, *map(_as_installed, names)}
    return [
        pattern
        for pattern in spec.files
        if not any(matches(pattern, name) or matches(_as_installed(pattern), name) for name in there)
    ]


def _as_installed(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix(".safetensors")) if path.suffix.lower() in TORCH_SUFFIXES else name


def _gives_way(name: str, names: set[str]) -> bool:
    return _as_installed(name) != name and _as_installed(name) in names


# -- bytes on the disk ----------------------------------------------------------------------------------


def _look_for_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + MARGIN_BYTES:
        raise LibraryError(
            f"{printable(folder)} has {free / 1e9:.1f} GB free, {(needed + MARGIN_BYTES) / 1e9:.1f} GB are "
            "needed: free some, or move the library (VOICED_DATA_DIR)"
        )


def _make_parent(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _is_linked(source: Path, target: Path) -> bool:
    """Whether a file of ours could be given a second name instead of a second place on the disk."""
    try:
        if not stat.S_ISREG(os.lstat(source).st_mode):
            return False
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    return True


def _copy(source: Path, target: Path) -> Iterator[int]:
    """Copy a file and give the bytes that were; shares them with the source where the file system can.

    Raises:
        LibraryError: If it is no file, or changes meanwhile.
        OSError: If it cannot be copied.
    """
    with contextlib.ExitStack() as stack:
        reading = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, reading)
        before = os.fstat(reading)
        if not stat.S_ISREG(before.st_mode):
            raise LibraryError(f"{printable(source)} is no file; a model is made of files")
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, writing)
        done = 0
        while count := _copy_block(reading, writing):
            done += count
            yield done
        after = os.fstat(reading)
        if (after.st_size, after.st_mtime_ns) != (
            before.st_size,
            before.st_mtime_ns,
        ) or done != before.st_size:
            raise LibraryError(f"{printable(source)} is being changed; import it when it is complete")


def _copy_block(reading: int, writing: int) -> int:
    try:
        return os.copy_file_range(reading, writing, _BLOCK_BYTES)
    except AttributeError:  # not on macOS
        pass
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
    data = os.read(reading, _BLOCK_BYTES)
    view = memoryview(data)
    while view:
        view = view[os.write(writing, view) :]
    return len(data)


def _storage(error: OSError, folder: Path) -> StorageFailed | LibraryError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LibraryError(f"the disk of {printable(folder)} is full; free some room and try again")
    place = f"{printable(error.filename)}: " if error.filename else ""
    return StorageFailed(f"{place}{error.strerror or error}; nothing was installed")


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:_SHOWN])) + (" ..." if len(names) > _SHOWN else "")
