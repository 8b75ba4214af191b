"""Lays the audio of segments, which arrives in any order, into the order of the plan, with the pauses between.

Pure: bytes in, bytes out. The expected length of a job is the sum of its trimmed segments and of its pauses, exact to
the sample; this is the one place that adds them up.
"""

from collections.abc import Sequence
from typing import NamedTuple

from voiced.segments import Break, Segment

BYTES_PER_SAMPLE = 2


class Pauses(NamedTuple):
    """How long the silence after a segment is, in milliseconds."""

    clause_ms: int
    sentence_ms: int
    paragraph_ms: int
    chapter_ms: int

    def samples(self, after: Break, sample_rate_hz: int) -> int:
        """Return the samples of silence after a segment."""
        length_ms = {
            Break.CLAUSE: self.clause_ms,
            Break.SENTENCE: self.sentence_ms,
            Break.PARAGRAPH: self.paragraph_ms,
            Break.CHAPTER: self.chapter_ms,
        }.get(after, 0)
        return length_ms * sample_rate_hz // 1000


class Closed(NamedTuple):
    """A segment that became whole, in bytes of the job's audio."""

    segment: int
    start: int
    end: int
    """Of its sound."""
    after: int
    """Of the pause behind it: where the next one begins."""


class Assembly:
    """The audio of one job in the making.

    A segment may be spoken again after a crash: what it already gave is skipped, so the reader hears it once.
    That needs an engine that repeats itself; of others a segment is given out when it is whole (`holds_back`).

    Args:
        segments: Of the plan.
        pauses: Between them.
        first: The segment to begin with; those before it are in the spool.
        given_bytes: What is in the spool.
    """

    def __init__(
        self, segments: Sequence[Segment], pauses: Pauses, first: int = 0, given_bytes: int = 0
    ) -> None:
        self._segments = segments
        self._pauses = pauses
        self._head = first
        self._waiting: dict[int, list[bytes]] = {}
        self._complete: set[int] = set()
        self._given: dict[int, int] = {}
        self._given_bytes = given_bytes
        self._head_start = given_bytes
        self.closed: list[Closed] = []
        """Every segment that became whole; the caller takes them out."""
        self._skip: dict[int, int] = {}
        self.holds_back = False
        """The engine does not repeat itself."""

    @property
    def head(self) -> int:
        """The first segment that is not whole yet; all before it were given out."""
        return self._head

    @property
    def is_whole(self) -> bool:
        """Whether every segment was given out."""
        return self._head == len(self._segments)

    @property
    def waiting_bytes(self) -> int:
        """Audio that waits for an earlier segment."""
        return sum(len(piece) for pieces in self._waiting.values() for piece in pieces)

    def begin(self, index: int) -> None:
        """A new attempt at a segment begins: forget what waits, skip what was given out."""
        self._waiting.pop(index, None)
        self._complete.discard(index)
        self._skip[index] = self._given.get(index, 0)

    def audio(self, index: int, pcm: bytes) -> list[bytes]:
        """Take audio of a segment; return what can be given out now."""
        if index < self._head:  # spoken once more with its batch, and given out long ago
            return []
        skip = self._skip.get(index, 0)
        if skip:
            self._skip[index] = max(0, skip - len(pcm))
            pcm = pcm[skip:]
        if not pcm:
            return []
        if index != self._head or self.holds_back:
            self._waiting.setdefault(index, []).append(pcm)
            return []
        return self._give([pcm])

    def spoken(self, index: int, sample_rate_hz: int) -> list[bytes]:
        """Take the end of a segment; return what can be given out now: pauses, and segments that waited."""
        if index >= self._head:
            self._complete.add(index)
        given: list[bytes] = []
        while self._head in self._complete:
            given += self._give(self._waiting.pop(self._head, []))
            given += self._close_head(sample_rate_hz)
        if not self.holds_back:
            given += self._give(self._waiting.pop(self._head, []))
        return given

    def _give(self, pieces: list[bytes]) -> list[bytes]:
        """Count audio of the head that is given out."""
        size = sum(map(len, pieces))
        if size:
            self._given[self._head] = self._given.get(self._head, 0) + size
            self._given_bytes += size
        return pieces

    def _close_head(self, sample_rate_hz: int) -> list[bytes]:
        index = self._head
        self._complete.discard(index)
        self._given.pop(index, None)
        self._skip.pop(index, None)
        pause = self._pauses.samples(self._segments[index].after, sample_rate_hz)
        self._head += 1
        start, end = self._head_start, self._given_bytes
        self._given_bytes = self._head_start = end + pause * BYTES_PER_SAMPLE
        self.closed.append(Closed(index, start, end, self._given_bytes))
        return [bytes(pause * BYTES_PER_SAMPLE)] if pause else []
