"""The language of an MMS model as others name it: from ISO 639-3 to BCP 47. Pure."""

from voiced.iso639 import TWO_LETTERS

_MEMBERS = """
als:sq arb:ar azb:az azj:az cmn:zh ekk:et gaz:om khk:mn kmr:ku lvs:lv npi:ne ory:or pbt:ps pes:fa plt:mg quy:qu swh:sw
uzn:uz ydd:yi zlm:ms zsm:ms
"""
"""Members of a macrolanguage go by its code in the registry of language subtags, as people ask."""
_SHORTER = TWO_LETTERS | dict(pair.split(":") for pair in _MEMBERS.split())

_SCRIPTS = {
    "arabic": "Arab",
    "bengali": "Beng",
    "cyrillic": "Cyrl",
    "devanagari": "Deva",
    "greek": "Grek",
    "gujarati": "Gujr",
    "hebrew": "Hebr",
    "khmer": "Khmr",
    "latin": "Latn",
    "tamil": "Taml",
    "telugu": "Telu",
    "thai": "Thai",
    "tibetan": "Tibt",
}


def language_tag(code: str) -> str:
    """Return the BCP 47 tag of an MMS language.

    Args:
        code: ISO 639-3, with `-script_latin` or `-dialect_...` behind it in some; empty gives empty.

    A code without a shorter one is a BCP 47 tag as it is; dialects have none and are left out.
    """
    language, _, variety = code.lower().partition("-")
    script = _SCRIPTS.get(variety.removeprefix("script_"), "")
    tag = _SHORTER.get(language, language)
    return f"{tag}-{script}" if script and variety.startswith("script_") else tag
