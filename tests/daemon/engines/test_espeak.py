"""The library itself: in a process of its own, because a process that spoke is not what it was."""

# ruff: noqa: RUF001 - texts in other scripts

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from voiced.engines.espeak import Espeak, EspeakFailed, find_library, speech_of
from voiced.engines.words import missed_words

USUAL = speech_of(1.0, 1.0, 1.0)
TEXTS = {
    "en-us": "In 1999, Dr. Smith's e-mail cost $1,234.56 at 10:30 p.m.; it has been one of the “best”, his/her…",
    "de": "Die Straße heißt z.B. Müller-Lüdenscheidt, 3,5 km am 24.12.2020.",
    "fr-fr": "L'été, aujourd'hui, qu'est-ce que c'est? 80 %",
    "cmn": "你好,世界。今天是2024年。ABC hello",
    "ja": "こんにちは世界。今日は良い天気ですね。コーヒー 3つ",
    "ar": "مرحبا بالعالم، كيف حالك؟ ١٢٣",
    "hi": "नमस्ते दुनिया। आप कैसे हैं? १२३",
    "th": "สวัสดีชาวโลก",
    "he": "שלום עולם",
    "ru": "Привет, мир! Это 5-й тест, не был бы.",
    "cs": "Pojď se mnou na stůl do domu, ve městě a k nám.",
    "el": "Για να το σπίτι στο σχολείο.",
    "hu": 'Az első ház, hogy a "vim"-ral egy kutya is.',
}


def apart(work: Callable[[], None]) -> None:
    """Do the work in a fresh process; what it asserts counts."""
    process = multiprocessing.get_context("spawn").Process(target=work)
    # The process finds this file by the path that it inherits, wherever the tests were started.
    sys.path.append(str(Path(__file__).parents[3]))
    try:
        process.start()
    finally:
        sys.path.pop()
    process.join(60)
    assert process.exitcode == 0


def _check_words() -> None:
    espeak = Espeak(*find_library())
    voices = {voice.voice: voice for voice in espeak.voices()}
    for name, text in TEXTS.items():
        espeak.set_voice(voices[name].identifier)
        pcm: list[bytes] = []
        words = espeak.speak(text, USUAL, pcm.append)
        assert missed_words(text, words) == [], name
        assert missed_words(text + " Nothing, said", words) != [], name
        assert len(b"".join(pcm)) > 22050, name


def test_every_word_of_many_languages_is_told() -> None:
    apart(_check_words)


def _check_voices() -> None:
    espeak = Espeak(*find_library())
    voices = espeak.voices()
    names = [voice.voice for voice in voices]
    assert len(set(names)) == len(names) > 100
    assert "kaa" not in names, "its dictionary was not shipped: it says nothing"
    assert not any("mb/" in voice.identifier for voice in voices)
    for voice in voices:
        espeak.set_voice(voice.identifier)
    assert espeak.has_variant("f3")
    assert not any(espeak.has_variant(name) for name in ("", ".", "..", "../!v/f3", "nobody"))
    assert "f3" in espeak.variants()


def test_voices() -> None:
    apart(_check_voices)


def _check_failures() -> None:
    espeak = Espeak(*find_library())
    with pytest.raises(EspeakFailed, match="no voice"):
        espeak.set_voice("no/such")
    espeak.set_voice("gmw/en-US")

    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        espeak.speak("hello", USUAL, fail)
    with pytest.raises(EspeakFailed):
        Espeak("/nowhere/libespeak-ng.so", "")


def test_failures_are_told() -> None:
    apart(_check_failures)


def test_find_library() -> None:
    library, data = find_library()
    assert not data or (Path(data) / "phontab").exists()
    assert os.path.isabs(library) is bool(data)  # noqa: PTH117 - a name may be found by the system
