"""Files that change their place: under a free name, never over what is there, also to another device.

Used by the drop folder and by jobs, from any thread.
"""

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from voiced.files.across import end_move, move_across
from voiced.files.names import free_name, printable
from voiced.files.rename import rename


def rename_without_replacing(source: Path, target: Path) -> None:
    """Give `source` the name `target`, never overwriting what is there; works across devices.

    A directory or a special file cannot go to another device; a symbolic link goes as a link.

    Raises:
        FileExistsError: If `target` exists, be it a broken link; `source` is untouched.
        OSError: If it cannot be done; `source` is untouched. EBUSY where a file was changed while it was copied.
    """
    try:
        rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        move_across(source, target.parent, lambda copy: _rename_to(copy, target))


def place(source: Path, folder: Path, relative: Path, *, may_copy: bool = True) -> Path:
    """Move `source` below `folder` under the first free name and return where it lies now.

    Parents are made; one that exists as a file gets a number, as the file itself does. Two that place the same
    name at once get two names.

    Args:
        source: The file.
        folder: Where it goes.
        relative: Its wished place below `folder`.
        may_copy: Whether it may be read, where `folder` is on another device.

    Raises:
        ValueError: If `relative` is empty or leads out of `folder`.
        OSError: If it cannot be moved; `source` is untouched. EXDEV where it would have to be copied.
    """
    if relative.is_absolute() or ".." in relative.parts or not relative.name:
        raise ValueError(f"not a place below a folder: {printable(relative)}")
    parent = _make_parents(folder, relative.parent.parts)
    try:
        return _take_first_free(source, parent, relative.name)
    except OSError as error:
        if error.errno != errno.EXDEV or not may_copy:
            raise
        for target in itertools.takewhile(os.path.lexists, _names(parent, relative.name)):
            if end_move(source, target):
                return target
        return move_across(source, parent, lambda copy: _take_first_free(copy, parent, relative.name))


def first_free(folder: Path, relative: Path) -> Path:
    """Return where `place` would put a file now; the parents are made.

    Raises:
        OSError: If they cannot be made.
    """
    parent = _make_parents(folder, relative.parent.parts)
    return next(path for path in _free_names(parent, relative.name) if not os.path.lexists(path))


def _rename_to(source: Path, target: Path) -> Path:
    rename(source, target)
    return target


def _make_parents(folder: Path, parts: tuple[str, ...]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        folder = next(path for path in _names(folder, part) if _is_made(path))
    return folder


def _is_made(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return path.is_dir()
    return True


def _take_first_free(source: Path, folder: Path, name: str) -> Path:
    for target in _free_names(folder, name):
        with contextlib.suppress(FileExistsError):
            rename(source, target)
            return target
    raise AssertionError("numbers do not end")


def _names(folder: Path, name: str, start: int = 1) -> Iterator[Path]:
    return (free_name(folder, name, n) for n in itertools.count(start))


def _free_names(folder: Path, name: str) -> Iterator[Path]:
    """The names worth trying: the first few, then from where a doubling search finds one free.

    A folder that has got a `note.txt` every hour for a year would otherwise cost thousands of renames each time.
    """

    def is_free(n: int) -> bool:
        return not os.path.lexists(free_name(folder, name, n))

    few = 8
    yield from itertools.islice(_names(folder, name), few)
    taken, free = few, 2 * few
    while not is_free(free):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (taken, middle) if is_free(middle) else (middle, free)
    yield from _names(folder, name, free)
