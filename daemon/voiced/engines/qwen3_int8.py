"""The talker of Qwen3-TTS in 8 bits on a CPU: weights per row, activations as they come.

A product of one row reads every weight once, so half of the bytes is nearly half of the time; and torch's kernel for
it reaches the memory's speed where that for bf16 does not. The rounding is computed once and kept.

Imported by the engine of Qwen3-TTS; nobody else.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voiced.engines.kept import Tensors, kept, weights_key
from voiced.engines.weights import weight_files

_CODE = "1"
"""Grows when the rounding changes."""
_LARGEST = 127
_WEIGHT, _SCALE = ".int8", ".scale"


class Int8Linear(nn.Module):
    """A linear layer with rounded weights.

    Args:
        weight: int8, shape [out, in].
        scale: float32, shape [out].
        bias: Shape [out]; None = there is none.
    """

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        zeros = torch.zeros(len(scale), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch means to take such tensors away some day; what replaces them reads memory at a third of the speed.
            warnings.simplefilter("ignore")
            quantized = torch._make_per_channel_quantized_tensor(weight, scale.double(), zeros, 0)
        self._packed = torch.ops.quantized.linear_prepack(quantized, None if bias is None else bias.float())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the layer's output in the type of its input."""
        # 7 bits of the activations: with 8 the sums overflow on processors without VNNI.
        made: torch.Tensor = torch.ops.quantized.linear_dynamic(inputs.float(), self._packed, True)
        return made.to(inputs.dtype)


def quantize(talker: nn.Module, folder: Path, cache: Path | None, model: str) -> str:
    """Put 8-bit layers in the place of a talker's linear layers, and tell where they came from.

    Args:
        talker: Upstream's, with its code predictor.
        folder: The model's files: what is kept belongs to them.
        cache: Where it is kept; None = nowhere.
        model: Its id, for people.
    """
    layers = {name: module for name, module in talker.named_modules() if isinstance(module, nn.Linear)}
    found = kept(cache, _key(folder), model, lambda: _rounded(layers))
    for name, layer in layers.items():
        parent, _, child = name.rpartition(".")
        weight, scale = found.tensors[name + _WEIGHT], found.tensors[name + _SCALE]
        setattr(talker.get_submodule(parent), child, Int8Linear(weight, scale, layer.bias))
    return found.what


def _key(folder: Path) -> str:
    stamps: dict[str, str] = {"what": "qwen3-tts int8", "code": _CODE}
    for file in weight_files(folder):
        facts = file.stat()
        stamps[file.name] = f"{facts.st_size} {facts.st_mtime_ns}"
    return weights_key(stamps)


def _rounded(layers: dict[str, Any]) -> Tensors:
    made: Tensors = {}
    for name, layer in layers.items():
        weight = layer.weight.float()
        scale = (weight.abs().amax(1) / _LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
        made[name + _WEIGHT] = (weight / scale[:, None]).round().to(torch.int8)
        made[name + _SCALE] = scale
    return made
