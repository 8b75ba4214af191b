"""What every engine with torch needs: threads, precision, seeds, and errors by their right name.

Imported by engines with torch; nobody else.
"""

import contextlib
from collections.abc import Iterator

import torch

from voiced.engines.base import LoadSettings
from voiced_ipc.errors import DeviceOutOfMemory

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def prepare(settings: LoadSettings) -> torch.device:
    """Set torch up for one model, and return its device.

    Args:
        settings: Its threads and device.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.set_grad_enabled(False)
    return torch.device(settings.device)


def dtype_of(settings: LoadSettings) -> torch.dtype:
    """Return the type of floating-point weights."""
    return _DTYPES[settings.precision]


def seed_all(seed: int) -> None:
    """Seed torch on every device: a segment speaks the same whatever was spoken before."""
    torch.manual_seed(seed)


@contextlib.contextmanager
def memory_named(what: str) -> Iterator[None]:
    """Name an out-of-memory inside.

    Args:
        what: What there was no memory for, in words.

    Raises:
        DeviceOutOfMemory: Where torch or the system ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise DeviceOutOfMemory(
            f"not enough memory for {what}: close programs, or take a smaller model"
        ) from error
    except RuntimeError as error:
        # The CPU allocator has no class of its own for it.
        if "not enough memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        raise DeviceOutOfMemory(
            f"not enough memory for {what}: close programs, or take a smaller model"
        ) from error
