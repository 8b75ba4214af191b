"""The words of a text, and which of them an engine never told of: the proof that everything was spoken.

Pure. What counts as spoken was read off the events of espeak-ng 1.52 over numbers, abbreviations, hyphens,
apostrophes, addresses, quotations and texts in Chinese, Japanese, Thai, Arabic, Hebrew, Hindi, Korean and Russian.
"""

# ruff: noqa: RUF001 - the marks of other scripts are what this is about

from collections.abc import Sequence
from typing import NamedTuple

_MOST_CARRIED = 2
_HYPHENS = "-\u2010\u2011"


class Word(NamedTuple):
    """A word event: the place in the text of what is being spoken."""

    start: int
    """Character, from 0."""
    chars: int
    """May be 0, or reach one character too far."""
    sample: int = 0
    """When: counted from the first that the engine gave."""


_BREAKS = frozenset(" \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff").union(
    map(chr, range(0x2000, 0x200C)),
    ',;!?()[]{}"“”„«»…—–',
    "、。，！？；：「」『』（）【】《》〈〉・",
    "،؛؟۔",
    "।॥",
)
_MARKS = frozenset("-_.'`*~#=|/\\:^<>+•·‐‑‒―’‘‚‹›†‡")


def says_nothing(text: str) -> bool:
    """Return whether a text is white space and marks alone, such as `* * *`: nothing to speak, and no error."""
    return all(char in _BREAKS or char in _MARKS for char in text)


def words_of(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of every word of a text: what stands between breaks and has a letter or a digit.

    Breaks are white space, commas, brackets, quotation marks, dashes and their like in other scripts. What stands
    inside a word - hyphen, apostrophe, full stop, slash, combining marks - joins it, because espeak tells of
    `state-of-the-art`, `it's`, `U.S.A.`, `his/her` and of a clause of Chinese as of one word, or of its parts, as
    it likes.
    """
    words = []
    start = end = -1
    for place, char in enumerate(text):
        if char in _BREAKS:
            if start >= 0:
                words.append((start, end))
            start = -1
        elif char.isalnum():
            start = place if start < 0 else start
            end = place + 1
    if start >= 0:
        words.append((start, end))
    return words


def missed_words(text: str, spoken: Sequence[Word]) -> list[tuple[int, int]]:
    """Return (start, end) of the words of a text that were not spoken, as far as events can tell.

    Args:
        text: What was to be spoken.
        spoken: The events. Those of numbers come several times and may reach one character too far; some have no
            length: the place where they start counts.

    A word was spoken if an event touches it, or what stands before it (`- of` is told at its hyphen). Dictionaries
    hold groups, `of the`, `it has been`, `na stul`, whose first word alone is told: so a word without digits that
    follows a spoken one with only white space between is carried by it, and one more after that; a suffix such as
    the last part of `"vim"-tutor` too. Over the tutorials of vim in 28 languages (75,000 words, Korean aside)
    nothing is then called missed; the digits that three voices (`chr`, `cv`, `sjn`) leave out are.
    """
    touched = bytearray(len(text) + 1)
    for word in spoken:
        start = min(max(word.start, 0), len(text))
        end = min(start + max(word.chars, 1), len(text))
        touched[start:end] = b"\1" * (end - start)
    missed = []
    before, carried = 0, _MOST_CARRIED
    for start, end in words_of(text):
        # The first character after a number may be touched by the number.
        if any(touched[start:end]) or any(touched[before + 1 : start]):
            carried = 0
        elif carried < _MOST_CARRIED and text[start - 1] in _HYPHENS:
            pass
        elif carried < _MOST_CARRIED and text[before:start].isspace() and not _has_digit(text[start:end]):
            carried += 1
        else:
            carried = _MOST_CARRIED
            missed.append((start, end))
        before = end
    return missed


def _has_digit(word: str) -> bool:
    return any(char.isdigit() for char in word)
