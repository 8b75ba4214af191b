"""Numbers as texts write them, with sign, groups and decimals: how a language writes and how it reads them. Pure."""

# ruff: noqa: RUF001 (marks of many scripts are what this is about)

import re
from collections.abc import Callable
from typing import NamedTuple

from voiced.text.counting import MAX_DIGITS, cardinal, digits
from voiced.text.number_words import WORDS

LEFT, RIGHT = r"(?<![\d.,])", r"(?![.,]?\d)"
"""Where a number begins and ends: versions such as 1.2.3 are none."""

_POINT = r"\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_INDIAN = r"\d{1,2}(?:,\d\d)*,\d{3}(?:\.\d+)?|\d+(?:\.\d+)?"
_COMMA = r"\d{1,3}(?:[.\u00a0\u202f\u2009 ]\d{3})+(?:,\d+)?|\d+(?:[.,]\d+)?"
_SOLID = ("zh", "ja")
"""Written without spaces."""
_BY_DIGIT = ("en", "de", "zh", "ja", "ko", "hi", "ar")
"""What follows the decimal mark is read digit by digit."""
_OTHER_MARKS = {
    "nl": "komma",
    "sv": "komma",
    "da": "komma",
    "no": "komma",
    "fi": "pilkku",
    "uk": "кома",
    "id": "koma",
}
"""How the decimal mark is read in languages that `WORDS` does not have."""


class Rule(NamedTuple):
    """What is put in words, and how."""

    pattern: re.Pattern[str]
    apply: Callable[[re.Match[str]], str]


class Amounts:
    """Reads the numbers of one language."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.words = WORDS.get(base)
        """None = only its bare numbers are read."""
        self._has_point = self.words.has_point if self.words else base in ("he", "vi")
        self._gap = "" if base in _SOLID else " "
        usual = _POINT if self._has_point else _COMMA
        self.number = f"(?:{_INDIAN if base == 'hi' else usual})"
        """Pattern of a number without its sign."""
        self.signed = rf"{LEFT}((?:(?<![\w)\]])[-−])?{self.number})"
        """Pattern of a number with its sign, as a group."""

    def read(self, text: str) -> str:
        """Return a number in words."""
        sign = ""
        if text[0] in "-−":
            sign, text = f"{self.words.minus if self.words else ''}{self._gap}", text[1:]
        whole, fraction = self.parts(text)
        said = self._whole(whole)
        if fraction:
            mark = self.words.decimal if self.words else _OTHER_MARKS.get(self.base, "")
            said = self._gap.join(filter(None, (said, mark, self._decimals(fraction))))
        return sign + said

    def read_version(self, text: str) -> str:
        """Return numbers with points between them in words."""
        mark = self.words.decimal if self.words else _OTHER_MARKS.get(self.base, "")
        return f" {mark} ".join(self._whole(part) for part in re.split("[.,]", text))

    def parts(self, text: str) -> tuple[str, str]:
        """Return the digits before and after the decimal mark."""
        if self._has_point:
            whole, _, fraction = text.partition(".")
        elif "," in text:
            whole, _, fraction = text.partition(",")
        else:
            head, _, tail = text.partition(".")
            # 1.250 has a group of thousands, 3.5 was written by somebody with another habit.
            whole, fraction = (text, "") if len(tail) == 3 or "." in tail else (head, tail)
        return re.sub(r"\D", "", whole), fraction

    def counted(self, number: str, phrase: str) -> str:
        """Return a number with what is counted, in its right form.

        Args:
            number: As the text has it.
            phrase: Forms as in `voiced.text.number_words`.
        """
        forms = phrase.split("|")
        whole, fraction = self.parts(number.lstrip("-−"))
        value = int(whole[-MAX_DIGITS:])
        if len(forms) > 1 and value == 1 and not fraction and number[0] not in "-−":
            return forms[0]
        place = self._form(value, bool(fraction), len(forms))
        # Twenty-one of it: the form for one, without its number.
        form = forms[0].partition(" ")[2] if place == 0 < len(forms) - 1 else forms[place]
        said = self.read(number)
        return form.format(said) if "{}" in form else f"{said} {form}"

    def _form(self, value: int, is_broken: bool, forms: int) -> int:
        if forms < 4:
            return forms - 1
        if is_broken:
            return 3
        last, tens = value % 10, value % 100
        if self.base == "ru" and last == 1 and tens != 11:
            return 0
        return 1 if 2 <= last <= 4 and not 12 <= tens <= 14 else 2

    def _whole(self, text: str) -> str:
        if len(text) > MAX_DIGITS or (len(text) > 1 and text[0] == "0"):
            return digits(text, self.base)
        return cardinal(int(text), self.base)

    def _decimals(self, fraction: str) -> str:
        is_read_by_digit = self.base in _BY_DIGIT or fraction[0] == "0" or len(fraction) > 2
        return digits(fraction, self.base) if is_read_by_digit else cardinal(int(fraction), self.base)
