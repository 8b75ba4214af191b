"""What was measured: medians with their bounds, and rows that hold them against a limit."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

RATIO = "x"


class Spread(NamedTuple):
    """Some measurements of one thing."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of at least one value."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])


class Row(NamedTuple):
    """One line of the result."""

    what: str
    against: str
    """The floor or peer; empty where the limit is absolute."""
    figure: Spread | None
    """What is held against the limit; None = it cannot be measured here, and the note says why."""
    unit: str
    """Of the figure; `x` is a ratio."""
    limit: float | None = None
    """None = shown only."""
    is_least: bool = False
    """The limit is the least that is good, else the greatest."""
    ours: Spread | None = None
    floor: Spread | None = None
    absolute_unit: str = ""
    """Of `ours` and `floor`."""
    note: str = ""

    @property
    def verdict(self) -> str:
        """`held`, `missed`, `shown` where there is nothing to hold, or `absent`."""
        if self.figure is None:
            return "absent"
        if self.limit is None:
            return "shown"
        is_good = self.figure.median >= self.limit if self.is_least else self.figure.median <= self.limit
        return "held" if is_good else "missed"


def absolute(
    what: str,
    values: Sequence[float],
    unit: str,
    limit: float | None = None,
    note: str = "",
    *,
    against: str = "",
) -> Row:
    """Return a row whose limit is no ratio."""
    return Row(what, against, Spread.of(values), unit, limit, note=note)


def absent(what: str, reason: str) -> Row:
    """Return the row of what cannot be measured on this machine."""
    return Row(what, "", None, "", note=reason)


class Peer(NamedTuple):
    """What ours is compared with: its name, and its measurements, in pairs with ours; None = it is not here."""

    name: str
    values: Sequence[float] | None


def compared(
    what: str,
    ours: Sequence[float],
    peer: Peer,
    limit: float | None,
    unit: str = "ms",
    *,
    is_least: bool = False,
    note: str = "",
) -> Row:
    """Return the row of ours against the floor: the median of the pairs' ratios.

    Args:
        what: Its name.
        ours: Measurements, in `unit`.
        peer: The floor's, each made beside ours of the same place.
        limit: Of the ratio.
        unit: Of the measurements.
        is_least: Greater is better.
        note: Shown below.
    """
    if peer.values is None:
        return Row(what, peer.name, Spread.of(ours), unit, note=note)
    ratios = [our / their for our, their in zip(ours, peer.values, strict=True)]
    return Row(
        what,
        peer.name,
        Spread.of(ratios),
        RATIO,
        limit,
        is_least,
        Spread.of(ours),
        Spread.of(peer.values),
        unit,
        note,
    )


def interleaved(rounds: int, *measures: Callable[[], float], warm_ups: int = 1) -> list[list[float]]:
    """Return `rounds` measurements of each, made in turn so that a drift of the machine meets all alike.

    Every other round goes backwards: none always follows the same neighbour.
    """
    found: list[list[float]] = [[] for _ in measures]
    for number in range(rounds + warm_ups):
        order = range(len(measures)) if number % 2 else reversed(range(len(measures)))
        for place in order:
            value = measures[place]()
            if number >= warm_ups:
                found[place].append(value)
    return found


def timed_ms(work: Callable[[], object]) -> float:
    """Return how long `work` takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def percentile(values: Iterable[float], fraction: float) -> float:
    """Return the value below which `fraction` of at least one value lies."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * fraction))]
