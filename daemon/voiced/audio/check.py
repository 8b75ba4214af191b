"""What can be heard to be wrong with a segment: pure, on what it sounds like and its text.

A neural model sometimes says nothing, never ends, or says one thing over and over. Nobody listens to a whole book for
that: each segment is looked at, spoken once more with another seed where something is wrong, and reported.
"""

import math
import unicodedata
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from voiced.audio.hearing import FRAME_S, Hearing

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

_PERIODS_S = (0.2, 3.0)
_REPEATS = 4
_REPEATED_FRACTION = 0.4
_BLOCK = 1 << 16
"""Numbers that are compared at once."""
_SAME_DB, _VARIED_DB = 2.0, 3.0
"""Frames that differ less are the same; a stretch that varies less is a hum or a pause and repeats nothing."""


def faults_of(hearing: Hearing, text: str, *, speed: float = 1.0) -> tuple[Fault, ...]:
    """Return what is wrong with a segment.

    Args:
        hearing: What it sounds like. Nothing is said of what is not finite: it cannot be heard.
        text: What it says; one without a letter or digit may sound as it likes.
        speed: As asked for: 2 = twice as fast.
    """
    letters = letters_of(text)
    if not letters or not math.isfinite(hearing.peak):
        return ()
    if hearing.peak <= SILENCE:
        return (Fault.SILENT,)
    found = []
    if hearing.clipped_fraction > CLIPPED_FRACTION:
        found.append(Fault.CLIPPED)
    seconds = hearing.seconds * speed
    if letters >= _LEAST_LETTERS and seconds < letters * LEAST_S_PER_LETTER:
        found.append(Fault.SHORT)
    if seconds > letters * MOST_S_PER_LETTER + MOST_PAUSES_S * max(1.0, speed):
        found.append(Fault.LONG)
    if repeats(hearing.levels_db()):
        found.append(Fault.REPEATS)
    return tuple(found)


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


def repeats(levels: "NDArray[np.floating]") -> bool:
    """Return whether a stretch of a loudness track, 40 % of it or more, is one pattern four times or more.

    Args:
        levels: In dB, for each 20 ms.
    """
    count = len(levels)
    shortest, longest = (round(seconds / FRAME_S) for seconds in _PERIODS_S)
    longest = min(longest, count // _REPEATS)
    block = max(1, _BLOCK // max(1, count))
    for first in range(shortest, longest + 1, block):
        periods = np.arange(first, min(first + block, longest + 1))
        is_same = _is_same_after(periods, levels)
        least = np.maximum((_REPEATS - 1) * periods, _REPEATED_FRACTION * count - periods)
        # Nearly always there are not so many, wherever they stand.
        (some,) = np.nonzero(np.count_nonzero(is_same, axis=1) >= least)
        if not len(some):
            continue
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
