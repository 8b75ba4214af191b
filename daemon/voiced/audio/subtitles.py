"""Subtitle files, WebVTT and SubRip, from what was spoken when. Pure; the standard library only.

A cue shows at most two lines of 42 columns, as broadcasters ask; longer text becomes several cues. Each begins when its
first word is heard; where that is not known, it has its share by characters of the time between what is. WebVTT says
inside a cue when its words begin, SubRip has no way to. Lines are filled evenly, so that no cue is left with a single
word. Text is never reordered: right-to-left lines are the player's business.
"""

import bisect
import html
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MAX_COLUMNS = 42
MAX_LINES = 2
_WIDE = "WF"
"""East Asian widths that take two columns (Unicode annex 11)."""
_CLOSING = ("Pe", "Pf", "Po", "Lm")
"""Categories of what begins no line in Chinese and Japanese: closing brackets, stops, marks of length."""
_OPENING = ("Ps", "Pi")
"""Of what ends none."""
_JOINER = "\u200d"
_WORD_JOINER = "\u2060"
_WORD = re.compile(r"\S+")
_MARKUP = re.compile(r"--(?=>)|<(?=[A-Za-z/])|\{(?=\\)")
"""What players take for an arrow, HTML or ASS in SubRip, which has no way to escape it."""


class CueWord(NamedTuple):
    """A word of a cue, from its beginning on."""

    place: int
    """Character of the cue's text."""
    start_s: float


class Cue(NamedTuple):
    """What is spoken from one moment to another."""

    start_s: float
    end_s: float
    text: str
    words: tuple[CueWord, ...] = ()
    """Those of which it is known when they are heard, in order."""


class _Unit(NamedTuple):
    """What stays on one line."""

    text: str
    place: int
    """Of its first character in the text."""
    columns: int
    gap: int
    """Spaces before it, unless it begins a line."""


def write_vtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file."""
    shown = (f"{_clock(cue, '.')}\n{_with_words(cue)}\n" for cue in shown_cues(cues))
    return "\n".join(["WEBVTT\n", *shown])


def write_srt(cues: Iterable[Cue]) -> str:
    """Return a SubRip file; invisible word joiners keep players from seeing markup in the text."""
    return "\n".join(
        f"{number}\n{_clock(cue, ',')}\n{_MARKUP.sub(_guarded, cue.text)}\n"
        for number, cue in enumerate(shown_cues(cues), 1)
    )


def shown_cues(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Yield cues as they are shown: in order, none over another, in lines, times in whole milliseconds.

    Args:
        cues: In any order. Where one begins before another has ended, it is shown from that end on. One without a
            word is left out.

    Words are told that begin inside a cue, each later than the one before: WebVTT asks for it.
    """
    now_ms = 0
    for cue in sorted(cues, key=lambda cue: cue.start_s):
        parts, places = _parts(cue)
        start_ms = now_ms = max(now_ms, round(cue.start_s * 1000))
        # Every cue lasts a moment, however many there are: WebVTT asks for it.
        end_ms = max(start_ms + len(parts), round(cue.end_s * 1000))
        words = [(place, round(word.start_s * 1000)) for place, word in zip(places, cue.words, strict=True)]
        share = _Share(start_ms, end_ms, sum(map(len, parts)), words)
        done = 0
        for left, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
            until_ms = min(max(share.time_ms(done + len(part)), now_ms + 1), end_ms - left)
            inside = [(place - done, at_ms) for place, at_ms in words if done <= place < done + len(part)]
            yield Cue(now_ms / 1000, until_ms / 1000, part, _later(inside, now_ms, until_ms))
            done += len(part)
            now_ms = until_ms


def _later(words: list[tuple[int, int]], start_ms: int, end_ms: int) -> tuple[CueWord, ...]:
    """Those that begin inside a cue, each later than the one before."""
    found: list[CueWord] = []
    last_ms = start_ms
    for place, at_ms in words:
        if last_ms < at_ms < end_ms:
            found.append(CueWord(place, at_ms / 1000))
            last_ms = at_ms
    return tuple(found)


class _Share:
    """When a place in a text is heard: between two that are known its share by characters.

    Args:
        start_ms: Of the text.
        end_ms: Of it.
        length: Of it, in characters.
        words: (place, milliseconds) that are known; what goes back in time is not believed.
    """

    def __init__(self, start_ms: int, end_ms: int, length: int, words: list[tuple[int, int]]) -> None:
        self._known = [(0, start_ms)]
        for place, at_ms in words:
            if self._known[-1][0] < place < length and self._known[-1][1] <= at_ms <= end_ms:
                self._known.append((place, at_ms))
        self._known.append((max(length, 1), end_ms))

    def time_ms(self, place: int) -> int:
        """Return when a place is heard."""
        after = min(bisect.bisect_right(self._known, place, key=lambda known: known[0]), len(self._known) - 1)
        (first, first_ms), (last, last_ms) = self._known[after - 1 : after + 1]
        return first_ms + (last_ms - first_ms) * (place - first) // (last - first)


def _parts(cue: Cue) -> tuple[list[str], list[int]]:
    """Return the text of each shown cue, at most two lines, and where each known word is in all of them together.

    A word that is not shown is told to be at the end.
    """
    units = list(_units(cue.text))
    lines = len(_lines(units, MAX_COLUMNS))
    columns = bisect.bisect_left(
        range(MAX_COLUMNS), True, key=lambda width: len(_lines(units, width)) <= lines
    )
    parts: list[str] = []
    begins: list[int] = []
    done = 0
    for number, (first, last) in enumerate(_lines(units, columns)):
        if number % MAX_LINES == 0:
            done += len(parts[-1]) if parts else 0
            parts.append("")
        else:
            parts[-1] += "\n"
        for unit in units[first:last]:
            if unit is not units[first]:
                parts[-1] += " " * unit.gap
            begins.append(done + len(parts[-1]))
            parts[-1] += unit.text
    length = done + len(parts[-1]) if parts else 0
    return parts, [_shown_place(units, begins, word.place, length) for word in cue.words]


def _shown_place(units: list[_Unit], begins: list[int], place: int, length: int) -> int:
    """Where a character is shown; the next that is, where it is white space."""
    number = bisect.bisect_right(units, place, key=lambda unit: unit.place) - 1
    if number >= 0 and place < units[number].place + len(units[number].text):
        return begins[number] + place - units[number].place
    return begins[number + 1] if number + 1 < len(units) else length


def _lines(units: list[_Unit], columns: int) -> list[tuple[int, int]]:
    """Return (first unit, one past the last) of each line: as many as fit; one that is wider has a line alone."""
    starts: list[int] = []
    left = 0
    for number, unit in enumerate(units):
        if starts and unit.columns + unit.gap <= left:
            left -= unit.gap + unit.columns
        else:
            starts.append(number)
            left = columns - unit.columns
    return list(itertools.pairwise([*starts, len(units)]))


def _units(text: str) -> Iterator[_Unit]:
    """Yield words; where words are not set apart, what may stand alone on a line; never more than a line of it."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or unicodedata.category(c) == "Cf" else " " for c in text)
    for word in _WORD.finditer(text):
        place, gap = word.start(), 1
        for piece in _pieces(word[0]):
            yield _Unit(piece, place, _columns(piece), gap)
            place, gap = place + len(piece), 0


def _pieces(word: str) -> Iterator[str]:
    """Cut a word between wide characters, and where it is wider than a line."""
    if word.isascii() and len(word) <= MAX_COLUMNS:  # most words, at once
        yield word
        return
    held = ""
    for cluster in _clusters(word):
        is_full = _columns(held) + _columns(cluster) > MAX_COLUMNS
        if held and (is_full or _may_part(held[-1], cluster[0])):
            yield held
            held = ""
        held += cluster
    yield held


def _may_part(one: str, other: str) -> bool:
    """Whether a line may end between two characters without a space."""
    if unicodedata.category(one) in _OPENING or unicodedata.category(other) in _CLOSING:
        return False
    return _is_wide(one) or _is_wide(other)


def _clusters(word: str) -> Iterator[str]:
    """Yield characters together with the marks that belong to them."""
    held = ""
    for character in word:
        is_mark = unicodedata.category(character)[0] == "M" or character == _JOINER
        if held and not is_mark and not held.endswith(_JOINER):
            yield held
            held = ""
        held += character
    yield held


def _columns(text: str) -> int:
    return len(text) if text.isascii() else sum(2 if _is_wide(c) else 1 for c in text)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in _WIDE


def _with_words(cue: Cue) -> str:
    """The text with a timestamp where each known word begins."""
    written, done = "", 0
    for word in cue.words:
        written += html.escape(cue.text[done : word.place], quote=False) + f"<{_time(word.start_s, '.')}>"
        done = word.place
    return written + html.escape(cue.text[done:], quote=False)


def _clock(cue: Cue, mark: str) -> str:
    return f"{_time(cue.start_s, mark)} --> {_time(cue.end_s, mark)}"


def _time(at_s: float, mark: str) -> str:
    ms = round(at_s * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{mark}{ms % 1000:03}"


def _guarded(found: re.Match[str]) -> str:
    return found[0] + _WORD_JOINER
