"""What a segment sounds like, taken in chunk by chunk: all that is asked of its samples, which need not be kept."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

FRAME_S = 0.02
"""Of the loudness track."""
FULL_SCALE = 0.999
_RANGE_DB = 60.0


def peak_of(samples: "FloatArray") -> float:
    """Return the greatest absolute value; 0 of nothing, no number where one of them is none."""
    return max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))


class Hearing:
    """Peak, clipping and loudness of what was heard so far.

    Args:
        sample_rate_hz: Of the samples, mono.

    It depends only on the samples, not on how they were cut into chunks.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._size = max(1, round(sample_rate_hz * FRAME_S))
        self._count = 0
        self._powers: list[NDArray[np.float32]] = []
        """Sum of the squares of each whole frame: only their ratios count."""
        self._rest = np.zeros(0, np.float32)
        """Less than a frame."""
        self.peak = 0.0
        """Greatest absolute value; no number where a sample is none."""
        self.clipped = 0
        """Samples at full scale."""

    @property
    def seconds(self) -> float:
        """Length of what was heard."""
        return self._count / self._rate_hz

    @property
    def clipped_fraction(self) -> float:
        """Part of the samples that is at full scale."""
        return self.clipped / self._count if self._count else 0.0

    def hear(self, chunk: "FloatArray", peak: float) -> None:
        """Take the next samples.

        Args:
            chunk: Shape [frames], nominal range [-1, 1].
            peak: Of the chunk, by `peak_of`: whoever makes PCM of it needs it too.
        """
        self._count += len(chunk)
        if not math.isfinite(self.peak) or not math.isfinite(peak):
            self.peak = math.nan  # nothing more is asked of it
            return
        self.peak = max(self.peak, peak)
        if peak >= FULL_SCALE:
            self.clipped += int(np.count_nonzero(chunk >= FULL_SCALE))
            self.clipped += int(np.count_nonzero(chunk <= -FULL_SCALE))
        if len(self._rest):
            missing = self._size - len(self._rest)
            self._rest = np.concatenate((self._rest, chunk[:missing]))
            if len(self._rest) < self._size:
                return
            self._measure(self._rest)
            chunk = chunk[missing:]
        self._measure(chunk)
        self._rest = chunk[len(chunk) // self._size * self._size :].copy()  # not a view of the whole chunk

    def _measure(self, samples: "FloatArray") -> None:
        whole = len(samples) // self._size * self._size
        if whole:
            frames = samples[:whole].reshape(-1, self._size)
            self._powers.append(np.einsum("ij,ij->i", frames, frames))  # without an array of squares

    def levels_db(self) -> "NDArray[np.float32]":
        """Return the loudness of each 20 ms in dB, 0 = the loudest, not below -60."""
        powers = np.concatenate(self._powers) if self._powers else np.zeros(0, np.float32)
        loudest = powers.max(initial=np.float32(0))
        if loudest <= 0:
            return np.zeros(len(powers), np.float32)
        levels: NDArray[np.float32] = 10 * np.log10(np.maximum(powers / loudest, 10 ** (-_RANGE_DB / 10)))
        return levels
