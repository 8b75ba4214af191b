"""What a finished file says about itself: title, author, chapters, cover. Values and pure rules, cheap to import."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from voiced.audio.pcm import resampled_length
from voiced.chapters import ChapterMark, ChapterSpan, chapter_spans

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
    chapters: tuple[ChapterMark, ...] = ()
    track: int = 0
    """Which of `tracks` files of one text; 0 = it is the only one."""
    tracks: int = 0


def neat(text: str) -> str:
    """Return a tag as one line without anything that is not shown, at most `MAX_CHARS` long."""
    whole = text.encode("utf-8", "replace").decode()
    shown = "".join(c for c in whole if c.isprintable() or c.isspace() or c in _JOINERS)
    return " ".join(shown.split())[:MAX_CHARS].rstrip()


_JOINERS = "\u200c\u200d\u200e\u200f"
"""Not shown, and yet part of words in Persian, Hindi, and of mixed directions."""


def chapters_at(
    marks: Iterable[ChapterMark], samples: int, old_rate_hz: int, new_rate_hz: int
) -> tuple[ChapterSpan, ...]:
    """Return the chapters of a file, see `chapter_spans`; their titles neat, and their numbers where they have none.

    Args:
        marks: At the old rate.
        samples: Length of the sound, at the old rate.
        old_rate_hz: Of the marks.
        new_rate_hz: Of the file.
    """
    moved = (
        ChapterMark(neat(mark.title), resampled_length(max(0, mark.start), old_rate_hz, new_rate_hz))
        for mark in marks
    )
    found = chapter_spans(moved, resampled_length(samples, old_rate_hz, new_rate_hz))
    return tuple(span._replace(title=span.title or str(number)) for number, span in enumerate(found, 1))
