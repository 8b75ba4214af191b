"""Where each segment of a durable job lies in its sound, and when its words are heard: two files beside its plan.

Both are written with the audio and before the ledger counts it; what lies beyond the ledger is cut off when a job is
taken up again. `timeline` has a row for each segment. `words` is there where subtitles were asked for, with a record
for each segment whose words the engine told. Chapters and subtitles are made of the plan and of these.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

TIMELINE_FILE, WORDS_FILE = "timeline", "words"
"""Their names in the folder of a job."""
_ROW = struct.Struct("<QQ")
_RECORD = struct.Struct("<II")
"""What stands before the words of a segment: its number, from 1 because a hole in a file reads as zeros; and bytes."""


class Span(NamedTuple):
    """Where a segment lies, in samples at the engine's rate; the pause after it does not count."""

    start: int
    end: int


class Placed(NamedTuple):
    """A segment in the sound."""

    span: Span
    heard: bytes = b""
    """When its words are, as `voiced.word_times` packs it; empty = that is not known."""


class TimelineFile:
    """The rows and words of a job in the making.

    Args:
        folder: Of the job; the files are made where they are not there.
        segments_done: What the ledger knows of. Rows that are missing, of a job that an earlier version began, are
            zeros.
        has_words: Words are kept, too.

    Raises:
        OSError: If they cannot be opened.
    """

    def __init__(self, folder: Path, segments_done: int, *, has_words: bool = False) -> None:
        self._rows, self._words = _open(folder / TIMELINE_FILE), -1
        os.ftruncate(self._rows, segments_done * _ROW.size)
        self._words_bytes = 0
        if has_words:
            self._words = _open(folder / WORDS_FILE)
            self._words_bytes = _whole_bytes((folder / WORDS_FILE).read_bytes(), segments_done)
            os.ftruncate(self._words, self._words_bytes)

    def writer(self, first: int, placed: Sequence[Placed]) -> Callable[[], None]:
        """Return the work that writes the segments from `first` on, in order; for the store's thread."""
        writes = [(self._rows, b"".join(_ROW.pack(*one.span) for one in placed), first * _ROW.size)]
        if self._words >= 0:
            words = b"".join(
                _RECORD.pack(number, len(one.heard)) + one.heard
                for number, one in enumerate(placed, first + 1)
                if one.heard
            )
            writes.append((self._words, words, self._words_bytes))
            self._words_bytes += len(words)

        def write() -> None:
            for descriptor, data, offset in writes:
                if data:
                    _write(descriptor, data, offset)

        return write

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._rows, self._words):
            if descriptor >= 0:
                os.close(descriptor)
        self._rows = self._words = -1


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    if os.pwrite(descriptor, data, offset) != len(data):
        raise OSError("what was written of the timeline was cut short")
    # Before the ledger: what it knows of must be there after a crash.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def read_timeline(folder: Path) -> list[Span]:
    """Return the rows in a job's folder; none where there is no such file."""
    try:
        data = (folder / TIMELINE_FILE).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) // _ROW.size * _ROW.size
    return [Span(*row) for row in _ROW.iter_unpack(data[:whole])]


def read_words(folder: Path) -> dict[int, bytes]:
    """Return the words in a job's folder by their segment, packed; none where there is no such file."""
    try:
        data = (folder / WORDS_FILE).read_bytes()
    except FileNotFoundError:
        return {}
    return {number - 1: data[start:end] for number, start, end in _records(data)}


def _records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (number of the segment, start, end) of the whole records up to the first that is none."""
    last, place = 0, 0
    while place + _RECORD.size <= len(data):
        number, size = _RECORD.unpack_from(data, place)
        start, end = place + _RECORD.size, place + _RECORD.size + size
        if number <= last or end > len(data):
            return
        yield number, start, end
        last, place = number, end


def _whole_bytes(data: bytes, segments_done: int) -> int:
    """How much of a file of words belongs to segments that are done."""
    return max((end for number, _, end in _records(data) if number <= segments_done), default=0)
