"""What Kokoro reads: espeak's phonemes as its symbols. Needs no package beyond the base."""

# ruff: noqa: RUF001 - phonetic signs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.engines.checkpoints.kokoro import SYMBOLS
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
    assert phonemizer.symbols(text, language, SYMBOLS) == symbols


@pytest.mark.parametrize("language", LANGUAGES.values())
def test_only_known_symbols_and_always_the_same(phonemizer: Phonemizer, language: str) -> None:
    text = "Anna 123, Nina (Lima) — “Roma” नमस्ते? 3.14! [x] {y} 你好"
    symbols = phonemizer.symbols(text, language, SYMBOLS)
    assert set(symbols) <= set(SYMBOLS)
    phonemizer.symbols("something else, without an end", "en-US", SYMBOLS)
    assert phonemizer.symbols(text, language, SYMBOLS) == symbols


def test_a_mark_inside_a_number_or_after_a_title_is_no_pause(phonemizer: Phonemizer) -> None:
    for text in ("It costs 3.14 dollars", "1,000 books", "at 12:30 sharp", "Dr. Smith"):
        assert not set(phonemizer.symbols(text, "en-US", SYMBOLS)) & set(".,:"), text


def test_a_pause_between_words_stays(phonemizer: Phonemizer) -> None:
    symbols = phonemizer.symbols("One - two – three — four… (five)", "en-US", SYMBOLS)
    assert [symbol for symbol in symbols if symbol in "—…()"] == ["—", "—", "—", "…", "(", ")"]


@pytest.mark.parametrize("text", ["", "  ", "...", "?! —", "\x00"])
def test_nothing_to_say_is_nothing(phonemizer: Phonemizer, text: str) -> None:
    assert phonemizer.symbols(text, "en-US", SYMBOLS) == ""


@given(st.text(max_size=60), st.sampled_from(list(LANGUAGES.values())))
def test_no_text_fails(phonemizer: Phonemizer, text: str, language: str) -> None:
    assert set(phonemizer.symbols(text, language, SYMBOLS)) <= set(SYMBOLS)


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
