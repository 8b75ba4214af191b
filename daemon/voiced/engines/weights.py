"""Weights into a torch module the quick way: built without memory, mapped from the file, put in place.

Building a module normally fills it with random numbers first, which costs a 0.6B model seconds; mapped tensors cost
nothing until they are used. Imported by engines with torch; nobody else.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import parametrize

from voiced.engines.torch_setup import memory_named
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged

_SHOWN = 3


def read_config(file: Path) -> dict[str, Any]:
    """Return the map that a JSON file of a model holds.

    Raises:
        ModelDamaged: If it cannot be read, or holds something else.
    """
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{file.name} cannot be read ({error}): import or pull the model again") from error
    if not isinstance(found, dict):
        raise ModelDamaged(f"{file.name} holds no configuration: import or pull the model again")
    return found


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model: those that its index names, else all that lie in the folder.

    Raises:
        ModelDamaged: If there is none, or the index is no index.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = read_config(index).get("weight_map")
        if not isinstance(named, dict) or not all(_is_plain(name) for name in named.values()):
            raise ModelDamaged(f"{index.name} is no index of weights: import or pull the model again")
        return [folder / name for name in sorted(set(named.values()))]
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise ModelDamaged("the model has no weights (*.safetensors): import or pull it again")
    return found


def _is_plain(name: object) -> bool:
    """An index may name files of its own folder, nothing else."""
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name


def tensors_of(files: Sequence[Path], device: str = "cpu") -> dict[str, torch.Tensor]:
    """Return the tensors of safetensors files, mapped where the device is the CPU.

    Args:
        files: All of them; a model may be cut into several.
        device: Where they go.

    Raises:
        ModelDamaged: If a file cannot be read: it is not there, cut off, or no safetensors file.
        DeviceOutOfMemory: If the device has no room for them.
    """
    found: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            with memory_named(f"the weights in {file.name}"):
                found |= load_file(file, device=device)
        except (OSError, SafetensorError) as error:
            raise ModelDamaged(
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
        raise EngineLoadFailed(
            f"the weights do not fit the model: {first[0].strip()}; pull or import it again"
        ) from error
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


def refuse_other_depth(names: Iterable[str], prefix: str, layers: int) -> None:
    """Look that the weights have as many layers as the configuration says, before a module is built after it.

    Args:
        names: Of the weights.
        prefix: What stands before a layer's number: `model.layers.`.
        layers: What the configuration says.

    Raises:
        EngineLoadFailed: If they differ: a damaged number would build layers for hours.
    """
    numbers = {name[len(prefix) :].partition(".")[0] for name in names if name.startswith(prefix)}
    if len(numbers) != layers:
        raise EngineLoadFailed(
            f"the configuration has {layers} layers and the weights have {len(numbers)}: "
            "is it the right model? Pull or import it again"
        )


def fold_weight_norm(module: nn.Module) -> None:
    """Compute normalised weights once instead of in every call; the results are the same to the bit."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
