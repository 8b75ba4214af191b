"""Characters that a text may hold: one kind of line end, composed accents, nothing invisible. Pure; any process."""

import re
import unicodedata

_LINE_ENDS = {
    "\r\n": "\n",
    "\r": "\n",
    "\f": "\n\n",  # a new page: a paragraph at least
    "\u2029": "\n\n",
    "\v": "\n",
    "\x85": "\n",
    "\u2028": "\n",
}
_DROPPED = dict.fromkeys((*range(9), *range(14, 32), *range(0x7F, 0xA0), 0xAD, 0xFEFF))
"""Control characters, soft hyphens and marks of byte order: nobody sees them, engines stumble over them."""
_STRANGE = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f\ufffd]")
"""Control characters but those of lines, pages and escapes, and what stands for bytes that are no characters."""


def is_binary(text: str) -> bool:
    """Return whether what was decoded is no text: more than a few of its characters are none that people write."""
    sample = text[:200_000]
    return len(_STRANGE.findall(sample)) > 2 + len(sample) // 100


def clean(text: str) -> str:
    """Return a text as engines want it; what people see of it stays the same."""
    for old, new in _LINE_ENDS.items():
        text = text.replace(old, new)
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return unicodedata.normalize("NFC", text.translate(_DROPPED))
