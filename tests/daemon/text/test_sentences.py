"""What the library is kept from: odd spaces that stop it, lengths that make it slow."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

from hypothesis import given, settings
from hypothesis import strategies as st

from voiced.text.sentences import WINDOW_CHARS, inner_sentence_ends, sentence_ends

_PANICS = '”\r\tD\x85.\u200d、»{\x0c1?:"\n\u2028r…a)\u2029!？ \u3000\u00a0DrZ. '


@settings(max_examples=300, deadline=None)
@given(st.text(_PANICS, max_size=60), st.sampled_from(["en", "fr", "de", "es", "ru", "ja", "zh", ""]))
def test_ends_are_in_order_and_reach_the_end(text: str, language: str) -> None:
    for find in (sentence_ends, inner_sentence_ends):
        ends = find(text, 0, len(text), language)
        assert ends == sorted(set(ends))
        assert ends[-1] == len(text) if text else ends == [0]


def test_a_window_ends_inside_no_sentence() -> None:
    sentence = "This sentence, which is quite long, is told again and again. "
    text = sentence * (3 * WINDOW_CHARS // len(sentence))
    assert sentence_ends(text, 0, len(text), "en") == list(range(len(sentence), len(text) + 1, len(sentence)))


def test_a_sentence_longer_than_a_window_has_one_end() -> None:
    text = "word " * WINDOW_CHARS + "end. Next."
    assert sentence_ends(text, 0, len(text), "en") == [len(text) - 5, len(text)]


def test_offsets_are_those_of_the_whole_text() -> None:
    text = "Before. One. Two."
    assert sentence_ends(text, 8, len(text), "en") == [13, 17]


def test_inner_ends_count_inside_quotations() -> None:
    text = '"One is. Two is," he said.'
    assert sentence_ends(text, 0, len(text), "en") == [len(text)]
    assert inner_sentence_ends(text, 0, len(text), "en") == [9, len(text)]
