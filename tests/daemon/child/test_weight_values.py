"""Weights looked at as bits: the same verdict as torch's own."""

from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import need
from voiced.child.weight_values import FLOATS, OTHERS, Refused, WeightValues

TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "C64": "complex64",
}


def is_good(kind: str, *pieces: bytes) -> bool:
    values = WeightValues("w", kind)
    try:
        for piece in pieces:
            values.look(piece)
    except Refused:
        return False
    return True


def test_every_kind_is_known_to_the_test() -> None:
    assert FLOATS.keys() == TORCH_NAMES.keys()
    assert not FLOATS.keys() & OTHERS


@pytest.mark.parametrize("kind", FLOATS)
@given(data=st.data())
def test_as_torch_sees_it(kind: str, data: st.DataObject) -> None:
    need("engines", find_spec("torch") is not None, "torch is not installed: pip install 'voiced[models]'")
    import torch

    dtype = getattr(torch, TORCH_NAMES[kind])
    bits = data.draw(st.binary(min_size=dtype.itemsize, max_size=6 * dtype.itemsize))
    bits = bits[: len(bits) // dtype.itemsize * dtype.itemsize]
    values = torch.frombuffer(bytearray(bits), dtype=dtype)
    wide = values if dtype.is_complex else values.double()
    is_mask = not dtype.is_complex and bool(((wide == 0) | (wide == -torch.inf)).all())
    expected = bool(torch.isfinite(wide).all()) or is_mask
    assert is_good(kind, bits) == expected
    assert (
        is_good(kind, *(bits[i : i + dtype.itemsize] for i in range(0, len(bits), dtype.itemsize)))
        == expected
    )


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_whole_numbers_are_numbers(kind: str) -> None:
    assert is_good(kind, b"\xff" * 16)


@pytest.mark.parametrize("kind", ["F99", "F4", "", "f32"])
def test_a_kind_that_no_engine_reads(kind: str) -> None:
    with pytest.raises(Refused, match="no engine here reads"):
        WeightValues("w", kind)


def test_a_mask_begun_as_one_and_ended_otherwise() -> None:
    minus_infinity, one = b"\0\0\x80\xff", b"\0\0\x80\x3f"
    assert is_good("F32", minus_infinity, bytes(8), minus_infinity)
    assert not is_good("F32", minus_infinity, bytes(4), one)
    assert not is_good("F32", one, minus_infinity)
