"""Names of files: what fits a file system, which number comes next, and what may be shown. Pure.

Every name may be any bytes a file system allows: what Python cannot read as UTF-8 travels in surrogates, and only
`printable` makes it fit for messages.
"""

import os
from pathlib import Path

MAX_NAME_BYTES = 255
"""Longest name of one file: NAME_MAX of Linux's and macOS's file systems."""

_MAX_SUFFIX_BYTES = 20
"""A longer "suffix" is the end of a sentence with a full stop in it."""


def free_name(folder: Path, name: str, n: int) -> Path:
    """Return the `n`-th name that a file called `name` may get: "book.wav", "book (2).wav", "book (3).wav" ..."""
    if n == 1 and len(os.fsencode(name)) <= MAX_NAME_BYTES:
        return folder / name
    stem, suffix = split_suffix(name)
    return folder / shorten(stem, suffix if n == 1 else f" ({n}){suffix}")


def shorten(name: str, suffix: str) -> str:
    """Return `name` + `suffix` in at most 255 bytes: what is too long is cut from the end of `name`."""
    room = MAX_NAME_BYTES - len(os.fsencode(suffix))
    data = os.fsencode(name)
    if len(data) > room:
        cut = max(room, 0)
        while cut and 0x80 <= data[cut] < 0xC0:  # inside a character of UTF-8
            cut -= 1
        data = data[:cut]
    return os.fsdecode(data) + suffix


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name without its suffix, and the suffix with its dot; empty where there is none."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    return (name, "") if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES else (stem, suffix)


def printable(path: Path | str) -> str:
    """Return a path fit for messages: valid UTF-8 on one line, other bytes and control characters as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    # Joiners shape Persian, Indic and emoji, the no-break spaces are ordinary in French and Japanese.
    if character.isprintable() or character in "\u00a0\u200c\u200d\u202f\u3000":
        return character
    return character.encode("unicode_escape").decode("ascii")


def unfinished(path: Path) -> Path:
    """Return where a child writes a file that is to appear whole; left over where it was killed."""
    return path.with_name(f".{path.name}.new")
