"""Where each segment of a durable job lies in its sound: a small file beside its plan, and what is made of it.

The file has a row for each segment, written with its audio and before the ledger counts it; what lies beyond the ledger
is cut off when a job is taken up again. Chapter marks and subtitles are made of the plan and the rows.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from voiced.segments import Plan

TIMELINE_FILE = "timeline"
"""Its name in the folder of a job."""
_ROW = struct.Struct("<QQ")


class Span(NamedTuple):
    """Where a segment lies, in samples at the engine's rate; the pause after it does not count."""

    start: int
    end: int


class Line(NamedTuple):
    """A segment and when it is heard."""

    segment: int
    start_sample: int
    end_sample: int


class TimelineFile:
    """The rows of a job in the making.

    Args:
        path: Of the file; made where it is not there.
        segments_done: Rows that the ledger knows of. Those that are missing, of a job that an earlier version began,
            are zeros.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path, segments_done: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.ftruncate(self._descriptor, segments_done * _ROW.size)

    def writer(self, first: int, spans: Sequence[Span]) -> Callable[[], None]:
        """Return the work that writes the rows from segment `first` on; for the store's thread."""
        rows = b"".join(_ROW.pack(*span) for span in spans)

        def write() -> None:
            if os.pwrite(self._descriptor, rows, first * _ROW.size) != len(rows):
                raise OSError("the rows of the timeline were cut short")
            # Before the ledger: what it knows of must be there after a crash.
            getattr(os, "fdatasync", os.fsync)(self._descriptor)

        return write

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def read_timeline(folder: Path) -> list[Span]:
    """Return the rows in a job's folder; none where there is no such file."""
    try:
        data = (folder / TIMELINE_FILE).read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) // _ROW.size * _ROW.size
    return [Span(*row) for row in _ROW.iter_unpack(data[:whole])]


def spoken_lines(plan: Plan, spans: Sequence[Span]) -> Iterator[Line]:
    """Return the segments that are heard, and when, in the order of the plan."""
    for index, span in enumerate(spans[: len(plan.segments)]):
        if span.end > span.start:
            yield Line(index, span.start, span.end)
