"""What is learnt of the speed, and the deadlines that follow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.jobs.pace import DEADLINE_FACTOR, LEARNT_SEGMENTS, Key, Pace

KEY = Key("tone", "cpu", "en")


def deadline(pace: Pace, chars: int = 1000) -> float:
    return pace.deadline_s(KEY, chars, least_s=30.0, slowest_s_per_char=0.1)


def test_nothing_is_learnt_from_fewer_than_twenty_segments() -> None:
    pace = Pace()
    pace.learn(KEY, LEARNT_SEGMENTS - 1, 1900, 19.0)
    assert pace.seconds_per_char(KEY) is None
    assert deadline(pace) == 100.0
    pace.learn(KEY, 1, 100, 1.0)
    assert pace.seconds_per_char(KEY) == pytest.approx(0.01)
    assert deadline(pace) == pytest.approx(DEADLINE_FACTOR * 10.0)
    assert pace.seconds_per_char(KEY._replace(language="de")) is None


def test_a_short_segment_has_the_least_deadline() -> None:
    assert deadline(Pace(), chars=3) == 30.0


def test_old_segments_fade() -> None:
    pace = Pace()
    pace.learn(KEY, 400, 40_000, 400.0)
    for _ in range(20):
        pace.learn(KEY, 200, 20_000, 20.0)
    assert pace.seconds_per_char(KEY) == pytest.approx(0.001, rel=0.05)


def test_what_is_learnt_comes_back() -> None:
    pace = Pace()
    pace.learn(KEY, 40, 4000, 4.0)
    again = Pace(pace.dump())
    assert again.seconds_per_char(KEY) == pace.seconds_per_char(KEY)
    assert again.dump() == pace.dump()


@pytest.mark.parametrize("kept", ["", "no json", "{}", "[1]", '[["a"]]', '[["a","b","c","x",1,2]]', "null"])
def test_what_cannot_be_read_is_learnt_again(kept: str) -> None:
    assert Pace(kept).seconds_per_char(KEY) is None


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 5000), st.floats(0, 100)), max_size=20))
def test_a_deadline_is_never_below_the_least(rows: list[tuple[int, int, float]]) -> None:
    pace = Pace()
    for row in rows:
        pace.learn(KEY, *row)
    assert deadline(pace) >= 30.0


def test_quick_segments_wait_at_their_worker_only_while_all_of_them_are_quick() -> None:
    pace = Pace()
    assert not pace.is_quick(KEY, 1)
    pace.learn(KEY, LEARNT_SEGMENTS, 1000, 1.0)
    assert pace.is_quick(KEY, 40, place=2)
    assert not pace.is_quick(KEY, 40, place=3)
