"""What the engine is given where it is not the text itself: the user's lexicon first, then numbers in words.

A step after the plan, whose offsets stay on the original. Only numbers in words need the scribe, because their
library takes a fifth of a second to import; the lexicon alone costs the daemon nothing. Any thread.
"""

from voiced.segments import Plan
from voiced.text.lexicon import Lexicon, Piece
from voiced.text.plan import is_silent


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
        form = spoken_form(
            text[segment.start : segment.end], segment.language, lexicon, spells_numbers=spells_numbers
        )
        segments.append(segment if form is None else segment._replace(spoken=form))
    return plan._replace(segments=tuple(segments))


def spoken_form(text: str, language: str, lexicon: Lexicon, *, spells_numbers: bool = False) -> str | None:
    """Return how a piece of text is spoken: None = as it stands, empty = there is nothing to say."""
    pieces = lexicon.pieces(text, language)
    if spells_numbers:
        from voiced.text.numbers import spell

        pieces = [
            piece if piece.is_fixed else Piece(spell(piece.text, language), False)
            for piece in pieces or [Piece(text, False)]
        ]
    if pieces is None:
        return None
    form = "".join(piece.text for piece in pieces)
    if form == text:
        return None
    return "" if is_silent(form) else form
