"""Sidecars on disk: found beside a claimed text and in the folders above it, read safely, taken along with the text.

A file's own sidecar is copied beside the claim and removed from the drop folder, so that it goes where its text goes;
a folder's stays. Nothing is read through a link, and nothing that is not the user's own small file. Belongs to the
intake's thread.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from voiced.drop.claim import Claim
from voiced.drop.sidecar import (
    FOLDER_SIDECAR,
    MAX_SIDECAR_BYTES,
    Sidecars,
    Wishes,
    digest_of,
    merged,
    own_names,
    parse_sidecar,
)
from voiced.drop.terms import Judge
from voiced.drop.verdict import Action, Facts, look
from voiced.files.atomic import write_atomically
from voiced.files.names import printable

_MAX_QUIET = 4096
_TOO_LARGE = f"it is larger than {MAX_SIDECAR_BYTES >> 10} KiB"


class Gathered(NamedTuple):
    """What was found."""

    sidecars: Sidecars
    is_waiting: bool = False
    """One is still being written, or may be."""


class _Page(NamedTuple):
    """One sidecar that was read."""

    place: Path
    """Below the drop folder, for messages."""
    wishes: Wishes = Wishes()
    problems: tuple[str, ...] = ()


class _Busy(Exception):
    """A sidecar is still being written."""


class SidecarReader:
    """Gathers the sidecars of claims.

    Args:
        drop: The drop folder.
        judge: Gives the verdict on a file.
        is_shared: Whether another text that waits has the same sidecar, by its place below the drop folder.
    """

    def __init__(self, drop: Path, judge: Judge, is_shared: Callable[[Path], bool]) -> None:
        self._drop = drop
        self._judge = judge
        self._is_shared = is_shared
        self._quiet: dict[Path, tuple[tuple[int, ...], float]] = {}
        """How they looked, and since when: the next text of a folder need not wait for its sidecar again."""

    def gather(self, claim: Claim, now: float) -> Gathered:
        """Return what the sidecars of a claim say; its own go with it from here on."""
        pages: list[_Page] = []
        is_waiting = False
        folders = [*claim.relative.parents][::-1]
        for folder, descriptor in _descend(self._drop, folders):
            names = [FOLDER_SIDECAR]
            if folder == claim.relative.parent:
                names += own_names(claim.relative.name)[::-1]
            for name in names:
                place = folder / name
                try:
                    data = self._read(place, descriptor, now)
                except _Busy:
                    is_waiting = True
                    continue
                except FileNotFoundError:
                    continue
                except OSError as error:
                    pages.append(_Page(place, problems=(_reason(error),)))
                    continue
                if data is None:
                    continue
                if name == FOLDER_SIDECAR:
                    pages.append(_Page(place, *parse_sidecar(data)))
                else:
                    pages += self._take_along(claim, place, data, descriptor)
        pages += _taken_along(claim)
        return Gathered(_together(pages[::-1]), is_waiting)

    def version(self, place: Path) -> tuple[int, ...] | None:
        """Return what changes when a sidecar does; None = there is none."""
        try:
            return look(self._drop / place).version
        except OSError:
            return None

    def _read(self, place: Path, folder: int, now: float) -> bytes | None:
        """Return the bytes of a sidecar; None = there is none.

        Raises:
            _Busy: If it may still change.
            OSError: If it is not to be read, or cannot be.
        """
        path = self._drop / place
        try:
            facts = look(path)
        except FileNotFoundError:
            self._quiet.pop(place, None)
            return None
        version, since = self._quiet.get(place, ((), now))
        if version != facts.version:
            since = now
        verdict = self._judge(path, facts, now - since)
        if len(self._quiet) >= _MAX_QUIET:
            self._quiet.clear()
        self._quiet[place] = (facts.version, since)
        if verdict.action is Action.WAIT:
            raise _Busy
        if verdict.action is Action.SKIP:
            return None
        is_empty = stat.S_ISREG(facts.mode) and facts.size == 0  # says nothing, and that is no fault
        if verdict.action is Action.REFUSE and not is_empty:
            raise OSError(verdict.reason)
        if facts.size > MAX_SIDECAR_BYTES:
            raise OSError(_TOO_LARGE)
        return _read_unchanged(folder, place.name, facts)

    def _take_along(self, claim: Claim, place: Path, data: bytes, folder: int) -> list[_Page]:
        """Copy a sidecar beside the claim; what could not be done is a page of its own."""
        try:
            write_atomically(claim.path.with_name(place.name), data)
        except OSError as error:
            wishes, problems = parse_sidecar(data)
            return [_Page(place, wishes, (*problems, f"it stays where it is: {_reason(error)}"))]
        if not self._is_shared(place):
            with contextlib.suppress(OSError):
                os.unlink(place.name, dir_fd=folder)
        return []


def _taken_along(claim: Claim) -> list[_Page]:
    """Return the own sidecars that lie beside a claim, the one that wins last."""
    pages = []
    for name in own_names(claim.relative.name)[::-1]:
        place = claim.relative.with_name(name)
        try:
            facts = look(claim.path.with_name(name))
            with _opened(claim.path.parent) as folder:
                pages.append(_Page(place, *parse_sidecar(_read_unchanged(folder, name, facts))))
        except FileNotFoundError:
            continue
        except (OSError, _Busy) as error:
            pages.append(_Page(place, problems=(_reason(error),)))
    return pages


def _descend(root: Path, folders: list[Path]) -> Iterator[tuple[Path, int]]:
    """Yield each of the nested folders that is there, with a descriptor of it; ends where one is a link.

    Args:
        root: Where they lie below; may be reached through a link.
        folders: Relative, each the parent of the next.
    """
    with contextlib.ExitStack() as stack:
        descriptor: int | None = None
        for folder in folders:
            try:
                opened = (
                    os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    if descriptor is None
                    else os.open(
                        folder.name,
                        os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                        dir_fd=descriptor,
                    )
                )
            except OSError:  # it went after its text was taken
                return
            stack.callback(os.close, opened)
            descriptor = opened
            yield folder, opened


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_unchanged(folder: int, name: str, facts: Facts) -> bytes:
    """Return the bytes of a file that is what the last look told, before and after.

    Raises:
        _Busy: If it is not.
        OSError: If it cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        data = b""
        if _identity(os.fstat(descriptor)) == (facts.inode, facts.size, facts.mtime_ns):
            data = os.read(descriptor, MAX_SIDECAR_BYTES + 1)
        if _identity(os.fstat(descriptor)) != (facts.inode, len(data), facts.mtime_ns):
            raise _Busy
    finally:
        os.close(descriptor)
    return data


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _together(pages: list[_Page]) -> Sidecars:
    """Return what the pages, the nearest first, say together."""
    wishes = merged(*(page.wishes for page in pages))
    digests = [digest_of(one) for one in (wishes, *(page.wishes for page in pages))]
    problems = (f"{printable(page.place)}: {problem}" for page in pages for problem in page.problems)
    return Sidecars(wishes, tuple(problems), tuple(dict.fromkeys(filter(None, digests))))


def _reason(error: Exception) -> str:
    what = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"it was not read: {what or 'it is being written'}"
