"""Subtitle files, WebVTT and SubRip, from what was spoken when. Pure; the standard library only.

A cue shows at most two lines of 42 columns, as broadcasters ask; longer text becomes several cues, each with its share
of the time by characters. Lines are filled evenly, so that no cue is left with a single word. Text is never reordered:
right-to-left lines are the player's business.
"""

import bisect
import html
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
_MARKUP = re.compile(r"--(?=>)|<(?=[A-Za-z/])|\{(?=\\)")
"""What players take for an arrow, HTML or ASS in SubRip, which has no way to escape it."""


class Cue(NamedTuple):
    """What is spoken from one moment to another."""

    start_s: float
    end_s: float
    text: str


class _Unit(NamedTuple):
    """What stays on one line."""

    text: str
    columns: int
    gap: int
    """Spaces before it, unless it begins a line."""


def write_vtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file."""
    shown = (f"{_clock(cue, '.')}\n{html.escape(cue.text, quote=False)}\n" for cue in shown_cues(cues))
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
    """
    now_ms = 0
    for cue in sorted(cues, key=lambda cue: cue.start_s):
        parts = _parts(cue.text)
        start_ms = now_ms = max(now_ms, round(cue.start_s * 1000))
        # Every cue lasts a moment, however many there are: WebVTT asks for it.
        end_ms = max(start_ms + len(parts), round(cue.end_s * 1000))
        total, done = sum(map(len, parts)), 0
        for left, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
            done += len(part)
            share_ms = start_ms + (end_ms - start_ms) * done // total
            until_ms = min(max(share_ms, now_ms + 1), end_ms - left)
            yield Cue(now_ms / 1000, until_ms / 1000, part)
            now_ms = until_ms


def _parts(text: str) -> list[str]:
    """Return the text of each cue, at most two lines."""
    units = list(_units(text))
    lines = len(_wrapped(units, MAX_COLUMNS))
    columns = bisect.bisect_left(
        range(MAX_COLUMNS), True, key=lambda width: len(_wrapped(units, width)) <= lines
    )
    filled = _wrapped(units, columns)
    return ["\n".join(filled[place : place + MAX_LINES]) for place in range(0, len(filled), MAX_LINES)]


def _wrapped(units: list[_Unit], columns: int) -> list[str]:
    """Return units in lines, as many in each as fit; one that is wider has a line alone."""
    lines: list[str] = []
    left = 0
    for unit in units:
        if lines and unit.columns + unit.gap <= left:
            lines[-1] += " " * unit.gap + unit.text
            left -= unit.gap + unit.columns
        else:
            lines.append(unit.text)
            left = columns - unit.columns
    return lines


def _units(text: str) -> Iterator[_Unit]:
    """Yield words; where words are not set apart, what may stand alone on a line; never more than a line of it."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() or unicodedata.category(c) == "Cf" else " " for c in text)
    for word in text.split():
        gap = 1
        for piece in _pieces(word):
            yield _Unit(piece, _columns(piece), gap)
            gap = 0


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


def _clock(cue: Cue, mark: str) -> str:
    return f"{_time(cue.start_s, mark)} --> {_time(cue.end_s, mark)}"


def _time(at_s: float, mark: str) -> str:
    ms = round(at_s * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{mark}{ms % 1000:03}"


def _guarded(found: re.Match[str]) -> str:
    return found[0] + _WORD_JOINER
