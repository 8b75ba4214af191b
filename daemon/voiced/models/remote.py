"""What a repository of the hub holds, as values: which of its files make a model, and whether their names are safe.

Pure; used by `voiced pull`.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from voiced.errors import LibraryError
from voiced.models.catalogue import CATALOGUE
from voiced.models.importing import TORCH_SUFFIXES, matches
from voiced.models.spec import HubSource, ModelSpec
from voiced_ipc.errors import InvalidRequest

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_NAME_BYTES = 255


class RemoteFile(NamedTuple):
    """One file of a repository at a commit."""

    repository: str
    commit: str
    path: str
    """In the repository."""
    target: str
    """In the model's folder."""
    size_bytes: int
    digest: str
    """What the hub says of its content: SHA-256 (64 digits) of a large file, git's SHA-1 (40) of a small one."""

    @property
    def is_torch(self) -> bool:
        """Whether it is converted after the download."""
        return self.path.endswith(TORCH_SUFFIXES)


class Entry(NamedTuple):
    """A file as the hub lists it."""

    path: str
    size_bytes: int
    digest: str


class Listing(NamedTuple):
    """The files of one repository that a model needs."""

    source: HubSource
    commit: str
    files: tuple[RemoteFile, ...]


def sources_of(spec: ModelSpec, repository: str = "", file: str = "") -> tuple[HubSource, ...]:
    """Return where a model is fetched from.

    Args:
        spec: The model.
        repository: What the user names, `OWNER/NAME`, for a model that the catalogue knows no repository of.
        file: The file there.

    Raises:
        InvalidRequest: If there is nothing to fetch, or the user must, or must not, name the repository.
    """
    if spec.is_embedded:
        raise InvalidRequest(f"{spec.model} comes with voiced: there is nothing to pull")
    if any(not source.folder for source in spec.sources):
        if repository or file:
            raise InvalidRequest(
                f"{spec.model} is fetched from {spec.sources[0].repository}; for files of your own use "
                f"`voiced import {spec.model} FOLDER`"
            )
        return spec.sources
    if not (repository and file):
        raise InvalidRequest(
            f"which file is {spec.model} is yours to choose: `voiced pull {spec.model} --repository OWNER/NAME "
            f"--file NAME.gguf`, or `voiced import {spec.model} FOLDER`"
        )
    base, _, name = file.rpartition("/")
    own = HubSource(repository, (_literally(name),), base=base)
    return (own, *(spec.sources or _codec()))


def choose(source: HubSource, commit: str, entries: Iterable[Entry]) -> Listing:
    """Return the files that a source's patterns name, in the order of their names.

    Args:
        source: The repository and the patterns. A pattern's `*` stays within one folder.
        commit: Where it was listed.
        entries: All files of the repository, or all below its base.

    Raises:
        LibraryError: If the listing holds a name that leads out of a folder, two names that some file systems
            cannot tell apart, or a file without size and checksum; nothing of it is used then.
    """
    if not _COMMIT.fullmatch(commit):
        raise LibraryError(f"the hub names no commit of {source.repository}: it cannot be told what it sends")
    base = PurePosixPath(source.base) if source.base else PurePosixPath()
    files = []
    for entry in entries:
        path = _safe(entry.path, source.repository)
        if not path.is_relative_to(base):
            continue
        below = path.relative_to(base)
        if any(matches(pattern, str(below)) for pattern in source.files):
            if entry.size_bytes < 0 or not _DIGEST.fullmatch(entry.digest):
                raise LibraryError(f"the hub tells no checksum of {entry.path} in {source.repository}")
            target = str(PurePosixPath(source.folder) / below)
            files.append(
                RemoteFile(source.repository, commit, entry.path, target, entry.size_bytes, entry.digest)
            )
    files.sort(key=lambda file: file.target)
    _refuse_twins(files)
    return Listing(source, commit, tuple(files))


def missing(spec: ModelSpec, files: Sequence[RemoteFile]) -> list[str]:
    """Return the patterns of files that the model cannot do without and that none of `files` matches."""
    return [pattern for pattern in spec.files if not any(matches(pattern, file.target) for file in files)]


def _safe(name: str, repository: str) -> PurePosixPath:
    parts = name.split("/")
    is_safe = name.isprintable() and "\\" not in name and not {"", ".", ".."}.intersection(parts)
    if not is_safe or any(len(part.encode()) > _MAX_NAME_BYTES for part in parts):
        raise LibraryError(
            f"{repository} holds a file named {name!r}, which is not a safe name: nothing was fetched"
        )
    return PurePosixPath(name)


def _refuse_twins(files: list[RemoteFile]) -> None:
    seen: dict[str, str] = {}
    for file in files:
        twin = seen.setdefault(file.target.casefold(), file.target)
        if twin is not file.target:
            raise LibraryError(
                f"{file.repository} holds both {twin!r} and {file.target!r}: nothing was fetched"
            )


def _literally(name: str) -> str:
    """A pattern that matches one name alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _codec() -> tuple[HubSource, ...]:
    """The codec that every form of Maya1 needs beside its own file."""
    return tuple(source for source in CATALOGUE["maya1"].sources if source.folder)
