"""The phonemes that Kokoro was trained on, from espeak-ng: text to a string of its symbols.

Kokoro's own way for English is misaki, whose tagger fetches a spaCy model from the network when it first speaks.
Here espeak makes the phonemes of every language, mapped as misaki (Apache-2.0) maps them where it asks espeak itself:
its fallback for English words, and its way for all other languages but Japanese and Chinese. Words that English
writes alike and speaks differently ("read") sound as espeak guesses.
"""

# ruff: noqa: RUF001 - phonetic signs

import ctypes
import re
import unicodedata
from collections.abc import Collection
from typing import Final, NamedTuple

from voiced.engines.espeak import Espeak, find_library
from voiced.engines.espeak_voices import default_voice
from voiced_ipc.errors import EngineLoadFailed

LANGUAGES: Final = {
    "a": "en-US",
    "b": "en-GB",
    "e": "es",
    "f": "fr-FR",
    "h": "hi",
    "i": "it",
    "p": "pt-BR",
}
"""By the first letter of a voice. Kokoro's `j` and `z` need dictionaries of Japanese and Chinese."""

MOST_SYMBOLS: Final = 510
"""That a voice has a row for, and the model a place: longer ones are cut at a pause."""

_UTF8 = 1
_IPA, _TIE = 0x02, 0x80
_TIE_MARK = "\u0361"
_SYLLABIC = "\u0329"
_TITLES = "".join(rf"(?<!\b{title})" for title in ("Mr", "Mrs", "Ms", "Dr", "St"))
_MARKS = re.compile(rf'(\s*(?:[—…"()“”!?;]|[,:](?!\w)|{_TITLES}\.(?!\w))+\s*)')
"""Pauses that are the model's own symbols; a mark inside a number or an abbreviation is espeak's to read."""
_SWITCH = re.compile(r"\([a-z-]+\)")
"""How espeak says that a word is of another language."""
_CUTS = (".!?…", ":;,—", " ")
"""Where a string that is too long is cut, the best first."""
_SPELLED = str.maketrans(
    {"«": "“", "»": "”", "„": "“", "’": "'", "‘": "'", "–": "—", "¿": None, "¡": None, "।": ".", "\0": " "}
)

_ENGLISH: Final = {
    "ʔˌn" + _SYLLABIC: "ʔn",
    "ʔn" + _SYLLABIC: "ʔn",
    "a^ɪ": "I",
    "a^ʊ": "W",
    "d^ʒ": "ʤ",
    "e^ɪ": "A",
    "t^ʃ": "ʧ",
    "ɔ^ɪ": "Y",
    "ə^l": "ᵊl",
    "ʲo": "jo",
    "ʲə": "jə",
    "ʲ": "",
    "e": "A",
    "ɚ": "əɹ",
    "r": "ɹ",
    "x": "k",
    "ç": "k",
    "ɐ": "ə",
    "ɬ": "l",
    "\u0303": "",
}
_BRITISH: Final = {"i^ə": "ɪə", "iə": "ɪə", "ə^ʊ": "Q"}
_AMERICAN: Final = {"o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""}
_ENGLISH_LAST: Final = {"o": "ɔ", "ɾ": "T", "ʔ": "t"}
_OTHERS: Final = {
    "a^ɪ": "I",
    "a^ʊ": "W",
    "d^z": "ʣ",
    "d^ʒ": "ʤ",
    "e^ɪ": "A",
    "o^ʊ": "O",
    "s^s": "S",
    "t^s": "ʦ",
    "t^ʃ": "ʧ",
    "ɔ^ɪ": "Y",
    "ə^ʊ": "Q",
    "-": "",
}


def to_symbols(ipa: str, language: str) -> str:
    """Return espeak's phonemes as the model's symbols.

    Args:
        ipa: As `espeak_TextToPhonemes` gives it, with ties.
        language: One of `LANGUAGES`.
    """
    symbols = _SWITCH.sub("", ipa).replace(_TIE_MARK, "^").replace("_", "")
    if not language.startswith("en"):
        return _replaced(symbols, _OTHERS).replace("^", "")
    if language == "en-GB":
        # Before "e" alone is taken for the vowel of "day".
        symbols = symbols.replace("e^ə", "ɛː")
    symbols = _replaced(symbols, _ENGLISH)
    symbols = re.sub(rf"(\S){_SYLLABIC}", r"ᵊ\1", symbols)
    symbols = _replaced(symbols, _BRITISH if language == "en-GB" else _AMERICAN)
    return _replaced(symbols, _ENGLISH_LAST).replace("^", "").replace("-", "")


def _replaced(symbols: str, table: dict[str, str]) -> str:
    for old, new in table.items():
        symbols = symbols.replace(old, new)
    return symbols


def spoken_pieces(symbols: str, most: int = MOST_SYMBOLS) -> list[str]:
    """Return a string in pieces of at most `most` symbols, cut after a pause where there is one. Nothing is lost.

    Args:
        symbols: Any length.
        most: At least 1.
    """
    pieces = []
    while len(symbols) > most:
        end = next((cut for marks in _CUTS if (cut := _last_cut(symbols, marks, most))), most)
        pieces.append(symbols[:end])
        symbols = symbols[end:]
    return [*pieces, symbols] if symbols else pieces


def _last_cut(symbols: str, marks: str, most: int) -> int:
    """The place after the last of `marks` in the second half of what fits; 0 = there is none."""
    place = max(symbols.rfind(mark, most // 2, most) for mark in marks)
    return place + 1 if place >= 0 else 0


class Pronunciation(NamedTuple):
    """A text as the model's symbols."""

    symbols: str
    words: tuple[tuple[int, int], ...]
    """(symbol, character of the text) at which a word begins, in order, of words that are known."""


class Phonemizer(Espeak):
    """espeak-ng as a source of phonemes; it never speaks here. One for a process.

    Raises:
        EngineLoadFailed: If the library is not there.
        EspeakFailed: If it cannot be used.
    """

    def __init__(self) -> None:
        super().__init__(*find_library())
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = [
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_int,
            ctypes.c_int,
        ]
        voices = self.voices()
        self._identifiers: dict[str, str] = {}
        for language in LANGUAGES.values():
            voice = default_voice(voices, language)
            if voice is None:
                raise EngineLoadFailed(f"espeak-ng does not know {language}; install it again")
            self._identifiers[language] = voice.identifier

    def pronounce(self, text: str, language: str, known: Collection[str]) -> Pronunciation:
        """Return how a text is spoken; what the model has no symbol for is left out.

        Args:
            text: To be spoken.
            language: One of `LANGUAGES`.
            known: The model's symbols.

        Raises:
            EspeakFailed: If the library cannot set the language.
        """
        self.set_voice(self._identifiers[language])
        spelled, places = _spelled(text)
        made, begin = "", 0
        words: list[tuple[int, int]] = []
        # Words and marks take turns: the words become phonemes, the marks stay.
        for number, part in enumerate(_MARKS.split(spelled)):
            said = re.sub(r"\s+", " ", part) if number % 2 else to_symbols(self._ipa(part), language)
            kept = "".join(symbol for symbol in said if symbol in known)
            if not number % 2 and len(kept.split()) == len(said.split()):
                words += ((len(made) + symbol, places[begin + place]) for symbol, place in _pairs(kept, part))
            made += kept
            begin += len(part)
        symbols = made.strip()
        # Marks alone would be spoken as noises.
        if not any(symbol.isalpha() for symbol in symbols):
            return Pronunciation("", ())
        lead = len(made) - len(made.lstrip())
        return Pronunciation(symbols, tuple((symbol - lead, place) for symbol, place in words))

    def _ipa(self, words: str) -> str:
        pointer = ctypes.c_char_p(words.encode(errors="replace"))
        clauses = []
        mode = _IPA | _TIE | ord(_TIE_MARK) << 8
        while pointer.value:
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, mode)
            clauses.append((clause or b"").decode("utf-8", "replace").strip())
        return " ".join(filter(None, clauses))


def _spelled(text: str) -> tuple[str, list[int]]:
    """A text with the marks that the model knows; and for each character the one that was written there."""
    signs, places = "", []
    for place, sign in enumerate(text):
        known = _SPELLED.get(ord(sign), sign)
        if known is not None:
            signs += known
            places.append(place)
    spelled, kept, done = "", [], 0
    for dash in re.finditer(r"\s-+\s", signs):
        spelled += signs[done : dash.start()] + " — "
        kept += places[done : dash.start()] + [places[dash.start()]] * 3
        done = dash.end()
    return spelled + signs[done:], kept + places[done:]


def _pairs(symbols: str, written: str) -> list[tuple[int, int]]:
    """Where the same words begin in both; of all words only where none is spoken as several: as numbers are.

    espeak draws some words together, `of the`: then it is not known where the others are.
    """
    said, wrote = ([word.start() for word in re.finditer(r"\S+", text)] for text in (symbols, written))
    if len(said) != len(wrote) or not all(_is_spelled_out(sign) for sign in written):
        return list(zip(said, wrote, strict=False))[:1]
    return list(zip(said, wrote, strict=True))


def _is_spelled_out(sign: str) -> bool:
    """Whether it is a letter, an accent, a space or an apostrophe."""
    return sign in "'-" or unicodedata.category(sign)[0] in "LMZ" or sign.isspace()
