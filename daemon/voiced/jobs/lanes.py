"""Whether a segment that is being spoken makes way for somebody in a higher lane: pure.

The higher lane takes a worker at the next segment. Only where that is far off, and the engine can stop inside a
segment, the segment is cancelled and spoken again later; twice at most, so that a book goes on under any load.
"""

from typing import NamedTuple

from voiced_ipc.messages import Lane

PATIENCE_S = 2.0
"""Expected rest of a segment that the higher lane still waits for."""
MOST_TIMES = 2
"""How often one segment makes way."""
_ORDER = list(Lane)


class AtWork(NamedTuple):
    """A batch that a worker speaks."""

    lane: Lane
    rest_s: float
    """Expected, from its length and what was learnt of the pace; before that, from the catalogue's bound."""
    can_cancel: bool
    made_way: int
    """How often it has already."""


def makes_way(at_work: AtWork, waiting: Lane) -> bool:
    """Return whether a batch is to be cancelled for a job of the lane `waiting`."""
    is_higher = _ORDER.index(waiting) < _ORDER.index(at_work.lane)
    may = at_work.can_cancel and at_work.made_way < MOST_TIMES
    return is_higher and may and at_work.rest_s > PATIENCE_S
