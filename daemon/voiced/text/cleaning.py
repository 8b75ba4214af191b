"""Characters that a text may hold: one kind of line end, composed accents, nothing invisible. Pure; any process."""

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
_CONTROLS = frozenset(
    map(chr, (*range(9), *range(14, 27), *range(28, 32), 0x7F, *range(0x80, 0x85), *range(0x86, 0xA0)))
)


def is_binary(text: str) -> bool:
    """Return whether what was decoded is no text: more than a few of its characters are none that people write."""
    sample = text[:200_000]
    strange = sum(map(_CONTROLS.__contains__, sample)) + sample.count("\ufffd")
    return strange > 2 + len(sample) // 100


def clean(text: str) -> str:
    """Return a text as engines want it; what people see of it stays the same."""
    for old, new in _LINE_ENDS.items():
        text = text.replace(old, new)
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return unicodedata.normalize("NFC", text.translate(_DROPPED))
