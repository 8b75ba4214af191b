"""Ids, tags and which voice speaks a language."""

import pytest

from voiced.engines.espeak import speech_of
from voiced.engines.espeak_voices import EspeakVoice, default_voice, find_voice, language_tag, voice_id


def voice(identifier: str, *languages: tuple[str, int]) -> EspeakVoice:
    tags = [language_tag(tag) for tag, _ in languages]
    ranks = tuple(rank for _, rank in languages)
    return EspeakVoice(voice_id(identifier, tags), identifier, tuple(tags), "male", identifier, ranks)


VOICES = (
    voice("gmw/de", ("de", 5)),
    voice("gmw/en", ("en-gb", 2), ("en", 2)),
    voice("gmw/en-GB-x-rp", ("en-gb-x-rp", 5), ("en-gb", 4), ("en", 5)),
    voice("gmw/en-US", ("en-us", 2), ("en", 3)),
    voice("roa/pt", ("pt", 5), ("pt-pt", 5)),
    voice("roa/pt-BR", ("pt-br", 5), ("pt", 6)),
    voice("sit/cmn", ("cmn", 5), ("zh-cmn", 5), ("zh", 5)),
    voice("sit/cmn-Latn-pinyin", ("cmn-latn-pinyin", 5), ("zh-cmn", 5), ("zh", 5)),
    voice("sit/yue", ("yue", 5), ("zh-yue", 5), ("zh", 8)),
    voice("gmq/nb", ("nb", 5), ("no", 5)),
)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "en-us"),
        ("en-US", "en-us"),
        ("en-GB", "en-gb"),
        ("en_gb", "en-gb"),
        ("en-AU", "en-us"),
        ("EN-gb-x-rp", "en-gb-x-rp"),
        ("de-AT", "de"),
        ("pt", "pt"),
        ("pt-BR", "pt-br"),
        ("pt-AO", "pt"),
        ("zh", "cmn"),
        ("zh-Hans-CN", "cmn"),
        ("zh-TW", "cmn"),
        ("zh-HK", "yue"),
        ("nn-NO", "nb"),
        ("no", "nb"),
        ("xx", None),
        ("", None),
    ],
)
def test_default_voice(language: str, expected: str | None) -> None:
    found = default_voice(VOICES, language)
    assert (found.voice if found else None) == expected


@pytest.mark.parametrize("name", ["en-gb", "EN-GB", "gmw/en"])
def test_find_voice(name: str) -> None:
    found = find_voice(VOICES, name)
    assert found is not None
    assert found.identifier == "gmw/en"


def test_find_voice_unknown() -> None:
    assert find_voice(VOICES, "zz") is None


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en-us", "en-US"),
        ("zh_hant_tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("EN-gb-X-RP", "en-GB-x-rp"),
        ("ca-ba", "ca-BA"),
        ("chr-US-Qaaa-x-west", "chr-US-Qaaa-x-west"),
        ("hy-arevela", "hy-arevela"),
    ],
)
def test_language_tag(tag: str, expected: str) -> None:
    assert language_tag(tag) == expected
    assert language_tag(expected) == expected


@pytest.mark.parametrize(
    ("shares", "units"),
    [
        ((1.0, 1.0, 1.0), (175, 50, 100)),
        ((2.0, 2.0, 2.0), (350, 100, 200)),
        ((0.25, 0.0, 0.0), (80, 0, 0)),
        ((4.0, 9.0, 9.0), (450, 100, 200)),
    ],
)
def test_speech_units(shares: tuple[float, float, float], units: tuple[int, int, int]) -> None:
    assert tuple(speech_of(*shares)) == units
