"""Zip archives as they are read: in memory, bounded, and nothing of them ever on a disk. Runs in the scribe.

Names are only names here: what points outside (`../`, absolute) or is a link is as if it were not there.
"""

import io
import posixpath
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator

from voiced_ipc.errors import DocumentRefused

MOST_ENTRIES = 20_000
"""The largest real books have some thousand pictures."""
GROWTH = 4
"""How many times the greatest size of a file its entries may have together, as far as they are read."""
_MOST_RATIO = 200
"""Prose packs 3 to 5 times, generated tables 50; zip bombs 1,000."""
_RATIO_FROM_BYTES = 4 << 20

_ENTRY = b"PK\x01\x02"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGED = "The file is damaged, or was not copied to its end; get it again."
_BOMB = (
    "The file holds far more than its size says, as a zip bomb does; it is not opened. Save it as plain text."
)
_OVERLAPPING = (
    "The file's entries overlap, as in a zip bomb or a damaged file. Get it again, or save it as plain text."
)
_CROWDED = f"The file has more than {MOST_ENTRIES:,} entries, as a zip bomb does. Save it as plain text."
_DRIVE = re.compile(r"[A-Za-z]:")


class Archive:
    """The entries of a zip file."""

    def __init__(self, data: bytes, most_bytes: int) -> None:
        """Look at a zip file.

        Args:
            data: The whole file.
            most_bytes: What may be read of it in all, in bytes as they were before packing.

        Raises:
            DocumentRefused: If it is damaged, or made to do harm.
        """
        if data.count(_ENTRY) > MOST_ENTRIES:
            raise DocumentRefused(_CROWDED)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
            raise DocumentRefused(_DAMAGED) from error
        entries = self._zip.infolist()
        if len(entries) > MOST_ENTRIES:
            raise DocumentRefused(_CROWDED)
        _refuse_overlaps(entries)
        self._left_bytes = most_bytes
        self._entries = {name: entry for entry in entries if (name := _inner_name(entry))}
        self._folded = {name.casefold(): name for name in reversed(self._entries)}

    def names(self) -> Iterator[str]:
        """Return the names of what can be read, as the archive has them."""
        return iter(self._entries)

    def find(self, name: str) -> str | None:
        """Return the name that an entry really has: as it stands, else in other capitals; None = not there."""
        inner = posixpath.normpath(name.replace("\\", "/")).lstrip("/")
        return inner if inner in self._entries else self._folded.get(inner.casefold())

    def size(self, name: str) -> int:
        """Return how large an entry says it is, in bytes."""
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """Return the content of an entry that `find` has found.

        Raises:
            DocumentRefused: If it is damaged, encrypted, or more than may be read.
        """
        entry = self._entries[name]
        if entry.flag_bits & _ENCRYPTED:
            raise DocumentRefused(
                "The file is locked with a password; unlock it in its program and save it again."
            )
        if entry.compress_type not in _METHODS:
            raise DocumentRefused(
                "The file is packed in a way that is not read; open it in its program and save it again."
            )
        if entry.file_size > self._left_bytes or _is_bomb(entry):
            raise DocumentRefused(_BOMB)
        try:
            with self._zip.open(entry) as file:
                # One more than it says: what lies about its size is damaged.
                data = file.read(entry.file_size + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            raise DocumentRefused(_DAMAGED) from error
        if len(data) != entry.file_size:
            raise DocumentRefused(_DAMAGED)
        self._left_bytes -= len(data)
        return data


def _is_bomb(entry: zipfile.ZipInfo) -> bool:
    return entry.file_size > _RATIO_FROM_BYTES and entry.file_size > _MOST_RATIO * max(entry.compress_size, 1)


def _refuse_overlaps(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse entries that share bytes: that is how a small file becomes petabytes."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise DocumentRefused(_OVERLAPPING)
        end = entry.header_offset + 30 + len(entry.filename) + entry.compress_size


def _inner_name(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename.replace("\\", "/")
    mode = entry.external_attr >> 16
    is_inside = not name.startswith("/") and not _DRIVE.match(name) and ".." not in name.split("/")
    return (
        posixpath.normpath(name)
        if name and is_inside and not entry.is_dir() and not stat.S_ISLNK(mode)
        else None
    )
