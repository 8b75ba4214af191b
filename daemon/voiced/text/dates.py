"""Dates and times of day in words. Pure."""

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

import re

from voiced.text.amounts import LEFT, Amounts, Rule
from voiced.text.counting import cardinal, digits, ordinal, year
from voiced.text.number_words import Words

KOREAN_HOURS = ("한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열", "열한", "열두")
_DATIVE = ("am", "im", "vom", "zum", "beim", "dem", "den", "des", "zur", "seit", "ab", "bis", "einem")
_BEFORE_TIME = {"it": "alle", "pl": "godzinie", "tr": "[Ss]aat"}
"""What tells that 10.30 is a time."""
_FIRST_IS_ORDINAL = ("fr", "it", "pt")
_DAY_IS_ORDINAL = ("en", "de", "pl")


class Calendar:
    """Reads the dates and times of one language.

    Args:
        amounts: Reads its numbers.
        words: What stands around them.
        is_month_first: 3/10/2024 is in March.
    """

    def __init__(self, amounts: Amounts, words: Words, *, is_month_first: bool) -> None:
        self._amounts = amounts
        self._words = words
        self._base = amounts.base
        self._months = words.months.split()
        self._is_month_first = is_month_first

    def rules(self) -> list[Rule]:
        """Return its rules, in their order."""
        return [*self._shortened(), *self._numeric(), *self._named(), *self._times()]

    # -- dates ---------------------------------------------------------------------------------------

    def _numeric(self) -> list[Rule]:
        iso = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?![\w-])")
        short = re.compile(r"(?<![\w./])(\d{1,2})([./]) ?(\d{1,2})\2 ?(\d{4})(?![\w/]|\.\d)")
        return [Rule(iso, lambda m: self._date(m, int(m[3]), int(m[2]), m[1])), Rule(short, self._short_date)]

    def _shortened(self) -> list[Rule]:
        """Months cut short beside a number: Oct. 3, 3. Okt., 3 de oct."""
        full = {
            month[:chars].lower(): month
            for month in self._months
            for chars in (5, 4, 3)
            if chars < len(month)
        }
        if not full or self._base in ("ar", "hi"):
            return []
        names = "|".join(sorted(full, key=len, reverse=True))
        beside = re.compile(rf"(\d\.?(?: de)? )((?i:{names}))\.|\b((?i:{names}))\.(?=(?: de)? \d)")
        return [Rule(beside, lambda m: (m[1] or "") + full[(m[2] or m[3]).lower()])]

    def _named(self) -> list[Rule]:
        base, named = self._base, "|".join(self._months)
        if base == "en":
            after = re.compile(rf"\b({named}) (\d{{1,2}})(?:st|nd|rd|th)?\b(?![.,:]?\d)")
            before = re.compile(rf"(?<![\w.,])(\d{{1,2}})(?:st|nd|rd|th)? (?=(?:{named})\b)")
            return [
                Rule(after, lambda m: f"{m[1]} {ordinal(int(m[2]), base)}"),
                Rule(before, lambda m: f"{ordinal(int(m[1]), base)} of "),
            ]
        if base in ("pl", "ru"):
            word, short = ("roku", r"r\.") if base == "pl" else ("года", r"г\.")
            day = re.compile(rf"(?<![\w.,:])(\d{{1,2}})(?= (?:{named})\b)")
            of_year = re.compile(rf"\b({named}) (\d{{4}})(?:[ \u00a0]({short}|{word}))?(?! ?\d)")
            rules = [
                Rule(day, lambda m: self._genitive(int(m[1]))),
                Rule(of_year, lambda m: self._of_year(m, word)),
            ]
            if base == "ru":
                alone = re.compile(r"(?<![\w.,])((?:в|во) )?(1\d{3}|20\d\d)[ \u00a0]?г\.", re.IGNORECASE)
                rules.append(Rule(alone, _russian_year))
            return rules
        if base == "zh":
            return [Rule(re.compile(r"(?<!\d)\d{4}(?=年)"), lambda m: digits(m[0], base))]
        if base == "ko":
            odd = re.compile(r"(?<!\d)(10|6)월")
            return [Rule(odd, lambda m: "시월" if m[1] == "10" else "유월")]
        return []

    def _short_date(self, match: re.Match[str]) -> str:
        day, month = int(match[1]), int(match[3])
        is_month_first = self._is_month_first and match[2] == "/"
        if (is_month_first and day <= 12) or month > 12:
            day, month = month, day
        return self._date(match, day, month, match[4])

    def _date(self, match: re.Match[str], day: int, month: int, of_year: str) -> str:
        if not (1 <= day <= 31 and 1 <= month <= 12):
            return match[0]
        base = self._base
        said_day = cardinal(day, base)
        said_year = year(int(of_year), base)
        if base in _DAY_IS_ORDINAL or (day == 1 and base in _FIRST_IS_ORDINAL):
            said_day = ordinal(day, base)
        if base == "de":
            said_day += german_ending(match)
        elif base == "ru":
            said_day = ordinal(day, base, gender="n")
        elif base == "zh":
            said_year = digits(of_year, base)
        if base in ("pl", "ru"):
            said_year = self._genitive(int(of_year))
        return self._words.date.format(d=said_day, m=self._months[month - 1], y=said_year)

    def _of_year(self, match: re.Match[str], word: str) -> str:
        said = f"{match[1]} {self._genitive(int(match[2]))}"
        if not match[3]:
            return said
        return f"{said} {word}" + ("." if match[3].endswith(".") and _is_last(match) else "")

    def _genitive(self, number: int) -> str:
        """Return an ordinal as a Polish or Russian date has it."""
        if self._base == "ru":
            return ordinal(number, "ru", case="g")
        return re.sub(r"(?<=\w)[yi]\b", lambda m: "ego" if m[0] == "y" else "iego", ordinal(number, "pl"))

    # -- times ---------------------------------------------------------------------------------------

    def _times(self) -> list[Rule]:
        clock = r"(?<![\d:.,/])([01]?\d|2[0-4])"
        minutes = r"([0-5]\d)(?![\d:]|[.,]\d)"
        end = "(?: बजे)?" if self._base == "hi" else ""
        rules = [Rule(re.compile(rf"{clock}:{minutes}{end}"), self._time)]
        if self._base in _BEFORE_TIME:
            dotted = re.compile(rf"(?<=\b{_BEFORE_TIME[self._base]} )([01]?\d|2[0-4])\.{minutes}")
            rules.append(Rule(dotted, self._time))
        if self._base == "de":
            rules.insert(0, Rule(re.compile(rf"{clock}[:.]{minutes} ?Uhr\b"), self._time))
        if self._base in ("fr", "pt"):
            rules.insert(0, Rule(re.compile(rf"{clock} ?h ?{minutes}(?:min)?\b"), self._time))
            hours = "une heure|heures" if self._base == "fr" else "uma hora|horas"
            alone = re.compile(rf"{LEFT}(\d{{1,3}}) ?h\b")
            rules.append(Rule(alone, lambda m: self._amounts.counted(m[1], hours)))
        if self._base == "ko":
            rules.append(
                Rule(re.compile(r"(?<!\d)(1[0-2]|[1-9])(?=시)"), lambda m: KOREAN_HOURS[int(m[0]) - 1])
            )
        return rules

    def _time(self, match: re.Match[str]) -> str:
        base, hour, minutes = self._base, int(match[1]), match[2]
        said, template = cardinal(hour, base), self._words.time
        if base == "de" and hour == 1:
            said = "ein"
        elif base == "fr" and hour < 2:
            said, template = ("une" if hour else said), "{h} heure {m}"
        elif base == "ko" and 1 <= hour <= 12:
            said = KOREAN_HOURS[hour - 1]
        if minutes == "00":
            return "une heure" if base == "fr" and hour == 1 else self._words.full_hour.format(h=said)
        minute = cardinal(int(minutes), base)
        if base == "en" and minutes[0] == "0":
            minute = f"oh {minute}"
        return template.format(h=said, m=minute)


def _russian_year(match: re.Match[str]) -> str:
    """Return a year in full: in it, or of it."""
    case, word = ("p", "году") if match[1] else ("g", "года")
    said = f"{match[1] or ''}{ordinal(int(match[2]), 'ru', case=case)} {word}"
    return said + ("." if _is_last(match) else "")


def _is_last(match: re.Match[str]) -> bool:
    """Return whether nothing follows: the full stop of an abbreviation ends the sentence too."""
    return not match.string[match.end() :].strip()


def german_ending(match: re.Match[str]) -> str:
    """Return how an ordinal ends in German, by the word before it: am dritten, der dritte, ein dritter."""
    before = match.string[: match.start()].rstrip().rpartition(" ")[2].lower()
    if before in ("der", "die", "das", "diese", "jede"):
        return ""
    return "n" if before in _DATIVE else "r"
