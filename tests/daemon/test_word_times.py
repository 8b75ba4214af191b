"""Which words of a text are heard when, from what an engine tells of its own."""

# ruff: noqa: RUF001 - the marks of other scripts are part of what this is about

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.segments import Edit
from voiced.word_times import WordTime, pack_words, unpack_words, written_place, written_words

TIMES = st.lists(st.builds(WordTime, st.integers(0, 60), st.integers(0, 2**32 - 1)), max_size=40)


def shown(text: str, *told: int, edits: tuple[Edit, ...] = (), lead: int = 0) -> list[str]:
    """Return a text cut where its words begin, when an engine tells of places one after the other."""
    words = [WordTime(place, 100 * n) for n, place in enumerate(told)]
    places = [word.place for word in written_words(text, edits, words, lead)]
    return [text[one:other] for one, other in pairwise([*places, len(text)])]


@given(TIMES)
def test_they_are_packed_and_unpacked(words: list[WordTime]) -> None:
    packed = pack_words(words)
    assert len(packed) == 8 * len(words)
    assert unpack_words(packed) == words
    assert unpack_words(packed + b"123") == words


@pytest.mark.parametrize(
    ("text", "told", "words"),
    [
        # As espeak-ng 1.52 tells of them.
        ("In 1984, all", (0, 3, 4, 4, 9), ["In ", "1984, ", "all"]),
        ("for $3,456.70 each", (0, 4, 5, 6, 7, 8, 8, 8, 14), ["for ", "$3,456.70 ", "each"]),
        ("1234567 Leute", (0, 1, 0, 1, 1, 0, 8), ["1234567 ", "Leute"]),
        ('a "vim"-tutor!', (0, 3), ["a ", '"vim"-tutor!']),
        ("- it has been said", (0, 5, 14), ["- it ", "has been ", "said"]),
        ("rather—no", (0, 7), ["rather—", "no"]),
        ("今天很好，我们", (0, 1, 2, 3, 5, 6), ["今", "天", "很", "好，", "我", "们"]),
        ("在2024年", (0, 1, 2, 3, 5), ["在2024", "年"]),
        ("one two", (), []),
        ("one two", (0, 3, 99), ["one ", "two"]),
    ],
)
def test_words_as_they_are_told(text: str, told: tuple[int, ...], words: list[str]) -> None:
    assert shown(text, *told) == words


def test_white_space_that_was_cut_off_counts() -> None:
    assert shown("\n  Good day.", 0, 5, lead=3) == ["Good ", "day."]


def test_what_the_lexicon_changed_begins_where_it_was_written() -> None:
    # "(SQL) is old" is spoken as "(ess queue ell) is old".
    edits = (Edit(1, 3, 13),)
    assert shown("(SQL) is old", 1, 5, 11, 16, 19, edits=edits) == ["(SQL) ", "is ", "old"]
    # "voiced hush now" without its second word.
    assert shown("voiced hush now", 0, 7, edits=(Edit(0, 6, 5), Edit(7, 4, 0))) == ["voiced hush ", "now"]


def test_time_does_not_go_back() -> None:
    words = [WordTime(0, 50), WordTime(4, 20), WordTime(8, 60)]
    assert written_words("one two three", (), words) == [WordTime(0, 50), WordTime(8, 60)]


@given(st.text("ab1 ,-今天\n", max_size=60), TIMES)
def test_places_and_times_grow(text: str, told: list[WordTime]) -> None:
    words = written_words(text, (), told)
    assert all(one.place < other.place for one, other in pairwise(words))
    assert all(one.sample <= other.sample for one, other in pairwise(words))
    assert all(not text[word.place].isspace() for word in words)
    assert {word.sample for word in words} <= {word.sample for word in told}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=6))
def test_every_place_of_a_spoken_form_was_written_somewhere(steps: list[tuple[int, int, int]]) -> None:
    edits, place = [], 0
    spoken: list[int] = []
    for kept, chars, spoken_chars in steps:
        spoken += range(place, place + kept)
        edits.append(Edit(place + kept, chars, spoken_chars))
        spoken += [place + kept] * spoken_chars
        place += kept + chars
    spoken += range(place, place + 3)
    assert [written_place(edits, at) for at in range(len(spoken))] == spoken
