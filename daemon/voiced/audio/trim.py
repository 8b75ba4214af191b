"""The edges of a segment: silence cut off, 5 ms faded, whatever pieces the audio comes in.

Works on PCM s16le as it comes from an engine, in one pass and without numpy, because the leanest child uses it too.
What is held back is only what may still turn out to be the end: the trailing silence and the last 5 ms before it.
"""

from array import array

SILENCE = 32
"""Greatest absolute value that counts as silence: -60 dB of full scale."""
FADE_S = 0.005
_WIDTH = 2
"""Bytes of a sample."""


class EdgeTrimmer:
    """Cuts and fades one segment.

    Args:
        sample_rate_hz: Of the audio, mono.

    The sum of what `feed` and `finish` return depends only on the samples, not on how they were cut into pieces.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._fade = max(1, round(sample_rate_hz * FADE_S))
        self._held = b""
        self._loud = 0
        """In what is held: one past the last sample that is no silence."""
        self._out = 0
        """Samples given out."""
        self._cut = 0
        """Samples of silence before them."""

    @property
    def samples(self) -> int:
        """Samples given out until now."""
        return self._out

    @property
    def leading_samples(self) -> int:
        """Samples of silence that were cut off the beginning."""
        return self._cut

    def feed(self, pcm: bytes) -> bytes:
        """Return what is certain to belong to the segment after `pcm` has come; may be empty.

        Args:
            pcm: Whole samples, s16le.
        """
        if not self._out and not self._held:
            start = _first_loud(pcm)
            self._cut += start
            if start * _WIDTH == len(pcm):
                return b""
            pcm = pcm[start * _WIDTH :]
        if loud := _after_last_loud(pcm):
            self._loud = len(self._held) // _WIDTH + loud
        return self._give(pcm, self._loud - self._fade)

    def finish(self) -> bytes:
        """Return the last samples, faded out; the silence after them is dropped."""
        # The fade-in comes first, as it would have in earlier pieces.
        last = array("h", self._faded_in(self._held[: self._loud * _WIDTH]))
        count = min(self._fade, len(last))
        start = len(last) - count
        for i in range(count):
            last[start + i] = last[start + i] * (count - i) // (count + 1)
        self._out += len(last)
        self._held, self._loud = b"", 0
        return last.tobytes()

    def _give(self, pcm: bytes, count: int) -> bytes:
        """Give out `count` samples of what is held and of `pcm` after it; hold the rest. Audio is copied once."""
        size = max(0, count) * _WIDTH
        if size <= len(self._held):
            given, self._held = self._held[:size], self._held[size:] + pcm
        else:
            split = size - len(self._held)
            given, self._held = self._held + pcm[:split], pcm[split:]
        given = self._faded_in(given)
        self._loud -= max(0, count)
        self._out += max(0, count)
        return given

    def _faded_in(self, given: bytes) -> bytes:
        left = self._fade - self._out
        if left <= 0 or not given:
            return given
        first = array("h", given[: left * _WIDTH])
        for i in range(len(first)):
            first[i] = first[i] * (self._out + i + 1) // (self._fade + 1)
        return first.tobytes() + given[left * _WIDTH :]


def trimmed(pcm: bytes, sample_rate_hz: int) -> bytes:
    """Return a whole segment, cut and faded."""
    trimmer = EdgeTrimmer(sample_rate_hz)
    return trimmer.feed(pcm) + trimmer.finish()


def _first_loud(pcm: bytes) -> int:
    """The place of the first sample that is no silence; the length where there is none."""
    samples = memoryview(pcm).cast("h")
    begin = (len(pcm) - len(pcm.lstrip(b"\0"))) // _WIDTH  # most silence is zeros, which this passes at once
    return next(
        (i for i in range(begin, len(samples)) if not -SILENCE <= samples[i] <= SILENCE), len(samples)
    )


def _after_last_loud(pcm: bytes) -> int:
    """One past the last sample that is no silence; 0 where there is none."""
    samples = memoryview(pcm).cast("h")
    end = (len(pcm.rstrip(b"\0")) + 1) // _WIDTH
    return next((i + 1 for i in range(end - 1, -1, -1) if not -SILENCE <= samples[i] <= SILENCE), 0)
