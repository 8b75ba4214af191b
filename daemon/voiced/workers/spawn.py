"""How each kind of child is started: its command, its environment, its first frame."""

import os
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from voiced.models.memory import Kind, kind_of
from voiced.models.spec import ModelSpec
from voiced.workers.environment import child_environment
from voiced.workers.link import Fields

_CHILD_FOLDER = Path(__file__).parent.parent / "child"


class Spawn(NamedTuple):
    """What `WorkerProcess.start` needs."""

    command: list[str]
    environment: dict[str, str]
    load: Fields


class RunAs(NamedTuple):
    """How a model is to run."""

    device: str = "cpu"
    """Set in the environment before anything is imported."""
    precision: str = "fp32"
    quantization: str = "none"
    is_compiled: bool = False
    threads: int = 0
    """Of its arithmetic."""

    def kind(self, spec: ModelSpec) -> Kind:
        """Return what the size of a model that runs so belongs to."""
        return kind_of(spec, self.device, self.precision, self.quantization)


class Files(NamedTuple):
    """Where a worker finds what it loads; None = it needs none."""

    folder: Path | None = None
    """The model's own."""
    overlay: Path | None = None
    """The packages of its engine family; None where the main environment has them."""
    cache: Path | None = None
    """For weights that loading had to compute."""
    revision: str = ""
    """Of the weights: a prompt belongs to it."""


def spawn_worker(spec: ModelSpec, run: RunAs, files: Files) -> Spawn:
    """Return how a worker for a model is started.

    Args:
        spec: The model.
        run: Where and how.
        files: What it loads.

    Raises:
        EngineLoadFailed: If the engine's library is not there.
    """
    environment = child_environment(dict(os.environ), device=run.device, threads=run.threads)
    load: Fields = {
        "type": "load",
        "engine": spec.engine,
        "family": spec.family,
        "model": spec.model,
        "folder": str(files.folder or ""),
        # The child sees one GPU: the one that its environment shows it.
        "device": "cuda:0" if run.device.startswith("cuda") else run.device,
        "precision": run.precision,
        "quantization": run.quantization,
        "is_compiled": run.is_compiled,
        "threads": run.threads,
        "revision": files.revision,
        "cache": str(files.cache or ""),
    }
    if spec.is_lean:
        return Spawn(_lean_command(), environment, load)
    # -P: the daemon's working directory is nobody's business.
    command = [sys.executable, "-P", "-m", "voiced.child.worker"]
    if files.overlay is not None:
        command += ["--overlay", str(files.overlay)]
    return Spawn(command, environment, load)


def spawn_scribe(memory_bytes: int) -> Spawn:
    """Return how the scribe is started.

    Args:
        memory_bytes: What it may use at most.
    """
    environment = child_environment(dict(os.environ), device="cpu", threads=1)
    return Spawn(
        [sys.executable, "-P", "-m", "voiced.child.scribe"],
        environment,
        {"type": "load", "memory_bytes": memory_bytes},
    )


def _lean_command() -> list[str]:
    """The forking child starts bare: what a process imports, every fork of it pays for."""
    from voiced.engines.espeak import find_library

    library, data = find_library()
    return [
        sys.executable,
        *("-S", "-E", "-I"),
        str(_CHILD_FOLDER / "espeak.py"),
        *("--library", library),
        *("--data", data),
        *("--path", sysconfig.get_path("platlib")),
    ]
