"""That the clock was set is noticed, and by how much."""

import time

import pytest

from voiced.devices.wall_clock import JUMP_S, WallClock, steady_s


class Times:
    """Both clocks in the hands of the test."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s = 1.7e9, 100.0
        self.clock = WallClock(lambda: self.wall_s, lambda: self.steady_s)

    def after(self, seconds: float, jump_s: float = 0.0) -> float:
        self.wall_s += seconds + jump_s
        self.steady_s += seconds
        return self.clock.jumped_s()


@pytest.mark.parametrize("jump_s", [-1e8, -3600.0, -2.0, 2.0, 3600.0, 1e8])
def test_a_jump_is_told_once(jump_s: float) -> None:
    times = Times()
    assert times.after(5.0) == 0.0
    assert times.after(5.0, jump_s) == pytest.approx(jump_s)
    assert times.after(5.0) == 0.0


def test_a_suspended_night_and_a_slow_correction_are_no_jumps() -> None:
    times = Times()
    assert times.after(8 * 3600.0) == 0.0
    for _ in range(100):
        assert times.after(5.0, 0.9 * JUMP_S) == 0.0


def test_the_clocks_of_this_computer_agree() -> None:
    before_s = steady_s()
    assert WallClock().jumped_s() == 0.0
    assert 0.0 <= steady_s() - before_s < 60.0
    assert steady_s() >= time.monotonic() - 1.0  # a suspend counts in the one
