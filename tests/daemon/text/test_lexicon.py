"""The lexicon: which words match, what a bad file costs, and that nothing else of a text changes."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.text.lexicon import (
    MAX_SPOKEN_CHARS,
    Entry,
    Lexicon,
    check,
)


def spoken(text: str, *entries: tuple[str, ...], language: str = "en") -> str | None:
    return Lexicon([Entry(*entry) for entry in entries]).spoken(text, language)


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("voiced", "voiced is on.", "X is on."),
        ("voiced", "Run Voiced, VOICED and voiced.", "Run X, X and X."),
        ("voiced", "unvoiced voiceds voiced_x voiced2", None),
        ("voiced", "voiced's (voiced) «voiced» re-voiced", "X's (X) «X» re-X"),
        ("Nice", "Nice is a nice city.", "X is a nice city."),
        ("NASA", "Nasa nasa NASA", "Nasa nasa X"),
        ("don", "Don said: don't.", "X said: don't."),
        ("s", "It's an s.", "It's an X."),
        ("t", "Don't!", None),
        ("homme", "l'homme, L’HOMME", "l'X, L’X"),
        ("new york", "New\n  York and New Jersey", "X and New Jersey"),
        ("c++", "C++ is no C+.", "X is no C+."),
        (".net", "the .NET way", "the X way"),
        ("&", "you & me", "you X me"),
        ("e.g.", "Fruit, e.g. apples", "Fruit, X apples"),
        ("3d", "a 3D film, 33D", "a X film, 33D"),
        ("straße", "STRASSE Straße strasse", "X X X"),
        ("istanbul", "İstanbul, ISTANBUL", "X, X"),
        ("café", "cafe\u0301 Café", "X X"),
        ("東京", "東京都と東京タワー", "X都とXタワー"),
        ("ai", "東京AIラボ", "東京Xラボ"),
        ("ไทย", "ภาษาไทยดี", "ภาษาXดี"),
        ("서울", "서울은 서울에서 서울대", "X은 X에서 서울대"),
        ("삼성 전자", "삼성 전자는 크다. 삼성 전자", "X는 크다. X"),
        ("हिन्दी", "हिन्दी में। हिन्दीभाषी", "X में। हिन्दीभाषी"),
        ("हिन्द", "हिन्दी", None),
        ("محمد", "محمد، ومحمد", "X، ومحمد"),
        ("👩‍🚀", "the 👩‍🚀 flies", "the X flies"),
    ],
)
def test_whole_words(word: str, text: str, expected: str | None) -> None:
    assert spoken(text, (word, "X")) == expected


def test_case_is_what_the_entry_says() -> None:
    assert spoken("Nice nice", ("Nice", "X", "", "fold")) == "X X"
    assert spoken("It it", ("it", "X", "", "exact")) == "It X"
    assert spoken("US us", ("US", "U S"), ("us", "we")) == "U S we"


def test_the_longest_wins_and_nothing_is_changed_twice() -> None:
    entries = [("new", "old"), ("new york", "new city"), ("city", "town"), ("old", "X")]
    assert spoken("New York, new, city", *entries) == "new city, old, town"
    assert spoken("a a a", ("a a", "b"), ("b", "c")) == "b a"


def test_languages() -> None:
    entries = [("data", "all"), ("data", "english", "en"), ("data", "british", "en-GB")]
    for language, expected in (
        ("de", "all"),
        ("en", "english"),
        ("en-US", "english"),
        ("en-gb-x", "british"),
    ):
        assert spoken("data", *entries, language=language) == expected
    assert spoken("data", ("data", "X", "en"), language="de") is None
    assert spoken("data", ("data", "X", "en"), language="") is None


def test_an_empty_spoken_form_passes_a_word_over() -> None:
    assert spoken("It is [sic] so.", ("[sic]", "")) == "It is  so."


def test_pieces_tell_what_is_fixed() -> None:
    pieces = Lexicon([Entry("b", "B2")]).pieces("a b c", "en")
    assert pieces == [("a ", False, 2), ("B2", True, 1), (" c", False, 2)]


def test_what_an_entry_may_be() -> None:
    assert check(Entry("a", "b" * MAX_SPOKEN_CHARS, "zh-Hant-TW", "exact")) == ""
    assert check(Entry("\ud800", "b"))


# -- every text ---------------------------------------------------------------------------------------

_words = st.text("abAB '’.東京서은हिéİß\u0301\u200d-_1", min_size=1, max_size=6)
_texts = st.text("abAB '’.東京서은हिéİß\u0301\u200d-_1\n", max_size=60)


@given(_texts, st.lists(st.tuples(_words, st.text("xy", max_size=3)), max_size=6))
def test_what_no_entry_fits_is_untouched(text: str, pairs: list[tuple[str, str]]) -> None:
    lexicon = Lexicon([entry for entry in (Entry(*pair) for pair in pairs) if not check(entry)])
    pieces = lexicon.pieces(text, "en")
    if pieces is None:
        assert lexicon.spoken(text, "en") is None
        return
    place = 0
    spoken_forms = {entry.spoken for entry in lexicon.entries}
    for piece in pieces:
        if piece.is_fixed:
            assert piece.text in spoken_forms
        else:
            place = text.index(piece.text, place) + len(piece.text)


@given(_words.filter(lambda word: word.strip() and not check(Entry(word, "x"))))
def test_a_word_alone_is_found(word: str) -> None:
    assert Lexicon([Entry(word, "X")]).spoken(f" {word}  ", "en") is not None


def test_many_entries_cost_a_text_little() -> None:
    lexicon = Lexicon([Entry(f"word{n} again", "x") for n in range(10_000)])
    text = "word1 word2 again and more of this kind. " * 2500
    start = time.process_time()
    assert lexicon.spoken(text, "en") is not None
    assert time.process_time() - start < 3  # 100,000 characters take a tenth of a second
