"""What a finished file says about itself: title, author, chapters, cover. Values and pure rules, cheap to import."""

import itertools
from pathlib import Path
from typing import NamedTuple

from voiced.audio.pcm import resampled_length
from voiced.timeline import Mark

MAX_CHARS = 1000
"""Of one tag: more is a mistake, and some readers refuse it."""


class Tags(NamedTuple):
    """What is known of a text when its audio is made; what is empty is left out."""

    title: str = ""
    author: str = ""
    """Artist and album artist."""
    album: str = ""
    """Empty = the title."""
    language: str = ""
    """BCP 47."""
    comment: str = ""
    cover: Path | None = None
    """A JPEG or PNG."""
    chapters: tuple[Mark, ...] = ()
    track: int = 0
    """Which of `tracks` files of one text; 0 = it is the only one."""
    tracks: int = 0


class Span(NamedTuple):
    """A chapter, at the rate of the file."""

    title: str
    start: int
    """First sample."""
    end: int
    """One past the last sample."""


def neat(text: str) -> str:
    """Return a tag as one line without anything that is not shown, at most `MAX_CHARS` long."""
    whole = text.encode("utf-8", "replace").decode()
    shown = "".join(c for c in whole if c.isprintable() or c.isspace() or c in _JOINERS)
    return " ".join(shown.split())[:MAX_CHARS].rstrip()


_JOINERS = "\u200c\u200d\u200e\u200f"
"""Not shown, and yet part of words in Persian, Hindi, and of mixed directions."""


def spans(marks: tuple[Mark, ...], samples: int, old_rate_hz: int, new_rate_hz: int) -> tuple[Span, ...]:
    """Return the chapters of a file in order: one begins where the one before ends, the last ends with the file.

    Args:
        marks: In any order; what begins at or beyond the end, or where the next begins, is left out.
        samples: Length of the sound, at the old rate.
        old_rate_hz: Of the marks.
        new_rate_hz: Of the file.

    The first begins at 0, as players want it. One without a title gets its number.
    """
    end = resampled_length(samples, old_rate_hz, new_rate_hz)
    titles: dict[int, str] = {}
    for mark in sorted(marks, key=lambda mark: mark.start_sample):
        start = resampled_length(max(0, mark.start_sample), old_rate_hz, new_rate_hz)
        if start < end:
            titles[start] = neat(mark.title)
    starts = [0, *list(titles)[1:], end] if titles else []
    return tuple(
        Span(title or str(number), start, stop)
        for number, (title, (start, stop)) in enumerate(
            zip(titles.values(), itertools.pairwise(starts), strict=True), 1
        )
    )
