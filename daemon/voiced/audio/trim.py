"""The edges of a segment: silence cut off, 5 ms faded, whatever pieces the audio comes in.

Works on PCM s16le as it comes from an engine, in one pass and without numpy, because the leanest child uses it too.
What is held back is only what may still turn out to be the end: the trailing silence and the last 5 ms before it.
"""

from array import array

SILENCE = 32
"""Greatest absolute value that counts as silence: -60 dB of full scale."""
FADE_S = 0.005


class EdgeTrimmer:
    """Cuts and fades one segment.

    Args:
        sample_rate_hz: Of the audio, mono.

    The sum of what `feed` and `finish` return depends only on the samples, not on how they were cut into pieces.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._fade = max(1, round(sample_rate_hz * FADE_S))
        self._held = array("h")
        self._loud = 0
        """In what is held: one past the last sample that is no silence."""
        self._out = 0
        """Samples given out."""

    @property
    def samples(self) -> int:
        """Samples given out until now."""
        return self._out

    def feed(self, pcm: bytes) -> bytes:
        """Return what is certain to belong to the segment after `pcm` has come; may be empty.

        Args:
            pcm: Whole samples, s16le.
        """
        new = array("h", pcm)
        if not self._out and not self._held:
            start = _first_loud(new, pcm)
            if start == len(new):
                return b""
            self._loud = _after_last_loud(new, pcm) - start
            del new[:start]
        elif loud := _after_last_loud(new, pcm):
            self._loud = len(self._held) + loud
        self._held += new
        return self._give(self._loud - self._fade)

    def finish(self) -> bytes:
        """Return the last samples, faded out; the silence after them is dropped."""
        del self._held[self._loud :]
        count = min(self._fade, len(self._held))
        # The fade-in comes first, as it would have in earlier pieces.
        self._fade_in(self._held)
        start = len(self._held) - count
        for i in range(count):
            self._held[start + i] = self._held[start + i] * (count - i) // (count + 1)
        last = self._held.tobytes()
        self._out += len(self._held)
        self._held = array("h")
        self._loud = 0
        return last

    def _give(self, count: int) -> bytes:
        if count <= 0:
            return b""
        given = self._held[:count]
        del self._held[:count]
        self._loud -= count
        self._fade_in(given)
        self._out += count
        return given.tobytes()

    def _fade_in(self, given: "array[int]") -> None:
        for i in range(min(self._fade - self._out, len(given))):
            given[i] = given[i] * (self._out + i + 1) // (self._fade + 1)


def trimmed(pcm: bytes, sample_rate_hz: int) -> bytes:
    """Return a whole segment, cut and faded."""
    trimmer = EdgeTrimmer(sample_rate_hz)
    return trimmer.feed(pcm) + trimmer.finish()


def _first_loud(samples: "array[int]", pcm: bytes) -> int:
    """The place of the first sample that is no silence; the length where there is none."""
    begin = (len(pcm) - len(pcm.lstrip(b"\0"))) // 2  # most silence is zeros, which this passes at once
    return next(
        (i for i in range(begin, len(samples)) if not -SILENCE <= samples[i] <= SILENCE), len(samples)
    )


def _after_last_loud(samples: "array[int]", pcm: bytes) -> int:
    """One past the last sample that is no silence; 0 where there is none."""
    end = (len(pcm.rstrip(b"\0")) + 1) // 2
    return next((i + 1 for i in range(end - 1, -1, -1) if not -SILENCE <= samples[i] <= SILENCE), 0)
