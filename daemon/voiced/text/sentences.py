"""Where sentences end: `sentencex`, fed so that no text can make it slow or stop it.

Imported by the segment plan, so it imports little. Any thread.
"""

import re

from sentencex import get_sentence_boundaries

from voiced.text.borders import goes_on

WINDOW_CHARS = 2048
"""The library's time grows with the square of what it is given at once: 1.3 us a character up to here, 7 us for
20,000 characters of Chinese, 90 us for 300,000 opening quotation marks (measured, sentencex 1.0.32)."""

_ODD_SPACE = re.compile(r"[^\S ]")
_ELLIPSIS = re.compile(r"…(?= [ \"'“„«‹¿¡—–-]{0,8}(\w))")  # noqa: RUF001 (the marks themselves)
_HOUR = re.compile(r"(?<=\b[ap])\.m(?=\. +[\"“][A-Z])")
"""`10 a.m. "Yes!"`: the library sees no end before the quotation unless it is a plain word."""
_QUOTES = str.maketrans(dict.fromkeys('"“”„‟«»‹›「」『』()（）[]', " "))  # noqa: RUF001 (the marks themselves)


def sentence_ends(text: str, start: int, end: int, language: str) -> list[int]:
    """Return where the sentences of `text[start:end]` end, white space after each included; the last is `end`.

    Args:
        text: The whole text.
        start: First character of a paragraph; line ends inside it count as spaces.
        end: One past its last.
        language: BCP 47 tag; an unknown one is cut by general rules.
    """
    return _ends(_ODD_SPACE.sub(" ", text[start:end]), start, language)


def inner_sentence_ends(text: str, start: int, end: int, language: str) -> list[int]:
    """Return the same for a sentence too long to speak at once, where those inside quotations count too."""
    return _ends(_ODD_SPACE.sub(" ", text[start:end]).translate(_QUOTES), start, language)


def _ends(plain: str, offset: int, language: str) -> list[int]:
    base = language.partition("-")[0].lower()
    plain = _ELLIPSIS.sub(_full_stop, plain)
    if base == "en":
        plain = _HOUR.sub("xm", plain)
    ends: list[int] = []
    place, total = 0, len(plain)
    while place < total:
        stop = min(place + WINDOW_CHARS, total)
        found = _library_ends(base, plain[place:stop])
        if stop < total:
            found.pop()  # the window may have ended inside this one: it is looked at again with what follows
        ends += [offset + place + border for border in found]
        place = place + found[-1] if found else stop
    if not ends or ends[-1] != offset + total:
        ends.append(offset + total)
    if base == "ja":
        return [border for border in ends if not _is_quoted_clause(plain, border - offset)]
    return [border for border in ends if not goes_on(plain, border - offset, base)]


def _full_stop(ellipsis: re.Match[str]) -> str:
    """An ellipsis before a capital ends a sentence: the library knows that of three points only."""
    return "." if ellipsis[1].isupper() else "…"


def _is_quoted_clause(plain: str, border: int) -> bool:
    """Return whether a Japanese quotation ends here and its sentence goes on: 「...。」と言った。"""
    return plain[border - 1 : border] in ("」", "』") and plain[border : border + 1] in ("と", "っ")


def _library_ends(base: str, window: str) -> list[int]:
    try:
        return [boundary["end_index"] for boundary in get_sentence_boundaries(base, window)]
    except BaseException as error:
        # A panic of the library is no Exception. It must cost nothing but nicer pauses.
        if type(error).__name__ != "PanicException":
            raise
        return [len(window)]
