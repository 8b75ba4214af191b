"""Published files of models small enough to install in a test, and an install of them."""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import Any

from tests.support import need
from voiced.models.catalogue import find_spec
from voiced.models.importing import Step, import_folder
from voiced.models.library import Installed, Library
from voiced.models.spec import ModelSpec
from voiced.workers.environment import child_environment

VOICE = "en_US-lessac-low"
PIPER = f"piper:{VOICE}"
"""The model whose files need no torch: its installs are quick."""


def spec_of(model: str) -> ModelSpec:
    spec = find_spec(model)
    assert spec is not None
    return spec


def environment(**more: str) -> dict[str, str]:
    """Of the child that looks at files."""
    return child_environment(dict(os.environ), device="cpu", threads=2) | more


def make_piper(folder: Path, *, onnx: bytes = b"onnx" * 1000) -> Path:
    """A Piper voice as far as the library looks at it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{VOICE}.onnx").write_bytes(onnx)
    (folder / f"{VOICE}.onnx.json").write_text(json.dumps({"audio": {"sample_rate": 16000}}))
    (folder / "MODEL_CARD").write_text("a card")
    return folder


def make_kokoro(folder: Path, weights: Mapping[str, Any] | bytes | None = None) -> Path:
    """Kokoro's files: torch's own, nested as they are published."""
    need_torch()
    import torch

    (folder / "voices").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    if isinstance(weights, bytes):
        (folder / "kokoro-v1_0.pth").write_bytes(weights)
    else:
        torch.save(weights or {"bert": {"module.w": torch.arange(6.0)}}, folder / "kokoro-v1_0.pth")
    torch.save(torch.ones(5, 1, 4), folder / "voices" / "af.pt")
    return folder


def need_torch() -> None:
    """Skip where the main environment has no torch."""
    need("engines", find_module("torch") is not None, "torch is not installed: pip install 'voiced[models]'")


def install(library: Library, model: str, folder: Path, **more: str) -> tuple[Installed, list[Step]]:
    """Import a model; returns it and the steps."""
    steps = list(import_folder(library, spec_of(model), folder, environment=environment(**more)))
    installed = library.find(model)
    assert installed is not None
    return installed, steps


def leftovers(library: Library) -> list[str]:
    """What lies in the library and is no model."""
    return sorted(path.name for path in library.folder.glob(".*") if path.name != ".lock")
