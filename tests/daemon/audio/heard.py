"""Whole sounds, heard at once."""

import numpy as np
from numpy.typing import NDArray

from voiced.audio.hearing import Hearing, peak_of


def heard(samples: NDArray[np.float32], sample_rate_hz: int) -> Hearing:
    """Return what whole samples sound like."""
    hearing = Hearing(sample_rate_hz)
    hearing.hear(samples, peak_of(samples))
    return hearing
