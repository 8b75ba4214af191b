"""What the engine is given where it is not the text itself: the user's lexicon first, then numbers in words.

A step after the plan, whose offsets stay on the original. Only numbers in words need the scribe, because their
library takes a fifth of a second to import; the lexicon alone costs the daemon nothing. Any thread.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from voiced.segments import Edit, Plan
from voiced.text.lexicon import Lexicon, Piece
from voiced.text.plan import is_silent


class SpokenForm(NamedTuple):
    """What is spoken for a piece of text."""

    text: str
    """Empty = there is nothing to say."""
    edits: tuple[Edit, ...]
    """Where that is not what was written, in order."""


def spoken_forms(plan: Plan, text: str, lexicon: Lexicon, *, spells_numbers: bool = False) -> Plan:
    """Return a plan whose segments know how they are spoken.

    Args:
        plan: Of `text`, as `make_plan` made it.
        text: The whole text.
        lexicon: The user's words.
        spells_numbers: The engine speaks letters only: numbers and abbreviations become words.
    """
    if not (lexicon.entries or spells_numbers):
        return plan
    segments = []
    for segment in plan.segments:
        written = text[segment.start : segment.end]
        form = spoken_form(written, segment.language, lexicon, spells_numbers=spells_numbers)
        segments.append(segment if form is None else segment._replace(spoken=form.text, edits=form.edits))
    return plan._replace(segments=tuple(segments))


def spoken_form(
    text: str, language: str, lexicon: Lexicon, *, spells_numbers: bool = False
) -> SpokenForm | None:
    """Return how a piece of text is spoken; None = as it stands."""
    pieces = lexicon.pieces(text, language)
    if spells_numbers:
        from voiced.text.numbers import spell

        pieces = [
            piece if piece.is_fixed else piece._replace(text=spell(piece.text, language))
            for piece in pieces or [Piece(text, False, len(text))]
        ]
    if pieces is None:
        return None
    form = "".join(piece.text for piece in pieces)
    if form == text:
        return None
    return SpokenForm("", ()) if is_silent(form) else SpokenForm(form, tuple(_edits(text, pieces)))


def _edits(text: str, pieces: Sequence[Piece]) -> Iterator[Edit]:
    place = 0
    for piece in pieces:
        if piece.text != text[place : place + piece.chars]:
            yield Edit(place, piece.chars, len(piece.text))
        place += piece.chars
