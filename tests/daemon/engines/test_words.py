"""Which words were spoken: the rule by tables and properties, and against the real library's events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.engines.words import Word, missed_words, says_nothing, words_of


def spelled(text: str) -> list[str]:
    return [text[start:end] for start, end in words_of(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("... !? -", []),
        ("hello world", ["hello", "world"]),
        ("It's 3.14 o'clock, isn't it?", ["It's", "3.14", "o'clock", "isn't", "it"]),
        ("state-of-the-art", ["state-of-the-art"]),
        ("word—dash…ellipsis“quoted”", ["word", "dash", "ellipsis", "quoted"]),
        ("his/her U.S.A. 10:30", ["his/her", "U.S.A", "10:30"]),
        ("你好,世界。今天", ["你好", "世界", "今天"]),
        ("नमस्ते दुनिया।", ["नमस्त", "दुनिय"]),
        ("(a) [b] {c} «d»", ["a", "b", "c", "d"]),
        ("\ufeffa\u200bb\u3000c", ["a", "b", "c"]),
        ("½ №5", ["½", "5"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert spelled(text) == words


@given(st.text())
def test_every_letter_and_digit_is_in_one_word(text: str) -> None:
    words = words_of(text)
    inside = [place for start, end in words for place in range(start, end)]
    assert len(inside) == len(set(inside))
    assert inside == sorted(inside)
    assert {place for place, char in enumerate(text) if char.isalnum()} <= set(inside)
    assert all(text[start].isalnum() and text[end - 1].isalnum() for start, end in words)


@given(st.text(st.sampled_from("ab1 ,.-'—")))
def test_no_event_means_all_missed_and_all_events_mean_none(text: str) -> None:
    # What follows a hyphen may be carried, but only by a word that was spoken.
    assert missed_words(text, []) == words_of(text)
    events = [Word(start, end - start) for start, end in words_of(text)]
    assert missed_words(text, events) == []


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(-5, 60), st.integers(-5, 60))))
def test_any_events_are_survived(text: str, events: list[tuple[int, int]]) -> None:
    missed = missed_words(text, [Word(*event) for event in events])
    assert set(missed) <= set(words_of(text))


@pytest.mark.parametrize(
    ("text", "events", "missed"),
    [
        ("one, two, three", [(0, 3), (5, 3)], ["three"]),
        ("one, two, three", [(0, 3), (10, 5)], ["two"]),
        # A group of the dictionary: its first word alone is told.
        ("one of the dogs", [(0, 3), (4, 2), (11, 4)], []),
        ("it has been so", [(0, 2), (12, 2)], []),
        ("a b c d e", [(0, 1)], ["d", "e"]),
        ("Radio 1 2", [(0, 5)], ["1", "2"]),
        ("of the", [(3, 3)], ["of"]),
        # Told without a length, and at the hyphen before.
        ("word—dash", [(0, 0), (5, 4)], []),
        ("$ - of", [(0, 1), (2, 1)], []),
        ("the “vim”-tutor", [(0, 3), (5, 3)], []),
        # A number that reaches a character too far does not prove the next word.
        ("1999,two", [(0, 4), (1, 4)], ["two"]),
    ],
)
def test_missed(text: str, events: list[tuple[int, int]], missed: list[str]) -> None:
    found = missed_words(text, [Word(*event) for event in events])
    assert [text[start:end] for start, end in found] == missed


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        ("", True),
        (" \n\t", True),
        ("* * *", True),
        ("---", True),
        ("...!?", True),
        ("a", False),
        ("5", False),
    ],
)
def test_says_nothing(text: str, nothing: bool) -> None:
    assert says_nothing(text) is nothing


@pytest.mark.parametrize("text", ["100 %", "😀", "€"])
def test_signs_with_a_name_are_spoken(text: str) -> None:
    assert not says_nothing(text)
