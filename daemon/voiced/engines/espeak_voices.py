"""The voices of espeak: their ids, and which one speaks a language. Pure, and light enough for every fork."""

from collections.abc import Sequence
from typing import NamedTuple

_DEFAULT_VOICES = {
    # Where espeak's own order would surprise, and tags that it does not know.
    "en": "en-us",
    "zh-hk": "yue",
    "zh-mo": "yue",
    "no": "nb",
    "nn": "nb",
    "iw": "he",
    "in": "id",
    "sh": "hr",
    "tl": "",
}


class EspeakVoice(NamedTuple):
    """A voice of the library."""

    voice: str
    """The id: the last part of espeak's identifier in lower case, with its region: `en-us`, `en-gb`, `cmn`."""
    name: str
    languages: tuple[str, ...]
    """BCP 47 tags, its own first."""
    gender: str
    identifier: str
    """What sets it for certain: `gmw/en-US`; names and tags do not."""
    ranks: tuple[int, ...]
    """How well it stands for each of its languages; the lowest is the best."""


def voice_id(identifier: str, tags: Sequence[str]) -> str:
    """Return the id of a voice: `en-us` of `gmw/en-US`, but `en-gb` of `gmw/en`, whose first tag is more exact.

    Args:
        identifier: espeak's own.
        tags: Its languages, its own first.
    """
    last = identifier.rpartition("/")[2].lower()
    first = tags[0].lower() if tags else last
    is_region = first.startswith(last + "-") and len(first) - len(last) == 3
    return first if is_region else last


def language_tag(tag: str) -> str:
    """Return a BCP 47 tag in its usual spelling: `pt-BR`, `zh-Hant-TW`, `es-419`."""
    first, *others = tag.replace("_", "-").lower().split("-")
    parts = [first]
    for part in others:
        is_free = any(len(before) == 1 for before in parts)
        if len(part) == 2 and not is_free:
            parts.append(part.upper())
        else:
            parts.append(part.capitalize() if len(part) == 4 and part.isalpha() and not is_free else part)
    return "-".join(parts)


def find_voice(voices: Sequence[EspeakVoice], name: str) -> EspeakVoice | None:
    """Return the voice of an id (any case), or of espeak's own identifier; None = there is none.

    Args:
        voices: All voices.
        name: Without a variant.
    """
    wanted = name.lower()
    return next((voice for voice in voices if wanted in (voice.voice, voice.identifier.lower())), None)


def default_voice(voices: Sequence[EspeakVoice], language: str) -> EspeakVoice | None:
    """Return the voice for a language; a region that has none falls back to the language alone.

    Args:
        voices: All voices.
        language: BCP 47 tag, any case.
    """
    wanted = language.replace("_", "-").lower()
    while wanted:
        if wanted in _DEFAULT_VOICES:
            return find_voice(voices, _DEFAULT_VOICES[wanted])
        ranked = [
            (rank, place)
            for place, voice in enumerate(voices)
            for tag, rank in zip(voice.languages, voice.ranks, strict=True)
            if tag.lower() == wanted
        ]
        if ranked:
            return voices[min(ranked)[1]]
        wanted = wanted.rpartition("-")[0]
    return None
