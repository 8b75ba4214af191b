"""A clock that stands still while the daemon does: nobody is late who slept with it.

A computer that was suspended, a frozen or stopped daemon, one that got no processor for seconds: all its timers are
then due at once, and a healthy worker looks as if it had been silent or slow all the while. CLOCK_MONOTONIC leaves
out a suspend on Linux, but not on every system, and never a stop.
"""

import math
import time
from collections.abc import Callable

_LATE_TURNS = 2.0
"""A turn that takes more than so many times what was foretold was slept through: what is above does not count."""


class AwakeClock:
    """Seconds in which the daemon was awake; belongs to the loop.

    Whoever turns regularly says each time when the next turn is due. Between two turns the clock runs on for so long
    and as much again at most, so it is right at once after a sleep, whichever timer comes first.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ticked_at = self._awake_s = clock()
        self._most_s = math.inf

    def now(self) -> float:
        """Return the time."""
        return self._awake_s + min(self._clock() - self._ticked_at, self._most_s)

    def tick(self, next_s: float) -> None:
        """Say that the next tick comes in so many seconds."""
        self._awake_s = self.now()
        self._ticked_at, self._most_s = self._clock(), _LATE_TURNS * next_s
