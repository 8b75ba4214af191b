"""The files of a job while it runs: its text and its plan in the spool, its growing audio beside its final place.

The audio grows in plan order behind the room for a wav header, so that for wav nothing is copied at the end. Only
what the ledger has committed counts: the rest is cut off when a job is taken up again.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.segments import Segment

PARTS_FOLDER = ".voiced"


class TextSource(Protocol):
    """Where the text of a job is read, a segment at a time."""

    def read(self, segment: Segment) -> str:
        """Return the segment's text."""

    def close(self) -> None:
        """Let go of it."""


class MemoryText:
    """The text of a stream."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def read(self, segment: Segment) -> str:
        """Return the segment's text."""
        return self._text[segment.byte_start : segment.byte_end].decode()

    def close(self) -> None:
        """Let go of it."""
        self._text = b""


class FileText:
    """The text of a durable job, read where it is needed: a long book never sits in memory."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, segment: Segment) -> str:
        """Return the segment's text.

        Raises:
            OSError: If the file is damaged.
        """
        size = segment.byte_end - segment.byte_start
        data = os.pread(self._descriptor, size, segment.byte_start)
        if len(data) != size:
            raise OSError(f"the text of the job is cut short at byte {segment.byte_start + len(data)}")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            # One kind of error for all damage: nobody who reads a segment may be taken by surprise.
            raise OSError(
                f"the text of the job is damaged at byte {segment.byte_start + error.start}"
            ) from error

    def close(self) -> None:
        """Close the file."""
        # Once: the number may be another file's by the next time.
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)


def discard(folder: Path) -> None:
    """Remove a job's folder: its text is gone."""
    shutil.rmtree(folder, ignore_errors=True)


class PartFile:
    """The growing audio of a durable job; every write names its place, so that a repeated one does no harm."""

    def __init__(self, path: Path, committed_bytes: int) -> None:
        """Open it, and cut it back to what the ledger has committed.

        Raises:
            OSError: If that cannot be done, or the file is shorter than the ledger says.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.path = path
        size = os.fstat(self._descriptor).st_size
        if size < WAV_HEADER_BYTES + committed_bytes and committed_bytes:
            self.close()
            raise OSError(
                f"{path} has {size} bytes, the ledger knows of {WAV_HEADER_BYTES + committed_bytes}"
            )
        os.ftruncate(self._descriptor, WAV_HEADER_BYTES + committed_bytes)
        self._is_torn = False
        """A piece is missing: what comes after it must not count."""

    def writer(self, offset: int, chunks: list[bytes]) -> Callable[[], None]:
        """Return the work that puts `chunks` at `offset` (bytes of PCM) safely on disk; for the store's thread."""

        def write() -> None:
            if self._is_torn:
                raise OSError(f"an earlier piece of {self.path} could not be written")
            self._is_torn = True
            place = WAV_HEADER_BYTES + offset
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    written = os.pwrite(self._descriptor, view, place)
                    place += written
                    view = view[written:]
            _sync_data(self._descriptor)
            self._is_torn = False

        return write

    def write_header(self, header: bytes) -> None:
        """Put the finished file's header into its room, and everything on disk."""
        assert len(header) == WAV_HEADER_BYTES
        os.pwrite(self._descriptor, header, 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        # Once: the number may be another file's by the next time.
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _sync_data(descriptor: int) -> None:
    # macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(descriptor)
