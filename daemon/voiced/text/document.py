"""A document that was read, as values; and what its own words about itself are made fit for. Pure; any process."""

import re
from typing import NamedTuple

from voiced.iso639 import TWO_LETTERS
from voiced.text.cleaning import clean
from voiced.text.plan import Chapter

MOST_CHARS = 50_000_000
"""Greatest text of a document: 900 hours of speech. Beyond it something else is meant."""

MOST_COVER_BYTES = 8 << 20

_TITLE_CHARS = 300
_PICTURES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8}){0,4}", re.IGNORECASE)
_OLD_CODES = {"chi": "zh", "dut": "nl", "fre": "fr", "ger": "de"}
"""Codes of ISO 639-2 (bibliographic) that old books have, of the languages that we speak."""
_NO_LANGUAGE = frozenset({"und", "mul", "mis", "zxx"})


class Cover(NamedTuple):
    """The picture on a book."""

    data: bytes
    """A JPEG or PNG as it stands in the document."""
    media_type: str
    """`image/jpeg` or `image/png`."""


class Document(NamedTuple):
    """A text that was read."""

    title: str
    text: str
    """Cleaned; paragraphs are separated by blank lines."""
    chapters: tuple[Chapter, ...] = ()
    """In the order of the text."""
    author: str = ""
    language: str = ""
    """BCP 47 tag as the document says; empty = it does not say."""
    cover: Cover | None = None


def one_line(text: str | None) -> str:
    """Return a title or name as one line of bounded length; what is nothing stays nothing."""
    line = " ".join(clean((text or "")[: 8 * _TITLE_CHARS]).split())
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 1].rstrip() + "…"


def language_tag(text: str | None) -> str:
    """Return what a document calls its language as a BCP 47 tag; empty where it cannot be one."""
    tag = (text or "").strip().replace("_", "-")
    base, separator, rest = tag.partition("-")
    if not _TAG.fullmatch(tag) or base.lower() in _NO_LANGUAGE:
        return ""
    code = base.lower()
    return (_OLD_CODES.get(code) or TWO_LETTERS.get(code, code)) + separator + rest


def picture(data: bytes) -> Cover | None:
    """Return a cover, told by its first bytes; None = it is no JPEG or PNG, or larger than 8 MiB."""
    if len(data) > MOST_COVER_BYTES:
        return None
    return next((Cover(data, kind) for magic, kind in _PICTURES if data.startswith(magic)), None)
