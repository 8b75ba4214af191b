"""How each kind of child is started: its command, its environment, its first frame."""

import os
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from voiced.models.catalogue import ModelSpec
from voiced.workers.environment import child_environment
from voiced.workers.link import Fields

_CHILD_FOLDER = Path(__file__).parent.parent / "child"


class Spawn(NamedTuple):
    """What `WorkerProcess.start` needs."""

    command: list[str]
    environment: dict[str, str]
    load: Fields


def spawn_worker(spec: ModelSpec, *, folder: Path | None, device: str, threads: int) -> Spawn:
    """Return how a worker for a model is started.

    Args:
        spec: The model.
        folder: Its files; None where the engine carries its own.
        device: Where it is to run; set in the environment before anything is imported.
        threads: Its share of the cores.

    Raises:
        EngineLoadFailed: If the engine's library is not there.
    """
    environment = child_environment(dict(os.environ), device=device, threads=threads)
    load: Fields = {
        "type": "load",
        "engine": spec.engine,
        "model": spec.model,
        "folder": str(folder or ""),
        "device": device,
        "precision": "fp32",
        "threads": threads,
        "options": {},
    }
    if spec.is_lean:
        return Spawn(_lean_command(), environment, load)
    return Spawn([sys.executable, "-m", "voiced.child.worker"], environment, load)


def spawn_scribe(memory_bytes: int) -> Spawn:
    """Return how the scribe is started.

    Args:
        memory_bytes: What it may use at most.
    """
    environment = child_environment(dict(os.environ), device="cpu", threads=1)
    return Spawn(
        [sys.executable, "-m", "voiced.child.scribe"],
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
