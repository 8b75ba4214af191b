"""Blocks of a document - headings, paragraphs, items, rows - and the one text that they become. Pure; any process.

Blocks are separated by a blank line; the items of a list and the rows of a table stand on lines of their own. Both
end as sentences do: an engine takes a breath after "apples." and none after "apples".
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from voiced.text.cleaning import clean
from voiced.text.document import MOST_CHARS, one_line
from voiced.text.plan import Chapter
from voiced_ipc.errors import DocumentRefused

_ENDS = frozenset(".!?…:;,。！？：；，、।؟۔։")  # noqa: RUF001 (the marks themselves)
_CLOSERS = "\"'”’»)]}）」』】›"  # noqa: RUF001
_STOPS = (("\u0900", "\u097f", "।"), ("\u3040", "\u30ff", "。"), ("\u3400", "\u9fff", "。"))
"""The full stop of scripts that do not use the Latin one."""


UNSAID = -1


class Anchor(NamedTuple):
    """A place that a link may point at."""

    name: str
    offset: int
    """In the block's text; `UNSAID` = what it names is left out."""


class Block(NamedTuple):
    """A piece of text that stands by itself."""

    text: str
    """Cleaned, without white space around it; empty = only anchors."""
    level: int = 0
    """1 to 6 of a heading; 0 = none."""
    group: int = 0
    """Of an item or row, which list or table it is of: those of one stand on following lines; 0 = none."""
    anchors: tuple[Anchor, ...] = ()


class Manuscript(NamedTuple):
    """The text of blocks, and where things are in it."""

    text: str
    headings: tuple[tuple[int, Chapter], ...]
    """(level, place) of each."""
    anchors: Mapping[str, int]
    """Where the first anchor of each name is; `UNSAID` where nothing follows it, or it is left out."""


def make_block(
    pieces: Sequence[str], names: Sequence[tuple[int, str]] = (), *, level: int = 0, group: int = 0
) -> Block:
    """Return a block of text pieces as they were read.

    Args:
        pieces: Raw text.
        names: (number of pieces before it, name) of each anchor, in order.
        level: Of a heading.
        group: Of an item or row.
    """
    raw = "".join(pieces)
    text = clean(raw).strip()
    if not names:
        return Block(as_sentence(text) if group else text, level, group)
    anchors, done, length = [], 0, 0
    for count, name in names:
        between = clean("".join(pieces[done:count]))
        length += len(between) if length else len(between.lstrip())
        done = count
        # A heading is not cut. White space at the end is gone; an accent composed over an anchor shifts it by one.
        anchors.append(Anchor(name, 0 if level else min(length, len(text))))
    return Block(as_sentence(text) if group else text, level, group, tuple(anchors))


def as_sentence(text: str) -> str:
    """Return a text that ends as a sentence does."""
    bare = text.rstrip(_CLOSERS)
    if not bare or bare[-1] in _ENDS or not any(map(str.isalnum, bare[-40:])):
        return text
    return text + next((stop for first, last, stop in _STOPS if first <= bare[-1] <= last), ".")


def assemble(blocks: Iterable[Block]) -> Manuscript:
    """Return the text of blocks.

    Raises:
        DocumentRefused: If it is longer than any book.
    """
    parts: list[str] = []
    headings: list[tuple[int, Chapter]] = []
    anchors: dict[str, int] = {}
    waiting: list[str] = []
    length, group = 0, 0
    for block in blocks:
        if not block.text:
            for anchor in block.anchors:
                if anchor.offset == UNSAID:
                    anchors.setdefault(anchor.name, UNSAID)
                else:
                    waiting.append(anchor.name)  # what begins here begins with the next text
            continue
        separator = ("\n" if group and block.group == group else "\n\n") if parts else ""
        start = length + len(separator)
        length = start + len(block.text)
        if length > MOST_CHARS:
            raise DocumentRefused(
                f"The document has more than {MOST_CHARS:,} characters of text, which is no book any more. "
                "Cut it into parts."
            )
        parts += (separator, block.text)
        group = block.group
        if block.level:
            headings.append((block.level, Chapter(one_line(block.text), start)))
        for name in waiting:
            anchors.setdefault(name, start)
        waiting.clear()
        for anchor in block.anchors:
            anchors.setdefault(anchor.name, start + anchor.offset)
    for name in waiting:
        anchors.setdefault(name, UNSAID)
    return Manuscript("".join(parts), tuple(headings), anchors)


def chapters_by_headings(manuscript: Manuscript, title: str) -> tuple[Chapter, ...]:
    """Return the chapters that the headings make: of level 1, of level 2 where at most one has level 1.

    Args:
        manuscript: The text.
        title: Of the document, for what stands before the first of them.
    """
    first, second = ([place for level, place in manuscript.headings if level == wanted] for wanted in (1, 2))
    chapters = second if len(first) <= 1 and second else first
    return settle_chapters(chapters, manuscript, title)


def settle_chapters(chapters: Iterable[Chapter], manuscript: Manuscript, title: str) -> tuple[Chapter, ...]:
    """Return chapters in order: one at a place, none where no text follows, and one for text before the first.

    What stands before the first chapter has one of its own, called as the document is, unless it is nothing but
    headings: these are said at the beginning of the first.
    """
    text = manuscript.text
    found = [chapter for chapter in chapters if 0 <= chapter.start < len(text)]
    found.sort(key=lambda chapter: chapter.start)
    settled: list[Chapter] = []
    for start, group in groupby(found, key=lambda chapter: chapter.start):
        name = next((chapter.title for chapter in group if chapter.title), "")
        settled.append(Chapter(name or str(len(settled) + 1), start))
    if not settled:
        return ()
    before = {part.strip() for part in text[: min(settled[0].start, 10_000)].split("\n\n")} - {""}
    headings = {text[place.start :].partition("\n\n")[0] for _, place in manuscript.headings[:20]}
    if before - headings:
        settled.insert(0, Chapter(one_line(title), 0))
    return tuple(settled)
