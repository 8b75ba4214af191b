"""What every engine with torch shares: precision, seeds, and memory that ran out by its right name."""

import pytest
import torch

from voiced.engines.base import LoadSettings
from voiced.engines.torch_setup import dtype_of, memory_named, prepare, seed_all
from voiced_ipc.errors import DeviceOutOfMemory


def test_prepare() -> None:
    before = torch.get_num_threads()
    try:
        assert prepare(LoadSettings(threads=1)) == torch.device("cpu")
        assert torch.get_num_threads() == 1
        assert not torch.is_grad_enabled()
        prepare(LoadSettings(threads=0))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_precision(precision: str, dtype: torch.dtype) -> None:
    assert dtype_of(LoadSettings(precision=precision)) == dtype


def test_seed() -> None:
    seed_all(3)
    drawn = torch.rand(4)
    seed_all(3)
    assert torch.equal(torch.rand(4), drawn)


def test_more_memory_than_there_is() -> None:
    with (
        pytest.raises(DeviceOutOfMemory, match="not enough memory for a test: close programs"),
        memory_named("a test"),
    ):
        torch.zeros(1 << 58)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_memory_by_its_right_name(error: Exception) -> None:
    with pytest.raises(DeviceOutOfMemory) as caught, memory_named("the model"):
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"), memory_named("the model"):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
