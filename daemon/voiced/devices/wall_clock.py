"""When somebody sets the clock of the computer: by how much, beside the time that passed.

By hand, by NTP after a start with a dead battery, by a virtual machine's host. Daylight saving does not count: the
time of day is UTC everywhere.
"""

import time
from collections.abc import Callable

JUMP_S = 1.0
"""Less is the slow correction of a clock that runs too fast or too slow."""


def steady_s() -> float:
    """Return seconds that nobody sets and that count while the computer is suspended, where the system has such."""
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_UPTIME_RAW"):
        # macOS: CLOCK_MONOTONIC goes on in a sleep, `time.monotonic` does not.
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


class WallClock:
    """Notices that the clock was set.

    Args:
        wall: Seconds of the epoch.
        steady: Seconds that nobody sets.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = steady_s) -> None:
        self._wall = wall
        self._steady = steady
        self._offset_s = wall() - steady()

    def jumped_s(self) -> float:
        """Return by how much the clock was set ahead since the last call; 0 = it was not, negative = set back."""
        offset_s = self._wall() - self._steady()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        return jump_s if abs(jump_s) >= JUMP_S else 0.0
