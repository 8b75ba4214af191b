"""Tags and chapters as rules."""

from hypothesis import given
from hypothesis import strategies as st

from voiced.audio.labels import chapter_comments, labels
from voiced.audio.pcm import resampled_length
from voiced.audio.tags import MAX_CHARS, Tags, chapters_at, neat
from voiced.chapters import ChapterMark, ChapterSpan

_RATES_HZ = st.sampled_from([8000, 22_050, 24_000, 44_100, 48_000])
_MARKS = st.lists(st.builds(ChapterMark, st.text(max_size=5), st.integers(-5, 2000)), max_size=10)


@given(st.text())
def test_a_neat_tag_is_one_printable_line(text: str) -> None:
    tag = neat(text)
    assert len(tag) <= MAX_CHARS
    assert tag == tag.strip()
    assert not set(tag) & set("\0\n\r\t\x7f")
    assert tag.encode().decode() == tag
    assert neat(tag) == tag


def test_what_words_need_stays() -> None:
    assert neat("  Über\nden \0Wolken ") == "Über den Wolken"
    assert neat("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"
    assert neat("a\ud800b") == "a?b"


@given(_MARKS, st.integers(1, 1500), _RATES_HZ, _RATES_HZ)
def test_chapters_cover_the_file_from_the_first_sample_to_the_last(
    marks: list[ChapterMark], samples: int, old_rate_hz: int, new_rate_hz: int
) -> None:
    found = chapters_at(tuple(marks), samples, old_rate_hz, new_rate_hz)
    end = resampled_length(samples, old_rate_hz, new_rate_hz)
    if not any(resampled_length(max(0, mark.start), old_rate_hz, new_rate_hz) < end for mark in marks):
        assert found == ()
        return
    assert [span.start for span in found] == [0, *(span.end for span in found[:-1])]
    assert found[-1].end == end
    assert all(span.start < span.end for span in found)
    assert all(span.title for span in found)


def test_chapters_by_example() -> None:
    places = {"Two": 200, "One": 10, "": 300, "Gone": 400, "Lost": 299}
    marks = [ChapterMark(*place) for place in places.items()]
    assert chapters_at(marks, 400, 1000, 2000) == (
        ChapterSpan("One", 0, 400),
        ChapterSpan("Two", 400, 598),
        ChapterSpan("Lost", 598, 600),
        ChapterSpan("4", 600, 800),
    )
    assert chapters_at((ChapterMark("First", 10), ChapterMark("Second", 10)), 400, 1, 1) == (
        ChapterSpan("Second", 0, 400),
    )


def test_labels() -> None:
    assert labels("wav", Tags()) == {"genre": "Speech"}
    tags = Tags("Title", "Author", language="pt-BR", comment="Spoken")
    common = {
        "title": "Title",
        "artist": "Author",
        "album_artist": "Author",
        "album": "Title",
        "genre": "Speech",
        "comment": "Spoken",
    }
    assert labels("m4a", tags) == common
    assert labels("mp3", tags) == common | {"language": "por"}
    assert labels("opus", tags) == common | {"LANGUAGE": "pt-BR"}
    assert labels("m4b", tags) == common | {"genre": "Audiobook", "media_type": "2"}


def test_a_chapter_comment_has_its_time() -> None:
    chapters = (ChapterSpan("One", 0, 1000), ChapterSpan("Two", 10 * 3600 * 1000 + 61_007, 40_000_000))
    assert chapter_comments(chapters, 1000) == {
        "CHAPTER000": "00:00:00.000",
        "CHAPTER000NAME": "One",
        "CHAPTER001": "10:01:01.007",
        "CHAPTER001NAME": "Two",
    }
