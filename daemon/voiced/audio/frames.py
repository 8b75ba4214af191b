"""PCM as FFmpeg takes it. Runs in the scribe; PyAV and numpy are imported at first use."""

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av


def frame_of(block: bytes, sample_rate_hz: int, place: int = 0) -> "av.AudioFrame":
    """Return PCM s16le, mono, as a frame.

    Args:
        block: At least one sample.
        sample_rate_hz: Of the sound.
        place: Samples before this block.
    """
    import av
    import numpy as np

    samples = np.frombuffer(block, dtype="<i2").astype(np.int16, copy=False)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = sample_rate_hz
    frame.pts, frame.time_base = place, Fraction(1, sample_rate_hz)
    return frame
