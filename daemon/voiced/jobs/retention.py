"""How old the history is, by a clock that may be wrong. Pure.

A clock that jumps years ahead for an hour (a dead battery, a typing error, a virtual machine that was taken up again)
must not cost the history. So the clock is believed only a little further at each look than at the look before; what
was really slept or switched off for long is caught up in a few looks. And history goes from its old end: what ended
under a clock that was behind is no older than what came before it (`database.forget_jobs`).
"""

from datetime import datetime, timedelta
from typing import NamedTuple

STEP = timedelta(days=2)
"""A look is taken at each start and once a day: twice as far as the days go by."""


class Look(NamedTuple):
    """What one look at the history says."""

    believed: str
    """How late it is believed to be, to be kept for the next look."""
    before: str
    """Jobs last touched before this stamp may go; empty = none, it is the first look."""


def look_back(kept: str | None, now: datetime, days: int) -> Look:
    """Return how far back the history goes.

    Args:
        kept: `believed` of the look before; None = this is the first.
        now: What the clock says, aware.
        days: How long finished jobs are remembered.
    """
    last = _read(kept)
    if last is None:
        return Look(_stamp(now), "")
    # Back only by steps too, and by smaller ones: after a clock that begins in 1970 at each start and is right soon
    # after, nothing would ever be old.
    try:
        believed = max(last - STEP / 2, min(now, last + STEP))
        return Look(_stamp(believed), _stamp(min(now, believed) - timedelta(days=days)))
    except OverflowError:  # beyond the calendar: begin anew
        return Look(_stamp(now), "")


def _read(kept: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(kept or "")
    except ValueError:
        return None
    return found if found.tzinfo else None


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
