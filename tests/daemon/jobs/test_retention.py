"""How far back the history goes, whatever the clock says."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.jobs.retention import STEP, look_back

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
DAYS = 90
YEARS = timedelta(days=3653)


def before(kept: str | None, now: datetime) -> datetime:
    return datetime.fromisoformat(look_back(kept, now, DAYS).before)


def test_the_first_look_forgets_nothing() -> None:
    assert look_back(None, NOW, DAYS) == (NOW.isoformat(timespec="milliseconds"), "")
    assert look_back("nonsense", NOW, DAYS).before == ""
    assert look_back("2026-11-20T10:00:00", NOW, DAYS).before == ""  # of which zone?


def test_day_by_day_it_is_as_the_clock_says() -> None:
    kept = look_back(None, NOW, DAYS).believed
    for day in range(1, 10):
        now = NOW + timedelta(days=day)
        assert before(kept, now) == now - timedelta(days=DAYS)
        kept = look_back(kept, now, DAYS).believed


def test_ten_years_ahead_and_back_cost_nothing() -> None:
    kept = look_back(None, NOW, DAYS).believed
    for _ in range(5):  # so many starts under the wrong clock
        assert before(kept, NOW + YEARS) <= NOW + 5 * STEP - timedelta(days=DAYS)
        kept = look_back(kept, NOW + YEARS, DAYS).believed
    assert before(kept, NOW) == NOW - timedelta(days=DAYS)


@pytest.mark.parametrize("wrong", [datetime(1970, 1, 1, tzinfo=UTC), NOW + YEARS])
def test_a_clock_that_is_wrong_at_each_start_does_not_hold_the_history_for_ever(wrong: datetime) -> None:
    kept, now = look_back(None, NOW, DAYS).believed, NOW
    for day in range(100):
        now = NOW + timedelta(days=day)
        for clock in (wrong, now):
            kept = look_back(kept, clock, DAYS).believed
    assert abs(before(kept, now) - (now - timedelta(days=DAYS))) <= 2 * STEP


def test_a_computer_that_was_off_for_long_catches_up() -> None:
    kept = look_back(None, NOW, DAYS).believed
    for day in range(101):
        now = NOW + timedelta(days=100 + day)
        kept = look_back(kept, now, DAYS).believed
    assert before(kept, now) == now - timedelta(days=DAYS)


@given(st.lists(st.datetimes(timezones=st.just(UTC)), max_size=20), st.integers(0, 36500))
def test_it_never_goes_further_than_the_clock_nor_than_its_steps(clocks: list[datetime], days: int) -> None:
    kept: str | None = None
    for now in clocks:
        look = look_back(kept, now, days)
        if look.before:
            assert kept is not None
            limit = datetime.fromisoformat(look.before) + timedelta(days=days)
            assert limit <= now
            assert limit <= datetime.fromisoformat(kept) + STEP
        kept = look.believed
