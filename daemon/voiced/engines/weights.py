"""Weights into a torch module the quick way: built without memory, mapped from the file, put in place.

Building a module normally fills it with random numbers first, which costs a 0.6B model seconds; mapped tensors cost
nothing until they are used. Imported by engines with torch; nobody else.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from voiced_ipc.errors import EngineLoadFailed

_SHOWN = 3


def tensors_of(files: Sequence[Path], device: str = "cpu") -> dict[str, torch.Tensor]:
    """Return the tensors of safetensors files, mapped where the device is the CPU.

    Args:
        files: All of them; a model may be cut into several.
        device: Where they go.

    Raises:
        EngineLoadFailed: If a file cannot be read.
    """
    found: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            found |= load_file(file, device=device)
        except (OSError, SafetensorError) as error:
            raise EngineLoadFailed(
                f"{file.name} cannot be read ({error}): import or pull the model again"
            ) from error
    return found


@contextlib.contextmanager
def built_without_memory() -> Iterator[None]:
    """Modules made inside have shapes and no values: `put` gives them theirs."""
    with torch.device("meta"):
        yield


def put(
    module: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    dtype: torch.dtype | None = None,
    may_miss: Callable[[str], bool] = lambda name: False,
    may_ignore: Callable[[str], bool] = lambda name: False,
) -> None:
    """Put tensors into a module in place of its own, and look that nothing is missing, left over or misshapen.

    Args:
        module: Its parameters and buffers.
        tensors: By name; a module keeps a mapped tensor as it is.
        dtype: Floating-point tensors are converted to it; None = as in the file.
        may_miss: Names of the module that need not come from the file, such as tied weights.
        may_ignore: Names of the file that the module need not have.

    Raises:
        EngineLoadFailed: Naming what does not fit: a model with weights left as they were made would speak noise.
    """
    if dtype is not None:
        tensors = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
    try:
        missing, unexpected = module.load_state_dict(dict(tensors), strict=False, assign=True)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[1:2] or [str(error)]
        raise EngineLoadFailed(f"the weights do not fit the model: {first[0].strip()}") from error
    _refuse("are missing from", [name for name in missing if not may_miss(name)])
    _refuse("are too many in", [name for name in unexpected if not may_ignore(name)])


def _refuse(what: str, names: Iterable[str]) -> None:
    listed = list(names)
    if listed:
        shown = ", ".join(listed[:_SHOWN]) + (" ..." if len(listed) > _SHOWN else "")
        raise EngineLoadFailed(
            f"{len(listed)} weights {what} the file ({shown}): is it the right model? Pull or import it again"
        )


def refuse_unset(module: nn.Module) -> None:
    """Look that every parameter and buffer has values.

    Raises:
        EngineLoadFailed: Naming those that have none: buffers that no file holds must be made by the engine.
    """
    tensors = [*module.named_parameters(), *module.named_buffers()]
    _refuse("are missing from", [name for name, tensor in tensors if tensor.is_meta])
