"""Builders of tiny random checkpoints in the published layout of each model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TORCH_FILES = ("*.pth", "*.pt", "*.bin")


def converted(folder: Path) -> Path:
    """Put a safetensors file in the place of each torch file below `folder`, as an import does; return `folder`."""
    import torch
    from safetensors.torch import save_file

    for file in [found for pattern in TORCH_FILES for found in folder.rglob(pattern)]:
        tensors: dict[str, Any] = {}
        values: dict[str, Any] = {}
        loaded = torch.load(file, weights_only=True, map_location="cpu")
        _flatten(loaded if isinstance(loaded, Mapping) else {"tensor": loaded}, "", tensors, values)
        kept = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
        save_file(kept, file.with_suffix(".safetensors"), {"values": json.dumps(values)} if values else None)
        file.unlink()
    return folder


def _flatten(found: Mapping[str, Any], prefix: str, tensors: dict[str, Any], values: dict[str, Any]) -> None:
    import torch

    for name, value in found.items():
        if isinstance(value, torch.Tensor):
            tensors[prefix + name] = value
        elif isinstance(value, Mapping):
            _flatten(value, f"{prefix}{name}.", tensors, values)
        else:
            values[prefix + name] = value
