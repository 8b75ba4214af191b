"""A segment in smaller pieces, for a device that cannot speak it whole. Pure.

The plan stays as it is: the pieces are spoken one after the other as the one segment that they are.
"""

import re

_CLAUSE_END = re.compile(
    r"[,;:.!?\u2026\u3001\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u060c\u061b\u061f\u0964]\s*"
)
"""Where a voice may take breath: Western, Chinese, Japanese, Arabic and Hindi marks."""


def pieces_of(text: str, max_chars: int) -> list[str]:
    """Return the text in pieces of at most so many characters: at a clause's end, else at a space, else anywhere.

    Args:
        text: Of a segment; nothing of it is left out but white space between pieces.
        max_chars: 0 = it stays whole.
    """
    pieces = []
    while 0 < max_chars < len(text):
        end = _cut(text, max_chars)
        pieces.append(text[:end].strip())
        text = text[end:].lstrip()
    return [piece for piece in (*pieces, text.strip()) if piece] or [text]


def _cut(text: str, max_chars: int) -> int:
    head = text[:max_chars]
    ends = [match.end() for match in _CLAUSE_END.finditer(head) if match.end() >= max_chars // 3]
    if ends:
        return ends[-1]
    space = head.rfind(" ")
    return space if space >= max_chars // 3 else max_chars
