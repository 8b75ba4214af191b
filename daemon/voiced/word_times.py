"""When words are heard, as engines tell it: their bytes on the link and on disk, and which words of a text they are.

Pure, and cheap to import: the leanest child does. What an engine does not tell is left out, never guessed.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from voiced.segments import Edit

_ROW = struct.Struct("<II")


class WordTime(NamedTuple):
    """Where an engine was in its text, and when."""

    place: int
    """Character, from 0."""
    sample: int
    """Of the segment's sound, at the engine's rate."""


def pack_words(words: Iterable[WordTime]) -> bytes:
    """Return words as bytes, 8 for each."""
    return b"".join(_ROW.pack(*word) for word in words)


def unpack_words(data: bytes) -> list[WordTime]:
    """Return the words in `data`; a row that is cut is left out."""
    return [WordTime(*row) for row in _ROW.iter_unpack(data[: len(data) // _ROW.size * _ROW.size])]


def written_words(
    text: str, edits: Sequence["Edit"], told: Iterable[WordTime], lead: int = 0
) -> list[WordTime]:
    """Return which words of a text begin when: places and samples never fall, and no place comes twice.

    Args:
        text: As it was written.
        edits: Where something else is spoken.
        told: Places in what the engine was given.
        lead: Characters of white space that were cut off its beginning.

    What stands between white space is one word, and begins when the engine is first told to be in it: espeak tells
    of a number at several of its digits, and of a word in quotation marks at its first letter. Two words with only a
    dash between are two, and so are signs of scripts that put no spaces between words.
    """
    made: list[WordTime] = []
    last_word, last_place, last_sample = -1, -1, 0
    for place, sample in told:
        at = _next_sign(text, written_place(edits, place + lead))
        if at >= len(text) or at <= last_place or sample < last_sample:
            continue
        begin = _word_begin(text, at, max(last_word, 0))
        if begin > last_word:
            last_word, shown = begin, begin
        elif _may_begin_word(text, at):
            shown = at
        else:
            continue
        last_place, last_sample = at, sample
        made.append(WordTime(shown, sample))
    return made


def written_place(edits: Sequence["Edit"], place: int) -> int:
    """Return the character of a text that is spoken at a character of its spoken form; that of an edit is its first.

    Args:
        edits: In order.
        place: In the spoken form.
    """
    longer = 0
    for edit in edits:
        begin = edit.start - longer
        if place < begin:
            break
        if place < begin + edit.spoken_chars:
            return edit.start
        longer += edit.chars - edit.spoken_chars
    return place + longer


def _next_sign(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _word_begin(text: str, place: int, least: int) -> int:
    """Where the white space before a place ends; not looked for before `least`."""
    while place > least and not text[place - 1].isspace():
        place -= 1
    return place


def _may_begin_word(text: str, place: int) -> bool:
    """Whether a word may begin there without a space before it."""
    sign = text[place]
    return sign.isalpha() and (sign.lower() == sign.upper() or not text[place - 1].isalnum())
