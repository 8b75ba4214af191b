"""Whole numbers in words: cardinals, ordinals, years, digits.

num2words counts, as it should be heard: without commas, with spaces where a language writes none. It lacks Chinese and
Hindi, which are here. Imports the library, a fifth of a second, at the first number. Any process but the daemon.
It comes with the packages for neural models, the only ones that need it.
"""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import importlib.util
import logging
import re
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)

MAX_DIGITS = 15
"""Longer numbers are read digit by digit: nobody follows them otherwise, and the library ends soon after."""
COUNTED = frozenset(
    "ar ca cs da de en eo es fa fi fr he hi hu id is it ja ko lt lv nl no pl pt ro ru sk sl sr sv tr uk vi zh".split()  # noqa: SIM905
)
"""Languages in which this module counts."""

_FAILURES = (ValueError, KeyError, IndexError, OverflowError, NotImplementedError, TypeError)
"""What the library raises for numbers that a language of it does not reach."""
_TURKISH = re.compile(
    "sıfır|bir|iki|üç|dört|beş|altmış|altı|yedi|sekiz|dokuz|yirmi|otuz|kırk|elli|yetmiş|seksen|doksan|yüz|bin|milyon|milyar"
    "|katrilyon|trilyon|on"
)


def can_count(base: str) -> bool:
    """Return whether numbers of a language can be put in words here."""
    return base in ("zh", "hi") or (base in COUNTED and _has_library())


@cache
def _has_library() -> bool:
    if importlib.util.find_spec("num2words") is not None:
        return True
    logger.warning("numbers stay in digits: num2words is missing; pip install 'voiced[models]'")
    return False


def cardinal(number: int, base: str, **how: str) -> str:
    """Return a number from 0 on in words.

    Args:
        number: Beyond `MAX_DIGITS` digits it is read digit by digit.
        base: ISO 639 code, one of `COUNTED`.
        how: What the library takes for that language: gender, case.
    """
    if len(str(number)) > MAX_DIGITS:
        return digits(str(number), base)
    if base == "zh":
        return _chinese(number).removeprefix("一") if 10 <= number < 20 else _chinese(number)
    if base == "hi":
        return _hindi(number)
    return _tidy(_library(number, base, "cardinal", **how), base)


def ordinal(number: int, base: str, **how: str) -> str:
    """Return an ordinal in words, a cardinal where the language's cannot be made."""
    try:
        words = "" if base in ("zh", "hi") or not number else _library(number, base, "ordinal", **how)
    except _FAILURES:
        words = ""
    return _tidy(words, base) or cardinal(number, base)


def year(number: int, base: str) -> str:
    """Return a year in words: in English and German by hundreds."""
    return _tidy(_library(number, base, "year"), base) if base in ("en", "de") else cardinal(number, base)


def digits(text: str, base: str) -> str:
    """Return digits one by one."""
    words = [cardinal(int(digit), base) for digit in text]
    return ("" if base in ("zh", "ja") else " ").join(words)


def roman(text: str) -> int:
    """Return the value of a Roman numeral; 0 = it is none."""
    if not re.fullmatch("M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})", text):
        return 0
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in text]
    return sum(-value if value < max(values[at:]) else value for at, value in enumerate(values))


def _library(number: int, base: str, kind: str, **how: str) -> str:
    from num2words import num2words

    words: Any = num2words(number, lang=base, to=kind, **how)
    return str(words)


def _tidy(words: str, base: str) -> str:
    if base == "tr":
        return _TURKISH.sub(lambda match: f" {match[0]}", words).strip()
    return " ".join(words.replace(",", " ").split())


def _chinese(number: int) -> str:
    if number < 10_000:
        return _below_ten_thousand(number)
    for size, name in ((10**12, "兆"), (10**8, "亿"), (10**4, "万")):
        if number >= size:
            head, rest = divmod(number, size)
            gap = "零" if rest and rest < size // 10 else ""
            return _chinese(head) + name + gap + (_chinese(rest) if rest else "")
    raise AssertionError(number)


def _below_ten_thousand(number: int) -> str:
    if not number:
        return "零"
    words, is_gap = "", False
    for size, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // size % 10
        if digit:
            words += ("零" if is_gap and words else "") + "零一二三四五六七八九"[digit] + name
        is_gap = not digit
    return words


_HINDI = tuple(
    """
    शून्य एक दो तीन चार पाँच छह सात आठ नौ
    दस ग्यारह बारह तेरह चौदह पंद्रह सोलह सत्रह अठारह उन्नीस
    बीस इक्कीस बाईस तेईस चौबीस पच्चीस छब्बीस सत्ताईस अट्ठाईस उनतीस
    तीस इकतीस बत्तीस तैंतीस चौंतीस पैंतीस छत्तीस सैंतीस अड़तीस उनतालीस
    चालीस इकतालीस बयालीस तैंतालीस चौवालीस पैंतालीस छियालीस सैंतालीस अड़तालीस उनचास
    पचास इक्यावन बावन तिरपन चौवन पचपन छप्पन सत्तावन अट्ठावन उनसठ
    साठ इकसठ बासठ तिरसठ चौंसठ पैंसठ छियासठ सड़सठ अड़सठ उनहत्तर
    सत्तर इकहत्तर बहत्तर तिहत्तर चौहत्तर पचहत्तर छिहत्तर सतहत्तर अठहत्तर उनासी
    अस्सी इक्यासी बयासी तिरासी चौरासी पचासी छियासी सत्तासी अट्ठासी नवासी
    नब्बे इक्यानवे बानवे तिरानवे चौरानवे पचानवे छियानवे सत्तानवे अट्ठानवे निन्यानवे
    """.split()  # noqa: SIM905 (a hundred words in quotes each are not read)
)


def _hindi(number: int) -> str:
    if number < 100:
        return _HINDI[number]
    for size, name in (
        (10**13, "नील"),
        (10**11, "खरब"),
        (10**9, "अरब"),
        (10**7, "करोड़"),
        (10**5, "लाख"),
        (1000, "हज़ार"),
        (100, "सौ"),
    ):
        if number >= size:
            head, rest = divmod(number, size)
            return f"{_hindi(head)} {name}" + (f" {_hindi(rest)}" if rest else "")
    raise AssertionError(number)
