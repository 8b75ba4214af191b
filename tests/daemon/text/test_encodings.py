"""Every encoding that texts come in, told from a sentence."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import codecs
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiced.text.encodings import decode

_RUSSIAN = ["Старик медленно шёл к гавани и смотрел на лодки.", "Привет, мир", "ПРИВЕТ, МИР"]
_SENTENCES = {
    "cp1252": [
        "é",
        "Café crème, s’il vous plaît.",
        "Die Straße ist naß. Müller fährt übers Meer.",
        "El niño comió mañana en España. ¿Qué pasó?",
        "She said “hello” – it’s a naïve résumé…",
        "“Quoted” – only punctuation…",
        "Não há coração.",
        "Ærø er smuk, og Århus også.",
        "ÀÉÈ MAJUSCULES ÉTÉ",
        "Þetta er íslenska, það er gott að vita.",
    ],
    "cp1250": [
        "Stary człowiek szedł powoli do portu. Żółw i gęś, dzień dobry.",
        "Příliš žluťoučký kůň úpěl ďábelské ódy.",
        "Árvíztűrő tükörfúrógép.",
        "Şi în România, ţara mea",
    ],
    "iso8859_2": ["Příliš žluťoučký kůň úpěl ďábelské ódy.", "Ślązacy też są."],
    "cp1254": ["Yaşlı adam yavaşça limana yürüdü ve teknelere baktı. Işık söndü."],
    "cp1257": ["Ąžuolas žaliuoja, šuo loja, ėjo žąsis."],
    "cp1251": [*_RUSSIAN, "Старий повільно йшов до гавані і дивився на човни. Їжа є."],
    "koi8_r": _RUSSIAN,
    "cp866": _RUSSIAN[:1],
    "iso8859_5": _RUSSIAN[:1],
    "cp1253": ["Ο γέρος περπάτησε αργά προς το λιμάνι."],
    "cp1255": ["הזקן הלך לאט אל הנמל והביט בסירות."],
    "cp1256": ["مشى الرجل العجوز ببطء إلى الميناء ونظر إلى القوارب."],
    "cp874": ["ชายชราเดินช้าๆ ไปที่ท่าเรือ"],
    "cp932": ["老人はゆっくりと港まで歩き、船を眺めた。", "こんにちは、世界。今日はいい天気です。"],
    "euc_jp": ["老人はゆっくりと港まで歩き、船を眺めた。"],
    "iso2022_jp": ["老人はゆっくりと港まで歩き、船を眺めた。"],
    "gb18030": ["老人慢慢地走到港口，看着那些船。", "你好，世界。今天天气很好。"],
    "big5": ["老人慢慢地走到港口，看著那些船。", "你好，世界。今天天氣很好。"],
    "cp949": ["노인은 천천히 항구로 걸어가 배들을 바라보았다.", "안녕하세요 세계"],
    "mac_roman": ["Café crème, s’il vous plaît."],
    "cp850": ["Die Straße ist naß. Müller fährt übers Meer."],
    "utf_16_le": ["Hello.", "老人慢慢地走到港口。\n你好", "Привет, мир."],
    "utf_16_be": ["Hello.", "老人慢慢地走到港口。\n你好", "Привет, мир."],
    "utf_32_le": ["Hello.", "老人慢慢地走到港口。"],
    "utf_32_be": ["Hello.", "老人慢慢地走到港口。"],
}


@pytest.mark.parametrize(
    ("encoding", "text"), [(encoding, text) for encoding, texts in _SENTENCES.items() for text in texts]
)
def test_a_sentence_tells_its_encoding(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "koi8_r", "cp932", "gb18030", "cp949"])
def test_a_long_text_with_one_line_only(encoding: str) -> None:
    text = (_SENTENCES[encoding][1] + " ") * 5000  # the sample ends inside a character
    assert decode(text.encode(encoding)) == text


def test_a_text_that_is_ascii_for_long() -> None:
    text = "Plain words only.\n" * 40_000 + "Café crème."
    assert decode(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"\x84\x31\x95\x33", "gb18030"),
    ],
)
def test_a_mark_decides(mark: bytes, encoding: str) -> None:
    assert decode(mark + "Grüße, 世界".encode(encoding)) == "Grüße, 世界"


@settings(deadline=None)
@given(st.text())
def test_utf_8_is_always_read(text: str) -> None:
    if "\0" not in text and not text.startswith("\ufeff") and "\x1b$" not in text:
        assert decode(text.encode()) == text


def test_one_bad_byte_does_not_cost_a_book() -> None:
    text = "Příliš žluťoučký kůň úpěl ďábelské ódy. " * 20
    assert decode(text.encode() + b"\xff" + text.encode()) == text + "\ufffd" + text


@pytest.mark.parametrize("size", [2000, 100_000])
def test_noise_is_no_text(size: int) -> None:
    assert decode(random.Random(7).randbytes(size)) is None


def test_a_program_is_no_text() -> None:
    with open(os.path.realpath("/proc/self/exe"), "rb") as file:
        assert decode(file.read(1 << 20)) is None
