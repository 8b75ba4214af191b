"""What a segment sounds like, however it comes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.daemon.audio.heard import heard
from voiced.audio.hearing import Hearing, peak_of

RATE = 16_000


def in_pieces(samples: NDArray[np.float32], cuts: list[int]) -> Hearing:
    hearing = Hearing(RATE)
    edges = [0, *sorted(min(cut, len(samples)) for cut in cuts), len(samples)]
    for begin, end in itertools.pairwise(edges):
        piece = samples[begin:end]
        hearing.hear(piece, peak_of(piece))
    return hearing


@given(
    seed=st.integers(0, 1000),
    length=st.integers(0, 4000),
    cuts=st.lists(st.integers(0, 4000), max_size=8),
    gain=st.sampled_from([0.0, 0.3, 1.5]),
)
def test_cuts_change_nothing(seed: int, length: int, cuts: list[int], gain: float) -> None:
    samples = (gain * np.random.default_rng(seed).uniform(-1, 1, length)).astype(np.float32).clip(-1, 1)
    whole, pieces = heard(samples, RATE), in_pieces(samples, cuts)
    assert (pieces.peak, pieces.clipped, pieces.seconds) == (whole.peak, whole.clipped, length / RATE)
    assert len(pieces.levels_db()) == length // 320
    assert np.allclose(pieces.levels_db(), whole.levels_db(), atol=1e-3)


def test_levels_are_of_the_loudest() -> None:
    samples = np.zeros(320 * 4 + 100, np.float32)
    samples[:320], samples[320:640], samples[640:960] = 0.5, 0.05, 1e-6
    assert heard(samples, RATE).levels_db().tolist() == pytest.approx([0, -20, -60, -60], abs=1e-3)
    assert heard(np.zeros(700, np.float32), RATE).levels_db().tolist() == [0, 0]


def test_full_scale_is_counted_on_both_sides() -> None:
    hearing = heard(np.array([1, -1, 0.9989, 0.9991, 0], np.float32), RATE)
    assert hearing.clipped == 3
    assert hearing.clipped_fraction == pytest.approx(0.6)
    assert Hearing(RATE).clipped_fraction == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_that_is_no_number_spoils_all(bad: float) -> None:
    hearing = in_pieces(np.array([0.1, bad, 0.1, 0.2], np.float32), [1, 2, 3])
    assert math.isnan(hearing.peak)


def test_nothing_is_kept_of_a_chunk() -> None:
    """A view of its end would hold the whole of it."""
    hearing = Hearing(RATE)
    chunk = np.zeros(100_010, np.float32)
    hearing.hear(chunk, 0.0)
    assert hearing._rest.base is None
