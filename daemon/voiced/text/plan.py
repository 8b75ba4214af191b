"""The segment plan: a pure function of a text and limits, computed once for each job.

A segment is a sentence; white space belongs to the segment before it, at the very beginning to the first.
Paragraphs are cut by blank lines. Inside a paragraph the end of a line is a space where the line was wrapped, and
the end of a sentence where it was not: in lists, verse and headings the next word would have fitted on the line,
or the next line begins with a list mark. Text with lines beyond 200 characters has one paragraph a line.
Pieces without anything to say join their neighbour.

A sentence beyond the limit ends at a sentence inside its quotation, then at a clause mark, then at the last space
within 20 % of the limit, then at any space. A word longer than the limit is cut, never inside a character.

Small texts are planned inside the daemon, so this module imports little. Any thread.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from voiced.segments import Break, Plan, Segment, covers
from voiced.text.sentences import inner_sentence_ends, sentence_ends


class Limits(NamedTuple):
    """How long a segment may be, in characters without the white space around them."""

    max_chars: int
    first_max_chars: int = 0
    """A first sentence longer than this ends at its first clause, where one is short enough; 0 = off."""


class Chapter(NamedTuple):
    """Where a chapter begins."""

    title: str
    start: int


class _Piece(NamedTuple):
    start: int
    end: int
    after: Break


_UNWRAPPED_CHARS = 200
"""A line longer than this was not wrapped for reading; the widest habit known is 132."""
_WRAP_SLACK_CHARS = 8
"""How much more than the next word must have fitted before a line counts as ended on purpose."""
_LEAST_FIRST_CHARS = 10
"""A first clause below this ("Well,") is over before the next is ready."""

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_LIST_MARK = re.compile(r"\s*(?:[-*+•‣◦·–—]\s|\(?\d{1,3}[.)]\s|\(?[a-z]\)\s)")  # noqa: RUF001 (dashes begin dialogue)
_FIRST_WORD = re.compile(r"\S{1,20}")
_ENUMERATOR = re.compile(r"\W*(?:\d{1,3}|[A-Za-z])[.)]\s*\Z")
_WORD = re.compile(r"[^\W_]")
_CLAUSE = re.compile(
    r"""(?: [,;:،؛…]["'”’»)\]]*(?=\s)   # marks before a space: not 3,50 nor 10:30
        |   [、，；：—][」』”’）]*\s*     # marks that need none
        |   (?<=\s)[-–](?=\s)
        )\s*""",  # noqa: RUF001 (the marks themselves)
    re.VERBOSE,
)


def make_plan(text: str, *, language: str, limits: Limits, chapters: Sequence[Chapter] = ()) -> Plan:
    """Return the plan of a text; every character is in exactly one segment.

    Args:
        text: The whole text; must be encodable as UTF-8.
        language: BCP 47 tag, for every segment.
        limits: `max_chars` must be at least 1.
        chapters: In the order of the text; empty = it has none.

    Raises:
        ValueError: If `limits.max_chars` is below 1, or the text holds a lone surrogate.
    """
    if limits.max_chars < 1:
        raise ValueError(f"max_chars is {limits.max_chars}; at least 1")
    pieces = [
        part
        for piece in _joined(text, _sentences(text, language, chapters), limits.max_chars)
        for part in _cut(text, piece, language, limits.max_chars)
    ]
    if limits.first_max_chars and pieces:
        pieces[:1] = _first_clause(text, pieces[0], limits.first_max_chars)
    plan = Plan(
        len(text),
        language,
        tuple(_segments(text, pieces, language, [chapter.start for chapter in chapters])),
        tuple(chapter.title for chapter in chapters),
    )
    assert covers(plan)
    return plan


def truncate(text: str, limit: int) -> str:
    """Return at most `limit` characters: up to the last space within 20 % of the limit, or exactly there."""
    if len(text) <= limit:
        return text
    space = _last_space(text, limit - limit // 5, limit)
    return text[: space or _safe_cut(text, 0, limit)].rstrip()


def is_silent(text: str) -> bool:
    """Return whether there is nothing to say: no letter, digit, currency sign or pictograph."""
    if _WORD.search(text):
        return False
    return not any(unicodedata.category(character) in ("So", "Sc") for character in text)


# -- from text to sentences ---------------------------------------------------------------------------


def _sentences(text: str, language: str, chapters: Sequence[Chapter]) -> Iterator[_Piece]:
    start = 0
    for paragraph in _paragraphs(text, chapters):
        for line in _lines(text, paragraph):
            borders = sentence_ends(text, line.start, line.end, language)
            if len(borders) > 1 and _ENUMERATOR.match(text, line.start, borders[0]):
                del borders[0]  # "1." belongs to what it counts
            for border in borders[:-1]:
                yield _Piece(start, border, Break.SENTENCE)
                start = border
            yield _Piece(start, line.end, line.after)
            start = line.end


def _paragraphs(text: str, chapters: Sequence[Chapter]) -> Iterator[_Piece]:
    start = 0
    stops = [chapter.start for chapter in chapters if 0 < chapter.start < len(text)]
    for stop in (*stops, len(text)):
        after = Break.CHAPTER if stop < len(text) else Break.END
        for match in _BLANK_LINES.finditer(text, start, stop):
            if match.end() < stop:
                yield _Piece(start, match.end(), Break.PARAGRAPH)
                start = match.end()
        if start < stop:
            yield _Piece(start, stop, after)
        start = stop


def _lines(text: str, paragraph: _Piece) -> Iterator[_Piece]:
    """Cut a paragraph at the line ends that were meant."""
    content = text[paragraph.start : paragraph.end].rstrip()
    if "\n" not in content:
        yield paragraph
        return
    lines = content.split("\n")
    width = max(map(len, lines))
    after = Break.PARAGRAPH if width > _UNWRAPPED_CHARS else Break.SENTENCE
    start = place = paragraph.start
    for line, following in pairwise(lines):
        place += len(line) + 1
        if _is_meant(line, following, width):
            yield _Piece(start, place, after)
            start = place
    yield _Piece(start, paragraph.end, paragraph.after)


def _is_meant(line: str, following: str, width: int) -> bool:
    if width > _UNWRAPPED_CHARS or _LIST_MARK.match(following):
        return True
    word = _FIRST_WORD.search(following)
    if word is None or word[0][0].islower():
        return False
    length = len(word[0])
    needed = 1 if length == 20 else length  # a line without spaces, as in Chinese: one character is enough
    return len(line) + 1 + needed + _WRAP_SLACK_CHARS <= width


def _joined(text: str, pieces: Iterator[_Piece], limit: int) -> Iterator[_Piece]:
    """Join what has nothing to say to what stands before it; at the beginning, to what follows."""
    held: _Piece | None = None
    for piece in pieces:
        if held is None:
            held = piece
            continue
        both = text[held.start : piece.end]
        is_silent_piece = is_silent(text[piece.start : piece.end])
        if (is_silent_piece or is_silent(text[held.start : held.end])) and len(both.strip()) <= limit:
            held = _Piece(
                held.start, piece.end, max(held.after, piece.after) if is_silent_piece else piece.after
            )
        else:
            yield held
            held = piece
    if held is not None:
        yield held


# -- from sentences to segments -----------------------------------------------------------------------


def _cut(text: str, piece: _Piece, language: str, limit: int) -> Iterator[_Piece]:
    """Cut a sentence into parts of at most `limit` characters, and a great white space off it."""
    start, _, after = piece
    content = text[start : piece.end]
    begin = start + len(content) - len(content.lstrip())
    end = max(start + len(content.rstrip()), begin)
    if begin - start > limit and begin < end:
        yield _Piece(start, begin, Break.NONE)
        start = begin
    if end - begin > limit:
        inner = inner_sentence_ends(text, begin, end, language)
        while end - begin > limit:
            place, kind = _best_cut(text, begin, end, inner, limit)
            yield _Piece(start, place, kind)
            start = begin = place
    if piece.end - end > limit and end > start:
        yield _Piece(start, end, Break.NONE)
        start = end
    yield _Piece(start, piece.end, after)


def _best_cut(text: str, begin: int, end: int, inner: list[int], limit: int) -> tuple[int, Break]:
    """Return where the first part of a sentence ends, white space after it included, and the pause there."""
    stop = begin + limit
    last = bisect_right(inner, stop) - 1
    if last >= 0 and begin < inner[last] < end:
        return inner[last], Break.SENTENCE
    # Parts of about one length sound better than a full one and a leftover.
    target = begin + (end - begin) / -(-(end - begin) // limit)
    found = (match.end() for match in _CLAUSE.finditer(text, begin + limit // 4, stop + 1))
    marks = [mark for mark in found if mark < end and (mark <= stop or text[mark - 1].isspace())]
    if marks:
        return _past_space(text, min(marks, key=lambda mark: abs(mark - target)), end), Break.CLAUSE
    space = _last_space(text, stop - limit // 5, stop) or _last_space(text, begin, stop)
    if space:
        return _past_space(text, space, end), Break.NONE
    return _past_space(text, _safe_cut(text, begin, stop), end), Break.NONE


def _first_clause(text: str, piece: _Piece, limit: int) -> list[_Piece]:
    content = text[piece.start : piece.end]
    begin = piece.start + len(content) - len(content.lstrip())
    end = piece.start + len(content.rstrip())
    if end - begin <= limit:
        return [piece]
    for match in _CLAUSE.finditer(text, begin + _LEAST_FIRST_CHARS, begin + limit + 1):
        place = _past_space(text, match.end(), end)
        if len(text[begin:place].rstrip()) <= limit and place < end:
            return [_Piece(piece.start, place, Break.CLAUSE), _Piece(place, piece.end, piece.after)]
    return [piece]


def _last_space(text: str, low: int, high: int) -> int:
    """Return the last place in (low, high] where white space stands; 0 = none."""
    for place in range(min(high, len(text) - 1), low, -1):
        if text[place].isspace():
            return place
    return 0


def _past_space(text: str, place: int, end: int) -> int:
    while place < end and text[place].isspace():
        place += 1
    return place


def _safe_cut(text: str, begin: int, place: int) -> int:
    """Return the last place in (begin, place] that is not inside a character as people see it."""
    cut = place
    while cut > begin and _continues(text, begin, cut):
        cut -= 1
    return cut if cut > begin else place


def _continues(text: str, begin: int, place: int) -> bool:
    """Return whether the code points before and at `place` belong together."""
    if place >= len(text):
        return False
    before, here = text[place - 1], text[place]
    if here == "\u200d" or before == "\u200d" or unicodedata.category(here)[0] == "M":
        return True
    if "\U0001f3fb" <= here <= "\U0001f3ff" or "\U000e0020" <= here <= "\U000e007f":  # skin tone, flag tags
        return True
    if "\u1160" <= here <= "\u11ff" or unicodedata.combining(before) == 9:  # a syllable in letters, a virama
        return True
    if _is_flag_half(here) and _is_flag_half(before):
        first = place
        while first > begin and _is_flag_half(text[first - 1]):
            first -= 1
        return (place - first) % 2 == 1
    return False


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


# -- from pieces to values ----------------------------------------------------------------------------


def _segments(text: str, pieces: list[_Piece], language: str, starts: list[int]) -> Iterator[Segment]:
    is_ascii = text.isascii()
    bytes_done = 0
    for number, piece in enumerate(pieces, 1):
        content = text[piece.start : piece.end]
        byte_start = bytes_done
        bytes_done += len(content) if is_ascii else len(content.encode())
        yield Segment(
            piece.start,
            piece.end,
            byte_start,
            bytes_done,
            language,
            Break.END if number == len(pieces) else piece.after,
            max(0, bisect_right(starts, piece.start) - 1),
            "" if is_silent(content) else None,
        )
