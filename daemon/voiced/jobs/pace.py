"""How fast segments are spoken: learnt from this machine, per model, device and language.

"Learnt" always means from at least 20 segments; before that the catalogue's bound holds. Kept in the settings, shown,
and forgotten on request.
"""

import json
from typing import NamedTuple

LEARNT_SEGMENTS = 20
_WINDOW_SEGMENTS = 400
DEADLINE_FACTOR = 5.0
QUICK_S = 0.1
"""Segments that take no longer may wait at their worker: whoever comes meanwhile hardly notices."""


class Key(NamedTuple):
    """What a pace belongs to."""

    model: str
    device: str
    language: str


class Tally(NamedTuple):
    """What was measured."""

    segments: float = 0.0
    chars: float = 0.0
    seconds: float = 0.0


class Pace:
    """Seconds of work for a character."""

    def __init__(self, kept: str = "") -> None:
        self._tallies: dict[Key, Tally] = _load(kept)

    def learn(self, key: Key, segments: int, chars: int, seconds: float) -> None:
        """Take in that so many segments of so many characters took so long; old ones fade."""
        old = self._tallies.get(key, Tally())
        fade = min(1.0, _WINDOW_SEGMENTS / (old.segments + segments))
        self._tallies[key] = Tally(
            (old.segments + segments) * fade, (old.chars + chars) * fade, (old.seconds + seconds) * fade
        )

    def seconds_per_char(self, key: Key) -> float | None:
        """Return the learnt pace; None before 20 segments."""
        tally = self._tallies.get(key)
        if tally is None or tally.segments < LEARNT_SEGMENTS or tally.chars <= 0:
            return None
        return tally.seconds / tally.chars

    def deadline_s(self, key: Key, chars: int, *, least_s: float, slowest_s_per_char: float) -> float:
        """Return how long a segment may take, counted from the start of its work.

        Args:
            key: What speaks.
            chars: Of the segment.
            least_s: Allowed whatever the length.
            slowest_s_per_char: The catalogue's bound while nothing is learnt.
        """
        learnt = self.seconds_per_char(key)
        return max(least_s, chars * (slowest_s_per_char if learnt is None else DEADLINE_FACTOR * learnt))

    def expected_s(self, key: Key, chars: int, slowest_s_per_char: float) -> float:
        """Return how long a segment will take.

        Args:
            key: What speaks.
            chars: Of the segment.
            slowest_s_per_char: The catalogue's bound while nothing is learnt.
        """
        learnt = self.seconds_per_char(key)
        return chars * (slowest_s_per_char if learnt is None else learnt)

    def is_quick(self, key: Key, chars: int, place: int = 1) -> bool:
        """Return whether a segment is known to take so little time that the way to its worker counts.

        Args:
            key: What speaks.
            chars: Of the segment.
            place: In the worker's queue; 1 = the first. So many such segments must be quick together.
        """
        learnt = self.seconds_per_char(key)
        return learnt is not None and chars * learnt * place <= QUICK_S

    def dump(self) -> str:
        """Return everything learnt, for the settings."""
        return json.dumps([[*key, *tally] for key, tally in self._tallies.items()])


def _load(kept: str) -> dict[Key, Tally]:
    try:
        return {Key(*row[:3]): Tally(*map(float, row[3:6])) for row in json.loads(kept or "[]")}
    except (ValueError, TypeError):
        return {}  # learnt again soon enough
