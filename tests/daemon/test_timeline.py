"""Where segments lie and when their words are heard, as files that grow with the ledger."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.timeline import (
    TIMELINE_FILE,
    WORDS_FILE,
    Placed,
    Span,
    TimelineFile,
    read_timeline,
    read_words,
)

ROWS = [Placed(Span(0, 5), b"12345678"), Placed(Span(7, 9)), Placed(Span(10, 12), b"abcdefgh" * 2)]


def write(folder: Path, segments_done: int, placed: list[Placed]) -> None:
    timeline = TimelineFile(folder, segments_done, has_words=True)
    timeline.writer(segments_done, placed)()
    timeline.close()


def test_what_the_ledger_does_not_count_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path, 0, ROWS)
    assert read_words(tmp_path) == {0: b"12345678", 2: b"abcdefgh" * 2}
    again = TimelineFile(tmp_path, 2, has_words=True)
    assert read_timeline(tmp_path) == [Span(0, 5), Span(7, 9)]
    assert read_words(tmp_path) == {0: b"12345678"}
    again.writer(2, [Placed(Span(20, 30), b"x" * 8)])()
    again.close()
    again.close()
    assert read_timeline(tmp_path)[2:] == [Span(20, 30)]
    assert read_words(tmp_path) == {0: b"12345678", 2: b"x" * 8}


def test_groups_follow_one_another(tmp_path: Path) -> None:
    timeline = TimelineFile(tmp_path, 0, has_words=True)
    first, second = timeline.writer(0, ROWS[:1]), timeline.writer(1, ROWS[1:])
    first()
    second()
    timeline.close()
    assert read_timeline(tmp_path) == [placed.span for placed in ROWS]
    assert read_words(tmp_path) == {0: ROWS[0].heard, 2: ROWS[2].heard}


def test_a_job_without_subtitles_has_no_file_of_words(tmp_path: Path) -> None:
    timeline = TimelineFile(tmp_path, 0)
    timeline.writer(0, ROWS)()
    timeline.close()
    assert [path.name for path in tmp_path.iterdir()] == [TIMELINE_FILE]
    assert read_words(tmp_path) == {}


def test_rows_that_an_earlier_version_did_not_write_are_zeros(tmp_path: Path) -> None:
    assert read_timeline(tmp_path) == []
    TimelineFile(tmp_path, 2, has_words=True).close()
    assert read_timeline(tmp_path) == [Span(0, 0)] * 2
    assert read_words(tmp_path) == {}


@pytest.mark.parametrize("tail", [b"\0" * 64, b"\3\0\0\0\xff\xff\0\0abc", b"\3\0", b"\xff" * 40])
def test_what_a_crash_left_behind_the_ledger_is_no_word(tmp_path: Path, tail: bytes) -> None:
    write(tmp_path, 0, ROWS[:2])
    with (tmp_path / WORDS_FILE).open("ab") as file:
        file.write(tail)
    write(tmp_path, 2, ROWS[2:])
    assert read_words(tmp_path) == {0: ROWS[0].heard, 2: ROWS[2].heard}


@given(st.lists(st.binary(max_size=40), max_size=12), st.data())
def test_it_is_the_same_however_often_it_was_taken_up(
    tmp_path_factory: pytest.TempPathFactory, heard: list[bytes], data: st.DataObject
) -> None:
    placed = [Placed(Span(10 * n, 10 * n + 5), words) for n, words in enumerate(heard)]
    straight, broken = tmp_path_factory.mktemp("straight"), tmp_path_factory.mktemp("broken")
    write(straight, 0, placed)
    done = 0
    while done < len(placed):
        end = data.draw(st.integers(done + 1, len(placed)))
        write(broken, done, placed[done:end])
        done = data.draw(st.integers(done, end)) if end < len(placed) else end
    for name in (TIMELINE_FILE, WORDS_FILE) if placed else ():
        assert (broken / name).read_bytes() == (straight / name).read_bytes()


@given(
    st.one_of(st.binary(max_size=80), st.lists(st.integers(0, 5), max_size=30).map(bytes)), st.integers(0, 4)
)
def test_a_damaged_file_of_words_is_cut_to_what_is_whole(
    tmp_path_factory: pytest.TempPathFactory, damaged: bytes, done: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / WORDS_FILE).write_bytes(damaged)
    write(folder, done, ROWS[:1])
    words = read_words(folder)
    assert words[done] == ROWS[0].heard
    assert list(words) == sorted(words)
    assert max(words) == done
