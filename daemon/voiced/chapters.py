"""Where the chapters of a text are in its sound. Pure values; what a chapter is in the text is `voiced.text.plan`'s.

A mark is where a chapter begins; a stretch is all of it. Both in samples, at a rate that whoever has them knows.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from voiced.segments import Plan
from voiced.timeline import Span


class ChapterMark(NamedTuple):
    """Where a chapter begins."""

    title: str
    start: int


class ChapterSpan(NamedTuple):
    """A chapter from its beginning to its end."""

    title: str
    start: int
    """First sample."""
    end: int
    """One past the last sample."""


def chapter_marks(plan: Plan, spans: Sequence[Span]) -> tuple[ChapterMark, ...]:
    """Return where the chapters of a plan begin in its sound; the first at 0, each later than the one before.

    A chapter without sound, or whose rows an earlier version did not write, has no mark.
    """
    marks: list[ChapterMark] = []
    for index, segment in enumerate(plan.segments[: len(spans)]):
        is_new = index == 0 or segment.chapter != plan.segments[index - 1].chapter
        if not (is_new and plan.chapters):
            continue
        start = spans[index].start if index else 0
        mark = ChapterMark(plan.chapters[segment.chapter], start)
        if marks and start <= marks[-1].start:
            if start == marks[-1].start and spans[index].end > start:
                marks[-1] = mark  # the one before had nothing to say
            continue
        marks.append(mark)
    return tuple(marks)


def chapter_spans(marks: Iterable[ChapterMark], end: int) -> tuple[ChapterSpan, ...]:
    """Return whole chapters in order: one begins where the one before ends, and together they are all of the sound.

    Args:
        marks: In any order. What begins at the end or later is left out, and of those at one place all but the last.
        end: Of the sound.

    The first begins at 0, as players want it. None where there are no marks.
    """
    titles: dict[int, str] = {}
    for mark in sorted(marks, key=lambda mark: mark.start):
        if mark.start < end:
            titles[max(0, mark.start)] = mark.title
    starts = [0, *list(titles)[1:], end] if titles else []
    return tuple(
        ChapterSpan(title, start, stop)
        for title, (start, stop) in zip(titles.values(), itertools.pairwise(starts), strict=True)
    )
