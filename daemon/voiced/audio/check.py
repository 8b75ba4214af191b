"""What can be heard to be wrong with a segment: pure, on its samples and its text.

A neural model sometimes says nothing, never ends, or says one thing over and over. Nobody listens to a whole book for
that: each segment is looked at, spoken once more with another seed where something is wrong, and reported.
"""

import math
import unicodedata
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


class Fault(Enum):
    """What is wrong, in words that follow "it"."""

    SILENT = "is silent"
    CLIPPED = "is clipped"
    SHORT = "is too short for its text"
    LONG = "is too long for its text"
    REPEATS = "repeats itself"
    ENDLESS = "did not come to an end"
    """Told by the engine, not heard."""


SILENCE = 0.003
"""Greatest sample of a segment that counts as silent: -50 dB of full scale."""
_FULL_SCALE = 0.999
CLIPPED_FRACTION = 0.005
"""More samples at full scale than this are heard as distortion."""
LEAST_S_PER_LETTER = 0.012
"""80 letters a second: four times the fastest speech that people follow."""
MOST_S_PER_LETTER, MOST_PAUSES_S = 0.25, 3.0
"""Four letters a second is half of slow reading, and a segment may have long pauses."""
_LEAST_LETTERS = 8
"""Fewer say nothing about the pace: "Ah!" may take its time."""
_DIGIT_LETTERS = 5
"""A digit is spoken as a word of about so many letters."""
_DENSE_LETTERS = 3
"""A character of Chinese or Japanese, or a syllable of Korean."""

_FRAME_S = 0.02
_PERIODS_S = (0.2, 3.0)
_REPEATS = 4
_REPEATED_FRACTION = 0.4
_BLOCK = 1 << 16
"""Numbers that are compared at once."""
_SAME_DB, _VARIED_DB = 2.0, 3.0
"""Frames that differ less are the same; a stretch that varies less is a hum or a pause and repeats nothing."""


def faults_of(
    samples: "FloatArray", sample_rate_hz: int, text: str, *, speed: float = 1.0
) -> tuple[Fault, ...]:
    """Return what is wrong with a segment.

    Args:
        samples: Shape [frames], nominal range [-1, 1]. Nothing is said of what is not finite: it cannot be heard.
        sample_rate_hz: Of them.
        text: What it says; one without a letter or digit may sound as it likes.
        speed: As asked for: 2 = twice as fast.
    """
    letters, peak = letters_of(text), peak_of(samples)
    if not letters or not math.isfinite(peak):
        return ()
    if peak <= SILENCE:
        return (Fault.SILENT,)
    found = []
    if peak >= _FULL_SCALE:
        clipped = np.count_nonzero(samples >= _FULL_SCALE) + np.count_nonzero(samples <= -_FULL_SCALE)
        if clipped > CLIPPED_FRACTION * len(samples):
            found.append(Fault.CLIPPED)
    seconds = len(samples) / sample_rate_hz * speed
    if letters >= _LEAST_LETTERS and seconds < letters * LEAST_S_PER_LETTER:
        found.append(Fault.SHORT)
    if seconds > letters * MOST_S_PER_LETTER + MOST_PAUSES_S * max(1.0, speed):
        found.append(Fault.LONG)
    if repeats(energy_db(samples, sample_rate_hz)):
        found.append(Fault.REPEATS)
    return tuple(found)


def peak_of(samples: "FloatArray") -> float:
    """Return the greatest absolute value; 0 of nothing, no number where one of them is none."""
    return max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))


def letters_of(text: str) -> int:
    """Return about how many letters are spoken; 0 = there is nothing to say."""
    return sum(map(_letters, text))


def _letters(character: str) -> int:
    kind = unicodedata.category(character)
    if kind[0] == "N":
        return _DIGIT_LETTERS
    if kind == "Lo" and unicodedata.east_asian_width(character) == "W":
        return _DENSE_LETTERS
    return int(kind[0] == "L")


def energy_db(samples: "FloatArray", sample_rate_hz: int) -> "NDArray[np.floating]":
    """Return the loudness of each 20 ms in dB, not below -60 of the loudest."""
    size = max(1, round(sample_rate_hz * _FRAME_S))
    whole = len(samples) // size * size
    frames = samples[:whole].reshape(-1, size)
    power = np.einsum("ij,ij->i", frames, frames) / size  # without an array of squares
    loudest = float(power.max(initial=0.0))
    if loudest <= 0:
        return np.zeros(len(power))
    levels: NDArray[np.floating] = 10 * np.log10(np.maximum(power / loudest, 1e-6))
    return levels


def repeats(levels: "NDArray[np.floating]") -> bool:
    """Return whether a stretch of a loudness track, 40 % of it or more, is one pattern four times or more.

    Args:
        levels: In dB, for each 20 ms.
    """
    count = len(levels)
    shortest, longest = (round(seconds / _FRAME_S) for seconds in _PERIODS_S)
    longest = min(longest, count // _REPEATS)
    block = max(1, _BLOCK // max(1, count))
    for first in range(shortest, longest + 1, block):
        periods = np.arange(first, min(first + block, longest + 1))
        is_same = _is_same_after(periods, levels)
        least = np.maximum((_REPEATS - 1) * periods, _REPEATED_FRACTION * count - periods)
        # Nearly always there are not so many, wherever they stand.
        (some,) = np.nonzero(np.count_nonzero(is_same, axis=1) >= least)
        starts, lengths = _longest_runs(is_same[some])
        (long,) = np.nonzero(lengths >= least[some])
        for start, period in zip(starts[long], periods[some[long]], strict=True):
            if float(levels[start : start + period].std()) >= _VARIED_DB:
                return True
    return False


def _is_same_after(periods: "NDArray[np.int_]", levels: "NDArray[np.floating]") -> "NDArray[np.bool_]":
    """Return for each of consecutive periods which frames are like the one a period later, [periods, frames]."""
    endless = np.concatenate((levels, np.full(int(periods[-1]), np.inf, levels.dtype)))
    later = np.lib.stride_tricks.sliding_window_view(endless, len(levels))[periods[0] :]
    is_same: NDArray[np.bool_] = np.abs(later - levels) < _SAME_DB
    return is_same


def _longest_runs(flags: "NDArray[np.bool_]") -> tuple["NDArray[np.int_]", "NDArray[np.int_]"]:
    """Return the first of the longest runs of True in each row: places and lengths."""
    places = np.arange(flags.shape[1])
    stops = np.maximum.accumulate(np.where(flags, -1, places), axis=1)  # the last False up to each place
    lengths = places - stops
    ends = lengths.argmax(axis=1)
    longest = lengths[np.arange(len(flags)), ends]
    return ends - longest + 1, longest
