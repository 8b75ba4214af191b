"""Engine families and tiny models in a home, as `voiced engine install` and `voiced import` leave them."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.overlays import overlay_of
from tests.support import Home
from tests.system.recordings import voiced
from voiced.models.overlay import MANIFEST, Manifest, Overlays, here, lock_sha256


def link_overlay(home: Home, family: str) -> Path:
    """Put a family's packages, installed elsewhere, in the place where a worker looks for them; return where they are.

    Skips the test where they are not there.
    """
    source = overlay_of(family)
    target = home.paths.overlays / family
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name != MANIFEST:
            (target / entry.name).symlink_to(entry)
    found = here()
    manifest = Manifest(
        family=family,
        python=found.python,
        torch=found.torch,
        platform=found.platform,
        lock_sha256=lock_sha256(Overlays(home.paths.overlays).lock(family)),
        files=0,
        bytes=0,
        packages=(),
        installed="",
    )
    (target / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return source


def build(name: str, folder: Path, *arguments: str, overlay: Path) -> Path:
    """Build a checkpoint with the packages of its family; return its folder.

    Each is built once in a run, by a process that imports all of these packages, and copied from then on.
    """
    return shutil.copytree(_built(name, arguments, overlay), folder, dirs_exist_ok=True)


@functools.cache
def _built(name: str, arguments: tuple[str, ...], overlay: Path) -> Path:
    top = Path(tempfile.mkdtemp(prefix="vd-built-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    folder = top / "model"
    command = [sys.executable, "-m", f"tests.daemon.engines.checkpoints.{name}", str(folder), *arguments]
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(overlay), str(Path.cwd()))),
        "OMP_NUM_THREADS": "2",
    }
    built = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr[-2000:]
    return folder


def without_faults(folder: Path) -> Path:
    """Take the values that are no numbers out of a checkpoint's weights; return the folder.

    Some checkpoints have them so that a test of the engine can meet them; an import refuses such weights.
    """
    import torch
    from safetensors.torch import load_file, save_file

    for file in folder.rglob("*.safetensors"):
        tensors = load_file(file)
        save_file({name: tensor.nan_to_num() for name, tensor in tensors.items()}, file, {"format": "pt"})
    for file in folder.rglob("*.pth"):
        tensors = torch.load(file, weights_only=True)
        torch.save(_mended(tensors), file)
    return folder


def _mended(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {name: _mended(value) for name, value in found.items()}
    return found.nan_to_num() if hasattr(found, "nan_to_num") else found


def import_model(home: Home, model: str, folder: Path) -> None:
    """Install a model from a folder, as a person does."""
    voiced(home, "import", model, str(folder), "--accept-licence", "--json")
