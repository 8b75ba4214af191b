"""The segment plan: which piece of a text is spoken when, as values and as a file.

A plan is computed once, before a job is accepted, by `voiced.text.plan`, and never again: retry, resume and device
switch read it. Every character of the text belongs to exactly one segment.
"""

from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from voiced_ipc.errors import StorageFailed

PLAN_FORMAT = 1


class Break(IntEnum):
    """What follows a segment, and so how long the pause is."""

    NONE = 0
    """A forced cut inside a sentence: no pause."""
    CLAUSE = 1
    SENTENCE = 2
    PARAGRAPH = 3
    CHAPTER = 4
    END = 5
    """The end of the text: no pause."""


class Edit(NamedTuple):
    """Where a segment is spoken in other words than it is written."""

    start: int
    """First character of what is written, from the segment's own."""
    chars: int
    """How long that is."""
    spoken_chars: int
    """How long what is spoken for it is."""


class Segment(NamedTuple):
    """A piece of text synthesised at once."""

    start: int
    """First character (code point) of the text."""
    end: int
    """One past the last character."""
    byte_start: int
    """The same places in the UTF-8 text file."""
    byte_end: int
    language: str
    """BCP 47 tag."""
    after: Break
    chapter: int = 0
    spoken: str | None = None
    """What the engine is given; None = the text itself. Empty = nothing to say (white space)."""
    edits: tuple[Edit, ...] = ()
    """Where `spoken` is not the text, in order."""


class Plan(NamedTuple):
    """All segments of a text, in its order."""

    chars: int
    language: str
    """The language of most of it."""
    segments: tuple[Segment, ...]
    chapters: tuple[str, ...] = ()
    """Titles; empty where the text has none."""


class PlanDamaged(ValueError):
    """The bytes are not a plan of this format."""


def pack_plan(plan: Plan) -> bytes:
    """Return the plan as bytes."""
    rows = [[*segment[:5], int(segment.after), *segment[6:]] for segment in plan.segments]
    packed: bytes = msgpack.packb([PLAN_FORMAT, plan.chars, plan.language, rows, list(plan.chapters)])
    return packed


def unpack_plan(data: bytes) -> Plan:
    """Return the plan in `data`.

    Raises:
        PlanDamaged: If the bytes are no plan, or the segments do not cover the text.
    """
    try:
        version, chars, language, rows, chapters = msgpack.unpackb(data)
        if version != PLAN_FORMAT:
            raise PlanDamaged(f"format {version}, this version reads {PLAN_FORMAT}")
        segments = tuple(map(_segment, rows))
        plan = Plan(chars, language, segments, tuple(chapters))
        is_whole = covers(plan)
    except PlanDamaged:
        raise
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise PlanDamaged(str(error)) from error
    if not is_whole:
        raise PlanDamaged("the segments do not cover the text")
    return plan


def read_plan(folder: Path) -> Plan:
    """Return the plan in a job's folder.

    Raises:
        StorageFailed: If it cannot be read, or is damaged.
    """
    try:
        return unpack_plan((folder / "plan").read_bytes())
    except (OSError, PlanDamaged) as error:
        raise StorageFailed(f"the plan of the job cannot be read: {error}; hand the text in again") from error


def _segment(row: list[Any]) -> Segment:
    """A row of a plan; those that an earlier version wrote have no edits."""
    edits = (Edit._make(map(int, edit)) for edit in row[8]) if len(row) > 8 else ()
    return Segment._make([*row[:5], Break(row[5]), *row[6:8], tuple(edits), *row[9:]])


def covers(plan: Plan) -> bool:
    """Return whether every character of the text belongs to exactly one segment, in order."""
    place = 0
    for segment in plan.segments:
        if segment.start != place or segment.end <= place:
            return False
        place = segment.end
    return place == plan.chars
