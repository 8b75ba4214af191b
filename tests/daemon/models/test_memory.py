"""Whether a model fits, who goes for it, and what the machine has measured."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.models.catalogue import CATALOGUE
from voiced.models.memory import GIB, Admission, Holder, Kind, Room, Sizes, Verdict, admit, kind_of
from voiced.models.spec import weights_bytes

QWEN = CATALOGUE["qwen3-tts:0.6b"]
KIND = kind_of(QWEN, "cuda:1", "bf16", "none")


def holder(
    model: str, size_gib: float, *, idle: bool = True, pinned: bool = False, since: float = 0.0
) -> Holder:
    return Holder(model, int(size_gib * GIB), idle, pinned, since)


def room(available: int, total: int) -> Room:
    return Room(available, total, GIB if total else 0)


def test_what_fits_is_let_in() -> None:
    assert admit(2 * GIB, room(8 * GIB, 16 * GIB), []) == Admission(Verdict.FITS)


def test_a_device_that_tells_nothing_refuses_nothing() -> None:
    assert admit(200 * GIB, room(0, 0), []).verdict is Verdict.FITS


def test_idle_models_go_first_the_longest_unused_before_others_and_pinned_ones_last() -> None:
    holders = [
        holder("new", 2, since=30),
        holder("pinned", 2, pinned=True, since=1),
        holder("old", 2, since=10),
        holder("busy", 8, idle=False, since=0),
    ]
    assert admit(3 * GIB, room(2 * GIB, 20 * GIB), holders).evict == ("old",)
    assert admit(5 * GIB, room(2 * GIB, 20 * GIB), holders).evict == ("old", "new")
    assert admit(7 * GIB, room(2 * GIB, 20 * GIB), holders).evict == ("old", "new", "pinned")
    assert admit(9 * GIB, room(2 * GIB, 20 * GIB), holders).verdict is Verdict.WAIT


@pytest.mark.parametrize(
    ("need_gib", "words"), [(19.5, "which has 20.0 GiB: take a smaller"), (9, "close programs")]
)
def test_what_never_fits_is_refused_with_the_reason(need_gib: float, words: str) -> None:
    admission = admit(int(need_gib * GIB), room(2 * GIB, 20 * GIB), [], "cuda:0")
    assert admission.verdict is Verdict.REFUSE
    assert words in admission.reason
    assert "cuda:0" in admission.reason


@given(
    need=st.integers(0, 64 * GIB),
    available=st.integers(0, 32 * GIB),
    sizes=st.lists(st.tuples(st.integers(0, 8 * GIB), st.booleans(), st.booleans()), max_size=6),
)
def test_never_more_goes_than_is_needed_and_it_is_enough(
    need: int, available: int, sizes: list[tuple[int, bool, bool]]
) -> None:
    total = 64 * GIB
    holders = [Holder(str(n), size, idle, pinned, float(n)) for n, (size, idle, pinned) in enumerate(sizes)]
    admission = admit(need, room(available, total), holders)
    by_name = {one.model: one for one in holders}
    assert all(by_name[name].is_idle for name in admission.evict)
    left = available - GIB
    freed = [by_name[name].size_bytes for name in admission.evict]
    if admission.verdict is Verdict.EVICT:
        assert left + sum(freed) >= need > left + sum(freed[:-1])
    elif admission.verdict is Verdict.FITS:
        assert need <= left
    else:
        assert need > left + sum(one.size_bytes for one in holders if one.is_idle)


def test_the_catalogue_is_believed_until_something_was_measured() -> None:
    sizes = Sizes()
    assert not sizes.is_measured(KIND)
    assert sizes.estimate(QWEN, KIND) == QWEN.needs_bytes
    sizes.learn(KIND, 7 * GIB)
    assert sizes.is_measured(KIND)
    assert sizes.estimate(QWEN, KIND) == pytest.approx(7 * GIB * 1.05)
    assert sizes.estimate(QWEN, KIND._replace(device="cpu")) == QWEN.needs_bytes


def test_one_bad_day_does_not_count_for_ever() -> None:
    sizes = Sizes()
    for size in [60 * GIB] + [4 * GIB] * 20:
        sizes.learn(KIND, size)
    assert sizes.estimate(QWEN, KIND) == pytest.approx(4 * GIB * 1.05)


def test_nothing_told_is_nothing_learnt() -> None:
    sizes = Sizes()
    sizes.learn(KIND, 0)
    assert not sizes.is_measured(KIND)


def test_what_was_measured_is_kept() -> None:
    sizes = Sizes()
    sizes.learn(KIND, 5 * GIB)
    assert Sizes(sizes.dump()).estimate(QWEN, KIND) == sizes.estimate(QWEN, KIND)


@pytest.mark.parametrize("kept", ["", "{", "[[1]]", json.dumps([["a", "b", "c", "d", ["x"]]]), "[3]"])
def test_what_cannot_be_read_is_measured_again(kept: str) -> None:
    assert not Sizes(kept).is_measured(Kind("a", "b", "c", "d"))


def test_weights_by_precision() -> None:
    assert weights_bytes(QWEN, "fp32", "none") == 2 * QWEN.weights_bytes
    assert weights_bytes(QWEN, "bf16", "int8") == QWEN.weights_bytes // 2
