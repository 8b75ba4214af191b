"""Where a sentence goes on though its border looks like an end: after abbreviations, ordinals and quoted speech.

What `sentencex` leaves of the languages of the sources, found with a paragraph in each. Every rule is about what stands
on both sides of a border, so a rule can join two sentences and never cut one. Pure; any thread.
"""

# ruff: noqa: RUF001 RUF003 (letters and marks of many scripts are what this is about)

import re
import unicodedata
from typing import NamedTuple

_CONTEXT_CHARS = 64
"""How much is looked at on either side of a border."""
_VOWEL = "[aeiouyıаеёиоуыэюя]"

_CLOSING = "\"'”“’»«›‹)]"  # German closes with what English opens with
_LEADING = " \"'“„”‘‚«»‹›¿¡([—–-"
_DASHES = ("—", "–")
_LAST_WORD = r"(?:^|[^\w.\u0900-\u0963])([\w.\u0900-\u0963]+)\.\Z"
_DETERMINER = (
    r"(?i)\b(?:am|ab|bis|beim|das|dem|den|der|des|die|im|ins|jede[mnrs]?|seit|vom|zum|zur|sein|ihr|mein|unser)"
    r"(?:e[mnrs]?)?\s\d{1,2}\.\Z"
)


class _Abbreviations(NamedTuple):
    """Words that end with a full stop and no sentence."""

    always: frozenset[str]
    """What they belong to follows: titles, months, `approx.`"""
    before_digits: frozenset[str] = frozenset()
    """Only where a number follows: pages, figures."""
    before_small: frozenset[str] = frozenset()
    """Only where a small letter follows: etc."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SPEAKERS = {
    "zh": r"[^。！？“]{0,16}(?:说|问|答|喊|叫|说道|问道|答道|喊道|叫道|笑道)[。，；]",
    "ko": r"(?:이?라고|하고)\b|[^.!?“\"]{0,24}(?:물었다|말했다|대답했다|외쳤다|소리쳤다|속삭였다)\b",
    "ar": r"(?:قال|قالت|قالوا|سأل|سألت|سألوا|أجاب|أجابت|صاح|صاحت|رد|ردت|همس|همست)\b",
    "hi": r"[^।!?“\"]{0,24}(?:कहा|पूछा|बोला|बोली|बोले|चिल्लाया|चिल्लाई)[।,]",
}
"""Who spoke, after a quotation, where no small letter tells that the sentence goes on."""

_ABBREVIATIONS = {
    "en": _Abbreviations(
        _words("approx vs cf viz"),
        _words("no nos fig figs p pp vol ch sec art eq jan feb mar apr jun jul aug sep sept oct nov dec"),
        _words("etc est incl"),
    ),
    "fr": _Abbreviations(
        _words("m mme mlle mlles mgr dr pr st ste sts env av janv févr avr juil sept oct nov déc cf"),
        _words("p pp fig vol chap art n°"),
        _words("etc env ex oct"),
    ),
    "de": _Abbreviations(
        _words(
            "dr prof hr fr frl st nr ca bzw vgl z.b d.h evtl ggf inkl exkl sog geb gest hl ing dipl str abs art"
        ),
        _words("s bd kap abb jan feb mär apr jun jul aug sept okt nov dez"),
        _words("usw etc ca evtl inkl exkl geb gest u.a"),
    ),
    "es": _Abbreviations(
        _words("sr sra srta sres dr dra d dña ud uds prof profa lic ing gral aprox av avda st sto sta p.ej"),
        _words("p pp pág págs fig vol cap art núm n ene feb abr jun jul ago sept oct nov dic"),
        _words("etc aprox ej oct ago feb ene"),
    ),
    "it": _Abbreviations(
        _words(
            "sig sigg sig.ra sig.na dott dott.ssa prof prof.ssa ing avv s st ca cfr genn febbr ott nov dic"
        ),
        _words("p pp pag pagg fig vol cap art n"),
        _words("ecc ca es ott genn"),
    ),
    "pt": _Abbreviations(
        _words("sr sra srs d dr dra prof profa eng exmo exma aprox av st sto sta p.ex p"),
        _words("pp pág págs fig vol cap art n núm jan fev abr ago set out nov dez"),
        _words("etc aprox ex out abr ago fev jan set"),
    ),
    "pl": _Abbreviations(
        _words("dr prof mgr inż św ks ul al tzn tj tzw np m.in wg por zob płk kpt godz styczn paźdz"),
        _words("s str rys t tab nr poz art ok stycz lut mar kwiet czerw lip sierp wrz list grudz"),
        _words("itd itp proc ok tys godz"),
    ),
    "ru": _Abbreviations(
        _words("ул пл д проф акад доц св т.е т.к ср см тов гр янв февр апр авг сент окт нояб дек"),
        _words("с стр рис табл гл т ст п"),
        _words("руб напр тыс"),
    ),
    "tr": _Abbreviations(
        _words("dr prof doç av sn bkz st örn alb gen müh uzm"),
        _words("s ss no cilt böl"),
    ),
    "ar": _Abbreviations(_words("د أ م ا.د أ.د"), _words("ص ج")),
    "hi": _Abbreviations(_words("डॉ प्रो श्री पं कु सु मो डा"), _words("रु पृ सं")),
}
_NONE = _Abbreviations(frozenset())


def goes_on(text: str, border: int, base: str) -> bool:
    """Return whether the sentence before a border goes on after it.

    Args:
        text: What the border was found in.
        border: Where the library ends a sentence; white space stands before it.
        base: ISO 639 code of the language.
    """
    before = text[max(0, border - _CONTEXT_CHARS) : border].rstrip()
    after = text[border : border + _CONTEXT_CHARS].lstrip(_LEADING)[:1]
    if not before or not after:
        return False
    if before[-1] in _CLOSING or text.startswith(_DASHES, border):
        # “Is it?” asked he. —¿Es verdad? —preguntó.
        return after.islower() or (base in _SPEAKERS and _names_speaker(text, border, base))
    if before[-1] != ".":
        return False
    found = re.search(_LAST_WORD, before)
    return found is not None and _is_abbreviated(found[1], before, after, base)


def _names_speaker(text: str, border: int, base: str) -> bool:
    return re.match(_SPEAKERS[base], text[border : border + _CONTEXT_CHARS]) is not None


def _is_abbreviated(word: str, before: str, after: str, base: str) -> bool:
    """Return whether the full stop after a word is no end."""
    if word.isdigit():
        if after.islower():
            return len(word) < 3  # 19. yüzyılda
        return base == "de" and after.isupper() and re.search(_DETERMINER, before) is not None
    abbreviations = _ABBREVIATIONS.get(base, _NONE)
    plain = word.lower()
    if plain in abbreviations.always or (plain in abbreviations.before_digits and after.isdigit()):
        return True
    if after.islower():
        # A text without any capitals has sentences too: only what cannot be a word, or is known, ends none.
        has_vowel = re.search(_VOWEL, unicodedata.normalize("NFD", plain))
        return not has_vowel or len(word) == 1 or "." in word or plain in abbreviations.before_small
    is_initial = len(word) == 1 and word.isupper() and base in _ABBREVIATIONS and base != "en"
    return is_initial and after.isupper()
