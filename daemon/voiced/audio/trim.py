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
_NOTHING = memoryview(b"")


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
        begin = 0
        if not self._out and not self._held:
            begin = _first_loud(pcm)
            self._cut += begin
            if begin * _WIDTH == len(pcm):
                return b""
        if loud := _after_last_loud(pcm):
            self._loud = len(self._held) // _WIDTH + loud - begin
        return self._give(memoryview(pcm)[begin * _WIDTH :], self._loud - self._fade)

    def finish(self) -> bytes:
        """Return the last samples, faded out; the silence after them is dropped."""
        # The fade-in comes first, as it would have in earlier pieces.
        last = array("h", self._joined(self._held[: self._loud * _WIDTH]))
        count = min(self._fade, len(last))
        start = len(last) - count
        for i in range(count):
            last[start + i] = last[start + i] * (count - i) // (count + 1)
        self._out += len(last)
        self._held, self._loud = b"", 0
        return last.tobytes()

    def _give(self, pcm: memoryview, count: int) -> bytes:
        """Give out `count` samples of what is held and of `pcm` after it; hold the rest. Audio is copied once."""
        size = max(0, count) * _WIDTH
        split = max(0, size - len(self._held))
        given = self._joined(self._held[:size], pcm[:split])
        self._held = b"".join((self._held[size:], pcm[split:]))
        self._loud -= max(0, count)
        self._out += max(0, count)
        return given

    def _joined(self, head: bytes, tail: memoryview = _NOTHING) -> bytes:
        """Both, one after the other; what belongs to the first 5 ms is faded in."""
        left = max(0, self._fade - self._out)
        missing = max(0, left * _WIDTH - len(head))
        first = array("h", b"".join((head[: left * _WIDTH], tail[:missing])))
        for i in range(len(first)):
            first[i] = first[i] * (self._out + i + 1) // (self._fade + 1)
        return b"".join((first, head[left * _WIDTH :], tail[missing:]))


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
