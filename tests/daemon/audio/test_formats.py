"""What formats are called and can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.audio.formats import FORMATS, format_of, rate_for


def test_an_unknown_format_is_none() -> None:
    assert format_of("mp5") is None


@given(st.sampled_from(FORMATS), st.integers(4000, 200_000))
def test_a_file_has_a_rate_that_its_format_knows(name: str, rate_hz: int) -> None:
    known = format_of(name)
    assert known is not None
    chosen = rate_for(name, rate_hz)
    if not known.rates_hz or rate_hz in known.rates_hz:
        assert chosen == rate_hz
    else:
        assert chosen in known.rates_hz
        assert chosen > rate_hz or chosen == max(known.rates_hz)


@pytest.mark.parametrize(
    ("name", "rate_hz", "chosen_hz"),
    [("mp3", 23_000, 24_000), ("mp3", 96_000, 48_000), ("opus", 8000, 48_000), ("wav", 96_000, 96_000)],
)
def test_rates(name: str, rate_hz: int, chosen_hz: int) -> None:
    assert rate_for(name, rate_hz) == chosen_hz
