"""Where chapters begin in the sound, and what each of them is of it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from voiced.chapters import ChapterMark, ChapterSpan, chapter_marks, chapter_spans
from voiced.segments import Break, Plan, Segment
from voiced.timeline import Span


def plan(chapters: list[int], titles: tuple[str, ...]) -> Plan:
    segments = (
        Segment(i, i + 1, i, i + 1, "en", Break.SENTENCE, chapter) for i, chapter in enumerate(chapters)
    )
    return Plan(len(chapters), "en", tuple(segments), titles)


def test_each_chapter_begins_with_its_first_segment() -> None:
    spans = [Span(3, 10), Span(15, 20), Span(25, 30), Span(40, 45)]
    found = chapter_marks(plan([0, 0, 1, 2], ("One", "Two", "Three")), spans)
    assert found == (ChapterMark("One", 0), ChapterMark("Two", 25), ChapterMark("Three", 40))
    assert chapter_marks(plan([0, 0], ()), spans) == ()
    assert chapter_marks(plan([], ("One",)), []) == ()


def test_a_chapter_without_sound_gives_its_place_to_the_next() -> None:
    spans = [Span(0, 10), Span(20, 20), Span(20, 30)]
    assert chapter_marks(plan([0, 1, 2], ("One", "Silent", "Three")), spans) == (
        ChapterMark("One", 0),
        ChapterMark("Three", 20),
    )


def test_rows_that_an_earlier_version_did_not_write_make_no_chapter() -> None:
    spans = [Span(0, 0), Span(0, 0), Span(50, 60)]
    assert chapter_marks(plan([0, 0, 1], ("One", "Two")), spans) == (
        ChapterMark("One", 0),
        ChapterMark("Two", 50),
    )


def test_a_chapter_ends_where_the_next_begins() -> None:
    marks = [ChapterMark("Two", 20), ChapterMark("One", 3), ChapterMark("Gone", 50)]
    assert chapter_spans(marks, 50) == (ChapterSpan("One", 0, 20), ChapterSpan("Two", 20, 50))
    assert chapter_spans([], 50) == chapter_spans(marks, 0) == ()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 9)), max_size=30))
def test_marks_grow_and_their_chapters_are_all_of_the_sound(rows: list[tuple[int, int, int]]) -> None:
    chapters, spans, place = [], [], 0
    chapter = 0
    for step, length, pause in rows:
        chapter += step == 3
        chapters.append(chapter)
        spans.append(Span(place, place + length))
        place += length + pause
    marks = chapter_marks(plan(chapters, tuple(f"{n}" for n in range(chapter + 1))), spans)
    starts = [mark.start for mark in marks]
    assert starts == sorted(set(starts))
    assert starts[:1] == [0][: len(rows)]
    found = chapter_spans(marks, place + 1)
    assert [span.title for span in found] == [mark.title for mark in marks]
    edges = [0, *(span.end for span in found)]
    assert [(span.start, span.end) for span in found] == list(pairwise(edges))
    assert edges[-1] == (place + 1 if rows else 0)
