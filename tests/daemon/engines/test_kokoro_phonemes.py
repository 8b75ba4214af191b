"""What Kokoro reads: espeak's phonemes as its symbols. Needs no package beyond the base."""

# ruff: noqa: RUF001 - phonetic signs

import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.engines.checkpoints.kokoro import SYMBOLS
from voiced.engines.base import Heard, SegmentRequest
from voiced.engines.kokoro import KokoroEngine
from voiced.engines.kokoro_phonemes import LANGUAGES, MOST_SYMBOLS, Phonemizer, spoken_pieces, to_symbols


@pytest.fixture(scope="module")
def phonemizer() -> Phonemizer:
    return Phonemizer()


@pytest.mark.parametrize(
    ("language", "text", "symbols"),
    [
        ("en-US", "Hello world, this is a test.", "həlˈO wˈɜɹld, ðɪs ɪz ə tˈɛst."),
        ("en-US", "The little bottle; butter!", "ðə lˈɪTᵊl bˈɑTᵊl; bˈʌTəɹ!"),
        ("en-GB", "Hello boat there.", "həlˈQ bˈQt ðˈɛː."),
        ("es", "¿Hola, cómo estás?", "ˈola, kˈomo estˈas?"),
        ("fr-FR", "Bonjour.", "bɔ̃ʒˈuʁ."),
        ("it", "Ciao: zio", "ʧˈao: ʣˈio"),
        ("pt-BR", "Bom dia.", "bˈoŋ ʤˈiæ."),
    ],
)
def test_words_become_symbols(phonemizer: Phonemizer, language: str, text: str, symbols: str) -> None:
    assert phonemizer.pronounce(text, language, SYMBOLS).symbols == symbols


@pytest.mark.parametrize("language", LANGUAGES.values())
def test_only_known_symbols_and_always_the_same(phonemizer: Phonemizer, language: str) -> None:
    text = "Anna 123, Nina (Lima) — “Roma” नमस्ते? 3.14! [x] {y} 你好"
    symbols = phonemizer.pronounce(text, language, SYMBOLS).symbols
    assert set(symbols) <= set(SYMBOLS)
    phonemizer.pronounce("something else, without an end", "en-US", SYMBOLS)
    assert phonemizer.pronounce(text, language, SYMBOLS).symbols == symbols


def test_a_mark_inside_a_number_or_after_a_title_is_no_pause(phonemizer: Phonemizer) -> None:
    for text in ("It costs 3.14 dollars", "1,000 books", "at 12:30 sharp", "Dr. Smith"):
        assert not set(phonemizer.pronounce(text, "en-US", SYMBOLS).symbols) & set(".,:"), text


def test_a_pause_between_words_stays(phonemizer: Phonemizer) -> None:
    symbols = phonemizer.pronounce("One - two – three — four… (five)", "en-US", SYMBOLS).symbols
    assert [symbol for symbol in symbols if symbol in "—…()"] == ["—", "—", "—", "…", "(", ")"]


@pytest.mark.parametrize("text", ["", "  ", "...", "?! —", "\x00"])
def test_nothing_to_say_is_nothing(phonemizer: Phonemizer, text: str) -> None:
    assert phonemizer.pronounce(text, "en-US", SYMBOLS).symbols == ""


@given(st.text(max_size=60), st.sampled_from(list(LANGUAGES.values())))
def test_no_text_fails(phonemizer: Phonemizer, text: str, language: str) -> None:
    assert set(phonemizer.pronounce(text, language, SYMBOLS).symbols) <= set(SYMBOLS)


def test_what_espeak_says_about_other_languages_is_left_out() -> None:
    assert to_symbols("(en)wˈɜːld(fr)", "fr-FR") == "wˈɜːld"


@given(st.text("ab .,", max_size=200), st.integers(1, 50))
def test_pieces_lose_nothing_and_fit(symbols: str, most: int) -> None:
    pieces = spoken_pieces(symbols, most)
    assert "".join(pieces) == symbols
    assert all(0 < len(piece) <= most for piece in pieces)


def test_pieces_end_at_the_best_pause() -> None:
    assert spoken_pieces("aaaa. bb, cc dd", 11) == ["aaaa. bb,", " cc dd"]
    assert spoken_pieces("aaaaaa. bb, cc dd", 11) == ["aaaaaa.", " bb, cc dd"]
    assert spoken_pieces("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]
    assert spoken_pieces("") == []
    assert spoken_pieces("a" * MOST_SYMBOLS) == ["a" * MOST_SYMBOLS]


def words_known(phonemizer: Phonemizer, text: str, language: str = "en-US") -> list[tuple[str, str]]:
    """Return the words that are known, as they are spoken and as they are written."""
    made = phonemizer.pronounce(text, language, SYMBOLS)
    return [(made.symbols[symbol:].split()[0], text[place:].split()[0]) for symbol, place in made.words]


def test_it_is_known_which_symbols_are_which_word(phonemizer: Phonemizer) -> None:
    assert words_known(phonemizer, " Hello boat, that - is\n a “test”.") == [
        ("həlˈO", "Hello"),
        ("bˈOt,", "boat,"),
        ("ðˈæt", "that"),
        ("ɪz", "is"),
        ("ˈA", "a"),
        ("tˈɛst”.", "test”."),
    ]
    assert [written for _, written in words_known(phonemizer, "¿Hola, cómo estás?", "es")] == [
        "Hola,",
        "cómo",
        "estás?",
    ]


def test_where_words_are_not_one_to_one_only_the_first_is_known(phonemizer: Phonemizer) -> None:
    known = [written for _, written in words_known(phonemizer, "In 1984 he came, and so did she.")]
    assert known == ["In", "and", "so", "did", "she."]
    assert [written for _, written in words_known(phonemizer, "1984 was, 5 % of the rest")] == ["1984", "5"]
    assert phonemizer.pronounce("...", "en-US", SYMBOLS) == ("", ())


@given(
    st.text(max_size=80) | st.text("ab1 ,-—.%’\n", max_size=80), st.sampled_from(sorted(LANGUAGES.values()))
)
def test_words_lie_in_the_text_and_in_order(phonemizer: Phonemizer, text: str, language: str) -> None:
    made = phonemizer.pronounce(text, language, SYMBOLS)
    assert [symbol for symbol, _ in made.words] == sorted({symbol for symbol, _ in made.words})
    assert [place for _, place in made.words] == sorted({place for _, place in made.words})
    assert all(not made.symbols[symbol].isspace() for symbol, _ in made.words)
    assert all(not text[place].isspace() for _, place in made.words)


def test_words_are_counted_on_where_a_text_is_spoken_in_several_calls(
    phonemizer: Phonemizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "goodbye boat, " * 60
    called: list[int] = []

    def ten_each(_engine: object, symbols: str, *_how: object) -> tuple[np.ndarray, list[int]]:
        called.append(len(symbols))
        return np.zeros(10 * (len(symbols) + 2), np.float32), [10] * (len(symbols) + 2)

    monkeypatch.setattr(KokoroEngine, "_samples", ten_each)
    engine = KokoroEngine()
    table = dict.fromkeys(SYMBOLS, 1)
    monkeypatch.setattr(
        engine, "_loaded", SimpleNamespace(phonemizer=phonemizer, symbols=table, voices=["af_a"])
    )
    request = SegmentRequest(0, text, "en-US", "af_a", 1, tells_words=True)
    *_, (place, heard) = engine.speak([request], threading.Event())
    assert isinstance(heard, Heard)
    assert place == 0
    said = phonemizer.pronounce(text, "en-US", SYMBOLS)
    assert len(called) > 1
    # Each call has a moment of its own before and after.
    calls = [sum(symbol >= sum(called[: n + 1]) for n in range(len(called))) for symbol, _ in said.words]
    assert [word.place for word in heard.words] == [found.start() for found in re.finditer(r"\S+", text)]
    assert [word.sample for word in heard.words] == [
        10 * (symbol + 1 + 2 * call) for (symbol, _), call in zip(said.words, calls, strict=True)
    ]
