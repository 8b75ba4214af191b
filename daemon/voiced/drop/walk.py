"""The way through the drop folder: everything in it that may be for us, with the time of its arrival.

Follows no link, and remembers what it met on the way: half-made downloads, folders that could not be read.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from voiced.drop.sidecar import is_sidecar
from voiced.drop.verdict import is_download, is_passed_over
from voiced.files.names import printable

_MAX_DEPTH = 64


class Walk:
    """Looks through the folder, or through a part of it.

    Args:
        drop: The folder.
        apart: Folders that may lie below it and are not looked into.
        on_sidecar: Called with the relative path of every sidecar that is passed.
    """

    def __init__(self, drop: Path, apart: tuple[Path, ...], on_sidecar: Callable[[str], None]) -> None:
        self._drop = drop
        self._on_sidecar = on_sidecar
        self._apart = _prefixes_below(drop, apart)
        self._downloads: set[str] = set()
        self.unreadable = ""
        """A folder that could not be read, in words; empty = there was none."""

    def begin(self) -> None:
        """Forget what earlier walks met: the whole folder is looked through anew."""
        self.unreadable = ""
        self._downloads.clear()

    def entries(self, under: str, should_stop: Callable[[], bool]) -> Iterator[tuple[int, str]]:
        """Yield (time of arrival, relative path) of all entries that are not passed over and not left alone.

        Raises:
            OSError: If the drop folder itself cannot be read; others are named in `unreadable`.
        """
        folders = [under]
        while folders and not should_stop():
            folder = folders.pop()
            try:
                entries = os.scandir(self._drop / folder)
            except OSError as error:
                if not folder:
                    raise
                if not isinstance(error, FileNotFoundError):
                    self.unreadable = (
                        f"{printable(folder)} in the drop folder cannot be read: {error.strerror}"
                    )
                continue
            with entries:
                for entry in entries:
                    if is_passed_over(entry.name):
                        self.note_passed_over(folder, entry.name)
                        continue
                    relative = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if relative.count("/") < _MAX_DEPTH and not self.is_apart(relative):
                            folders.append(relative)
                        continue
                    try:
                        arrival = entry.stat(follow_symlinks=False).st_ctime_ns
                    except OSError:
                        continue
                    yield arrival, relative

    def note_passed_over(self, folder: str, name: str) -> None:
        """Remember what an entry that is passed over tells of its neighbours."""
        if is_download(name):
            self._downloads.add(folder)
        elif is_sidecar(name):
            self._on_sidecar(f"{folder}/{name}" if folder else name)

    def has_download(self, folder: str) -> bool:
        """Return whether a half-made download lies in a folder."""
        return folder in self._downloads

    def is_apart(self, relative: str) -> bool:
        """Return whether a path lies in a folder that is not looked into."""
        return f"{relative}/".startswith(self._apart)


def split(relative: str) -> tuple[str, str]:
    """Return the folder and the name of a relative path."""
    folder, _, name = relative.rpartition("/")
    return folder, name


def _prefixes_below(drop: Path, folders: tuple[Path, ...]) -> tuple[str, ...]:
    root = os.path.realpath(drop) + "/"
    below = [f"{os.path.realpath(folder)}/" for folder in folders]
    return tuple(folder.removeprefix(root) for folder in below if folder.startswith(root))
