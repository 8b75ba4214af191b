"""Numbers and abbreviations in words, for engines that speak nothing but letters.

One rule after the other goes over the text, the ones with more around a number first; what a rule has put in words no
later one sees. At the end no digit is left where the language is counted (`voiced.text.counting.COUNTED`): elsewhere
the text stays as it is. Fourteen languages have all rules, the others their bare numbers. Pure; in the scribe, because
the library that counts takes a fifth of a second to import.
"""

# ruff: noqa: RUF001 (letters and marks of many scripts are what this is about)

import re
import unicodedata
from functools import cache

from voiced.text.abbreviations import IN_FULL
from voiced.text.amounts import LEFT, RIGHT, Amounts, Rule
from voiced.text.counting import can_count, cardinal, digits, ordinal, roman, year
from voiced.text.dates import Calendar, german_ending
from voiced.text.number_words import CODES, Words

_DAY_FIRST = ("GB", "AU", "NZ", "IE", "IN", "ZA")
"""Where English puts the day before the month."""
_VULGAR = str.maketrans({"½": " 1/2", "⅓": " 1/3", "⅔": " 2/3", "¼": " 1/4", "¾": " 3/4"})
_LETTER = re.compile("[A-Za-zÀ-ɏЀ-ӿ]")
_PHONE = re.compile(
    r"(?<![\w.,])(?:\+\d[\d ()/.-]{6,20}\d|0\d[\d ()/-]{5,18}\d|\(\d{2,5}\) ?\d[\d -]{4,12}\d|\d{3}-\d{3}-\d{4})"
    r"(?![\w-])"
)
_SHORT_PHONE = re.compile(r"(?<![\w.,-])\d{3}-\d{4}(?![\w-])")
_LEAST_PHONE_DIGITS = 7
_GERMAN_NOUNS = "Jahrhundert|Kapitel|Klasse|Platz|Stock|Mal|Tag|Teil|Band|Auflage|Geburtstag"
"""What stands after an ordinal, though it begins with a capital."""
_RUSSIAN_CASES: dict[str, dict[str, str]] = {
    "ый": {},
    "ая": {"gender": "f"},
    "го": {"case": "g"},
    "й": {},
    "я": {"gender": "f"},
    "е": {"gender": "n"},
}


def spell(text: str, language: str) -> str:
    """Return a text with its numbers and abbreviations in words; without change where the language is not counted.

    Args:
        text: A segment.
        language: BCP 47 tag.
    """
    base, _, region = language.partition("-")
    base = base.lower()
    if not can_count(base):
        return text
    has_digits = any(character.isdecimal() or character in "½⅓⅔¼¾" for character in text)
    if has_digits:
        text = _plain_digits(text.translate(_VULGAR))
    speller = _speller(base, base == "en" and region.upper() not in _DAY_FIRST)
    for rule in speller.rules if has_digits else speller.word_rules:
        text = rule.pattern.sub(rule.apply, text)
    return text


def _plain_digits(text: str) -> str:
    """Return digits of any script as 0 to 9."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


@cache
def _speller(base: str, is_month_first: bool) -> "_Speller":
    return _Speller(base, is_month_first=is_month_first)


class _Speller:
    """The rules of one language."""

    def __init__(self, base: str, *, is_month_first: bool) -> None:
        self._base = base
        self._amounts = Amounts(base)
        words = self._amounts.words
        self.word_rules = self._abbreviations()
        self.rules: list[Rule] = []
        if words is not None:
            self.word_rules += self._chapters(words)
            calendar = Calendar(self._amounts, words, is_month_first=is_month_first)
            self.rules += [*self.word_rules, *calendar.rules(), *self._around(words)]
        self.rules += self._bare()

    def _around(self, words: Words) -> list[Rule]:
        """Rules for numbers with something around them."""
        number, signed, counted = self._amounts.number, self._amounts.signed, self._amounts.counted
        return [
            Rule(_PHONE, self._phone),
            *([Rule(_SHORT_PHONE, self._phone)] if self._base == "en" else []),
            Rule(
                re.compile(rf"(?<![\w.,–-])({number})[–-]({number})(?![\d–-]|[.,]\d)"),
                lambda m: f"{m[1]} {words.to} {m[2]}",
            ),
            *self._money(words),
            Rule(re.compile(rf"{signed}[ \u00a0]?[%٪％]"), lambda m: counted(m[1], words.percent)),
            Rule(re.compile(rf"[%٪％] ?({number}){RIGHT}"), lambda m: counted(m[1], words.percent)),
            self._units(words),
            Rule(re.compile(r"(?<![\d/.,])(\d{1,4})/(\d{1,4})(?![\d/])"), lambda m: self._fraction(words, m)),
            *self._ordinals(words),
        ]

    def _bare(self) -> list[Rule]:
        """Rules for every digit that is left."""
        read, apart = self._amounts.read, self._apart
        rules = [
            Rule(re.compile(self._amounts.signed + RIGHT), lambda m: apart(m, read(m[1]))),
            Rule(re.compile(r"\d+(?:[.,]\d+)+"), lambda m: apart(m, self._amounts.read_version(m[0]))),
            Rule(re.compile(r"\d+"), lambda m: apart(m, read(m[0]))),
        ]
        if self._base in ("en", "de"):
            years = re.compile(rf"{LEFT}(?<![-−])(1[1-9]\d\d|20[1-9]\d)(s\b)?{RIGHT}")
            rules.insert(0, Rule(years, self._year))
        return rules

    def _apart(self, match: re.Match[str], words: str) -> str:
        """Return words with a space to the letters that the number touched: MP3, 3D."""
        text, start, end = match.string, match.start(), match.end()
        before = " " if _LETTER.match(text[start - 1 : start]) else ""
        # A German or Turkish number may have an ending of its own: 1980er.
        has_ending = self._base in ("de", "tr")
        after = " " if not has_ending and _LETTER.match(text[end : end + 1]) else ""
        return f"{before}{words}{after}"

    def _year(self, match: re.Match[str]) -> str:
        words = year(int(match[1]), self._base)
        if match[2]:  # the 1990s
            words = f"{words[:-1]}ies" if words.endswith("y") else f"{words}s"
        return self._apart(match, words)

    # -- words ---------------------------------------------------------------------------------------

    def _abbreviations(self) -> list[Rule]:
        table = IN_FULL.get(self._base)
        if not table:
            return []
        table = {_capitalised(name): _capitalised(words) for name, words in table.items()} | table
        names = {name.replace(" ", ""): words for name, words in table.items()}
        longest_first = sorted(table, key=len, reverse=True)
        spelled = "|".join(re.escape(name).replace(r"\ ", r"[ \u00a0]?") for name in longest_first)

        def apply(match: re.Match[str]) -> str:
            words = names[re.sub(r"\s", "", match[1])]
            ends_sentence = match[1].endswith(".") and not match.string[match.end() :].strip()
            return f"{words}." if ends_sentence else words

        return [Rule(re.compile(rf"(?<![\w.])({spelled})(?!\w)"), apply)]

    def _chapters(self, words: Words) -> list[Rule]:
        if not words.chapters:
            return []
        # C, D, L and M alone are letters; `part I` may be a part that I like.
        pattern = re.compile(rf"\b((?i:{words.chapters}))\s+([IVXLCDM]{{2,9}}|[IVX])\b(?!\.\w)")

        def apply(match: re.Match[str]) -> str:
            value = roman(match[2])
            is_doubtful = self._base == "en" and len(match[2]) == 1 and match[1][0].islower()
            return f"{match[1]} {cardinal(value, self._base)}" if value and not is_doubtful else match[0]

        return [Rule(pattern, apply)]

    # -- phones, money, units, fractions -------------------------------------------------------------

    def _phone(self, match: re.Match[str]) -> str:
        groups = re.findall(r"\d+", match[0])
        if len("".join(groups)) < _LEAST_PHONE_DIGITS:
            return match[0]
        plus = "plus " if match[0][0] == "+" and self._base in ("en", "de", "fr", "pl") else ""
        return plus + ", ".join(digits(group, self._base) for group in groups)

    def _money(self, words: Words) -> list[Rule]:
        names = dict(words.money)
        names |= {code: names[sign] for code, sign in CODES.items() if sign in names}
        if "$" in names:
            names["US$"] = names["$"]
        signs = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
        scale = r"(?: (million|billion|trillion)\b)?" if self._base == "en" else "()"
        before = re.compile(rf"(?<!\w)({signs}) ?({self._amounts.number}){RIGHT}{scale}")
        after = re.compile(rf"{LEFT}({self._amounts.number}){scale}[ \u00a0]?({signs})(?!\w)")
        return [
            Rule(before, lambda m: self._sum(words, m[2], names[m[1]], m[3])),
            Rule(after, lambda m: self._sum(words, m[1], names[m[3]], m[2])),
        ]

    def _sum(self, words: Words, number: str, name: str, scale: str | None) -> str:
        counted = self._amounts.counted
        if scale:
            return f"{self._amounts.read(number)} {scale} {name.split('|')[-1]}"
        whole, fraction = self._amounts.parts(number)
        if not words.cents or len(fraction) != 2:
            return counted(number, name)
        if fraction == "00":
            return counted(whole, name)
        cents = counted(fraction.lstrip("0"), words.cents)
        return f"{counted(whole, name)}{words.and_}{cents}" if whole.strip("0") else cents

    def _units(self, words: Words) -> Rule:
        names = "|".join(map(re.escape, sorted(words.units, key=len, reverse=True)))
        pattern = re.compile(rf"{self._amounts.signed}[ \u00a0]?({names})(?![\w/²³°])")
        return Rule(pattern, lambda m: self._amounts.counted(m[1], words.units[m[2]]))

    def _fraction(self, words: Words, match: re.Match[str]) -> str:
        named = words.fractions.get(match[0])
        if named is None:
            upper, lower = (cardinal(int(part), self._base) for part in match.groups())
            named = words.over.format(a=upper, b=lower)
        has_whole = re.search(r"\d $", match.string[max(0, match.start() - 2) : match.start()])
        return f"{words.and_.strip()} {named}".strip() if has_whole else named

    # -- ordinals ------------------------------------------------------------------------------------

    def _ordinals(self, words: Words) -> list[Rule]:
        base = self._base
        start = r"(?<![\w.,])(\d{1,4})"

        def plain(after: str) -> Rule:
            return Rule(re.compile(start + after), lambda m: ordinal(int(m[1]), base))

        if base == "en":
            return [plain(r"(?:st|nd|rd|th)\b")]
        if base == "de":
            nouns = "|".join([_GERMAN_NOUNS, *words.months.split()])
            pattern = re.compile(rf"{start}\.(?= (?:[a-zäöü]|{nouns}))")
            return [Rule(pattern, lambda m: ordinal(int(m[1]), base) + german_ending(m))]
        if base == "fr":
            first = re.compile(r"(?<![\w.,])1(er|re|ère)\b")
            return [
                Rule(first, lambda m: "premier" if m[1] == "er" else "première"),
                plain(r"(?:e|è|ème|ième|nd|nde)\b"),
            ]
        if base in ("es", "it", "pt"):
            pattern = re.compile(start + r"\.?([ºª°])")
            return [Rule(pattern, lambda m: _of_gender(ordinal(int(m[1]), base), is_feminine=m[2] == "ª"))]
        if base == "ru":
            pattern = re.compile(f"{start}-({'|'.join(_RUSSIAN_CASES)})\\b")
            return [Rule(pattern, lambda m: ordinal(int(m[1]), base, **_RUSSIAN_CASES[m[2]]))]
        return [plain(r"\.(?= [a-zçğıöşüąćęłńóśźż])")] if base in ("tr", "pl") else []


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _of_gender(words: str, *, is_feminine: bool) -> str:
    """Return a Romance ordinal for a feminine noun where one is asked for."""
    return re.sub(r"o\b", "a", words) if is_feminine else words
