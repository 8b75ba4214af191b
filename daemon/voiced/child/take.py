"""One attempt at a segment: what the engine made of it, and what is wrong with that."""

from typing import TYPE_CHECKING

import numpy as np

from voiced.audio.check import Fault, faults_of
from voiced.audio.hearing import Hearing
from voiced.engines.base import Heard, SegmentRequest
from voiced.engines.ending import ENDLESS
from voiced.word_times import WordTime

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray


class Take:
    """A segment in the making.

    Args:
        request: What is spoken.
        sample_rate_hz: Of the engine.
        is_kept: Whether its samples are wanted at the end; who listens has them already.
    """

    def __init__(self, request: SegmentRequest, sample_rate_hz: int, *, is_kept: bool = True) -> None:
        self.request = request
        self._hearing = Hearing(sample_rate_hz)
        self._is_kept = is_kept
        self._chunks: list[FloatArray] = []
        self._is_endless = False
        self.heard: tuple[WordTime, ...] = ()
        """When its words are heard, as far as the engine told."""

    def hear(self, chunk: "FloatArray | Heard", peak: float) -> None:
        """Take the next samples and their peak, or when words are heard, which have none."""
        if isinstance(chunk, Heard):
            self.heard += chunk.words
        elif chunk is ENDLESS:
            self._is_endless = True
        else:
            self._hearing.hear(chunk, peak)
            if self._is_kept:
                self._chunks.append(chunk)

    @property
    def samples(self) -> "FloatArray":
        """All samples so far, where they are kept."""
        if len(self._chunks) == 1:
            return self._chunks[0]  # most are: not copied
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)

    @property
    def peak(self) -> float:
        """Greatest absolute value of the samples."""
        return self._hearing.peak

    def faults(self) -> tuple[Fault, ...]:
        """Return what is wrong with it."""
        heard = faults_of(self._hearing, self.request.text, speed=self.request.speed)
        return (*heard, Fault.ENDLESS) if self._is_endless else heard

    @property
    def other(self) -> SegmentRequest | None:
        """What to ask for another take; None where there can be none.

        A described voice is what its seed makes of the words: with another seed it would be another person.
        """
        request = self.request
        if request.description:
            return None
        return request._replace(seed=(request.seed * 2_654_435_761 + 1) & 0xFFFFFFFF)
