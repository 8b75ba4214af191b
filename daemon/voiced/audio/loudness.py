"""How loud a recording is (EBU R 128, ITU-R BS.1770), and one gain for the whole of it. Runs in the scribe.

A first pass over all blocks measures, in memory that does not grow. The gain is the same from beginning to end, so
that a book stays even and nothing pumps. Peaks bound it: a limiter would change the sound, a smaller gain does not.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

from voiced.audio import pcm
from voiced.audio.frames import frame_of

MAX_TRUE_PEAK_DBTP = -1.0
"""EBU R 128: the greatest true peak; it leaves room for what a lossy encoder adds."""
QUIETEST_LUFS = -70.0
"""BS.1770's absolute gate: what is below counts as silence."""
_FLUSH_MS = 100
"""The filter speaks every 100 ms: so much silence makes it tell about the last peaks."""


class Loudness(NamedTuple):
    """What was measured."""

    integrated_lufs: float
    true_peak_dbtp: float
    """Of the sound between the samples too, four times oversampled or more; -inf for silence."""


class Gain(NamedTuple):
    """What to do about it."""

    db: float
    note: str = ""
    """Why it is not what was asked for; empty where it is."""


def measure(blocks: Iterable[bytes], sample_rate_hz: int) -> Loudness | None:
    """Return how loud blocks of PCM s16le, mono, are; None for silence, and for less than 0.4 s of sound.

    One channel is measured as BS.1770 says. Played through two loudspeakers it is 3 LU louder.
    """
    meter = _Meter(sample_rate_hz)
    for block in blocks:
        meter.hear(block)
    return meter.finish()


def gain_for(measured: Loudness | None, target_lufs: float) -> Gain:
    """Return the gain that brings what was measured to a loudness, no further than the peaks allow."""
    if measured is None:
        return Gain(0.0, "The sound is too short or too soft to be levelled; its loudness stays.")
    wanted_db = target_lufs - measured.integrated_lufs
    allowed_db = MAX_TRUE_PEAK_DBTP - measured.true_peak_dbtp
    if wanted_db <= allowed_db:
        return Gain(wanted_db)
    reached_lufs = measured.integrated_lufs + allowed_db
    return Gain(
        allowed_db,
        f"The loudness is {reached_lufs:.1f} LUFS instead of {target_lufs:.1f}: more would clip its peaks.",
    )


def amplified(blocks: Iterable[bytes], gain_db: float) -> Iterator[bytes]:
    """Yield blocks of PCM s16le by so much louder; silence stays silence."""
    import numpy as np

    factor = 10 ** (gain_db / 20)
    for block in blocks:
        samples = np.rint(np.frombuffer(block, dtype="<i2") * factor)
        yield np.clip(samples, -32_768, 32_767).astype("<i2").tobytes()


class _Meter:
    """FFmpeg's filter `ebur128`, fed by hand."""

    def __init__(self, sample_rate_hz: int) -> None:
        import av.filter

        self._rate = sample_rate_hz
        self._place = 0
        self._told: dict[str, str] = {}
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        self._source = self._graph.add_abuffer(
            format="s16", sample_rate=sample_rate_hz, layout="mono", time_base=Fraction(1, sample_rate_hz)
        )
        meter = self._graph.add("ebur128", "metadata=1:peak=true")
        self._sink = self._graph.add("abuffersink")
        self._source.link_to(meter)
        meter.link_to(self._sink)
        self._graph.configure()

    def hear(self, block: bytes) -> None:
        """Take in some sound."""
        if block:
            self._source.push(frame_of(block, self._rate, self._place))
            self._place += pcm.samples_of(len(block))
            self._listen()

    def finish(self) -> Loudness | None:
        """Return what all of it was."""
        integrated_lufs = float(self._told.get("lavfi.r128.I", "-inf"))
        self.hear(pcm.silence(_FLUSH_MS, self._rate))
        if not integrated_lufs > QUIETEST_LUFS:
            return None
        peak = float(self._told.get("lavfi.r128.true_peak", "0"))
        return Loudness(integrated_lufs, 20 * math.log10(peak) if peak > 0 else -math.inf)

    def _listen(self) -> None:
        import av.error

        while True:
            try:
                self._told = dict(self._sink.pull().metadata) or self._told
            except av.error.BlockingIOError:
                return
