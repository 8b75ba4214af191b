"""Where segments lie, and the chapter marks made of it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from voiced.segments import Break, Plan, Segment
from voiced.timeline import (
    TIMELINE_FILE,
    Mark,
    Span,
    TimelineFile,
    chapter_marks,
    read_timeline,
    spoken_lines,
)


def plan(chapters: list[int], titles: tuple[str, ...]) -> Plan:
    segments = (
        Segment(i, i + 1, i, i + 1, "en", Break.SENTENCE, chapter) for i, chapter in enumerate(chapters)
    )
    return Plan(len(chapters), "en", tuple(segments), titles)


def test_rows_are_cut_back_to_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / TIMELINE_FILE
    rows = [Span(0, 5), Span(7, 9), Span(10, 12)]
    timeline = TimelineFile(path, 0)
    timeline.writer(0, rows)()
    timeline.close()
    timeline.close()
    again = TimelineFile(path, 2)
    assert read_timeline(tmp_path) == rows[:2]
    again.writer(2, [Span(20, 30)])()
    again.close()
    assert read_timeline(tmp_path) == [*rows[:2], Span(20, 30)]


def test_rows_that_an_earlier_version_did_not_write_are_zeros(tmp_path: Path) -> None:
    assert read_timeline(tmp_path) == []
    TimelineFile(tmp_path / TIMELINE_FILE, 2).close()
    assert read_timeline(tmp_path) == [Span(0, 0)] * 2
    spans = [*read_timeline(tmp_path), Span(50, 60)]
    assert chapter_marks(plan([0, 0, 1], ("One", "Two")), spans) == (Mark("One", 0), Mark("Two", 50))


def test_each_chapter_begins_with_its_first_segment() -> None:
    spans = [Span(3, 10), Span(15, 20), Span(25, 30), Span(40, 45)]
    found = chapter_marks(plan([0, 0, 1, 2], ("One", "Two", "Three")), spans)
    assert found == (Mark("One", 0), Mark("Two", 25), Mark("Three", 40))
    assert chapter_marks(plan([0, 0], ()), spans) == ()
    assert chapter_marks(plan([], ("One",)), []) == ()


def test_a_chapter_without_sound_gives_its_place_to_the_next() -> None:
    spans = [Span(0, 10), Span(20, 20), Span(20, 30)]
    assert chapter_marks(plan([0, 1, 2], ("One", "Silent", "Three")), spans) == (
        Mark("One", 0),
        Mark("Three", 20),
    )


def test_what_is_not_heard_is_no_line() -> None:
    lines = list(spoken_lines(plan([0, 0, 0], ()), [Span(0, 10), Span(20, 20), Span(20, 30)]))
    assert [(line.segment, line.start_sample, line.end_sample) for line in lines] == [(0, 0, 10), (2, 20, 30)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(0, 9)), max_size=30))
def test_marks_grow_and_begin_at_zero(rows: list[tuple[int, int, int]]) -> None:
    chapters, spans, place = [], [], 0
    chapter = 0
    for step, length, pause in rows:
        chapter += step == 3
        chapters.append(chapter)
        spans.append(Span(place, place + length))
        place += length + pause
    marks = chapter_marks(plan(chapters, tuple(f"{n}" for n in range(chapter + 1))), spans)
    starts = [mark.start_sample for mark in marks]
    assert starts == sorted(set(starts))
    assert starts[:1] == [0][: len(rows)]
