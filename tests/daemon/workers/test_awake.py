"""The clock that stands still while the daemon does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.workers.awake import AwakeClock


class Time:
    """Monotonic seconds in the hands of the test."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_runs_as_time_does_while_turns_come_when_they_were_foretold() -> None:
    time = Time()
    clock = AwakeClock(time)
    began = clock.now()
    for _ in range(10):
        clock.tick(1.0)
        time.now_s += 1.5
    assert clock.now() - began == pytest.approx(15.0)


def test_it_stands_while_nobody_turns_and_is_right_before_the_next_turn() -> None:
    time = Time()
    clock = AwakeClock(time)
    clock.tick(1.0)
    began = clock.now()
    time.now_s += 3600.0
    assert clock.now() - began == pytest.approx(2.0)
    clock.tick(1.0)
    assert clock.now() - began == pytest.approx(2.0)
    time.now_s += 1.0
    assert clock.now() - began == pytest.approx(3.0)


def test_it_runs_on_before_the_first_turn() -> None:
    time = Time()
    clock = AwakeClock(time)
    began = clock.now()
    time.now_s += 50.0
    assert clock.now() - began == 50.0


@given(turns=st.lists(st.tuples(st.floats(0.1, 10), st.floats(0, 1e5), st.booleans()), max_size=20))
def test_it_never_goes_back_nor_ahead_of_time(turns: list[tuple[float, float, bool]]) -> None:
    time = Time()
    clock = AwakeClock(time)
    last, last_s = clock.now(), time.now_s
    for next_s, passed_s, has_turned in turns:
        if has_turned:
            clock.tick(next_s)
        time.now_s += passed_s
        assert last <= clock.now() <= last + (time.now_s - last_s) + 1e-6
        last, last_s = clock.now(), time.now_s
