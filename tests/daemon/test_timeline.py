"""Where segments lie, and the chapter marks made of it."""

from pathlib import Path

from voiced.segments import Break, Plan, Segment
from voiced.timeline import (
    TIMELINE_FILE,
    Span,
    TimelineFile,
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


def test_what_is_not_heard_is_no_line() -> None:
    lines = list(spoken_lines(plan([0, 0, 0], ()), [Span(0, 10), Span(20, 20), Span(20, 30)]))
    assert [(line.segment, line.start_sample, line.end_sample) for line in lines] == [(0, 0, 10), (2, 20, 30)]
