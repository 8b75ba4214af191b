"""One attempt at a segment: what the engine made of it, and what is wrong with that."""

from typing import TYPE_CHECKING

import numpy as np

from voiced.audio.check import Fault, faults_of
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
    """

    def __init__(self, request: SegmentRequest, sample_rate_hz: int) -> None:
        self.request = request
        self._sample_rate_hz = sample_rate_hz
        self._chunks: list[FloatArray] = []
        self._is_endless = False
        self.heard: tuple[WordTime, ...] = ()
        """When its words are heard, as far as the engine told."""

    def hear(self, chunk: "FloatArray | Heard") -> None:
        """Take the next samples, or when words are heard."""
        if isinstance(chunk, Heard):
            self.heard += chunk.words
        elif chunk is ENDLESS:
            self._is_endless = True
        else:
            self._chunks.append(chunk)

    @property
    def samples(self) -> "FloatArray":
        """All samples so far."""
        if len(self._chunks) == 1:
            return self._chunks[0]  # most are: not copied
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)

    def faults(self) -> tuple[Fault, ...]:
        """Return what is wrong with it."""
        samples = self.samples
        heard = faults_of(samples, self._sample_rate_hz, self.request.text, speed=self.request.speed)
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
