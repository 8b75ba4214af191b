"""What a text takes."""

from hypothesis import given
from hypothesis import strategies as st

from voiced.devices.presets import is_safe, presets
from voiced.estimates import estimate

MB = 10**6
PRESET = next(iter(presets().values()))._replace(per_100_tokens_mb=50, max_segment_chars=400)


def test_a_text_that_fits() -> None:
    found = estimate(1000 * MB, 8000 * MB, 200, PRESET)
    assert (found.estimate_bytes, found.is_safe, found.best_chars) == (1025 * MB, True, 400)
    assert found.recommendation == "it fits"


def test_a_long_text_is_split_and_takes_no_more() -> None:
    found = estimate(1000 * MB, 8000 * MB, 500_000, PRESET)
    assert found.estimate_bytes == estimate(1000 * MB, 8000 * MB, 400, PRESET).estimate_bytes
    assert "split into segments of at most 400" in found.recommendation


def test_what_does_not_fit_says_what_would() -> None:
    found = estimate(1000 * MB, 1300 * MB, 400, PRESET)
    assert not found.is_safe
    assert f"segment_chars to {found.best_chars}" in found.recommendation
    assert is_safe(1000 * MB + 50 * MB * found.best_chars // 400, 1300 * MB)
    none = estimate(9000 * MB, 1300 * MB, 400, PRESET)
    assert (none.best_chars, "smaller model" in none.recommendation) == (0, True)


@given(model=st.integers(0, 20_000 * MB), available=st.integers(0, 64_000 * MB), chars=st.integers(0, 10**7))
def test_the_best_length_is_safe(model: int, available: int, chars: int) -> None:
    found = estimate(model, available, chars, PRESET)
    assert 0 <= found.best_chars <= PRESET.max_segment_chars
    if found.best_chars:
        assert estimate(model, available, found.best_chars, PRESET).is_safe
