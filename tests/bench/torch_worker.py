"""A worker as the daemon starts it, without the daemon: how long each step of its start takes."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.checkpoints import Checkpoint
from tests.bench.direct import cores
from tests.bench.processes import CommandFailed
from tests.daemon.child.helpers import Child, start_worker
from tests.support import Home
from voiced.workers.environment import child_environment

_LOAD_S = 300.0


class Started(NamedTuple):
    """A worker, loaded, and when it said so: milliseconds since it was executed."""

    child: Child
    steps: dict[str, float]
    ready_ms: float

    @property
    def first_step_ms(self) -> float:
        """Of the first thing that its engine said."""
        return next(iter(self.steps.values()), self.ready_ms)

    @property
    def peak_bytes(self) -> int:
        """The greatest memory that it ever had resident (Linux)."""
        status = Path(f"/proc/{self.child.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextlib.contextmanager
def loaded(home: Home, checkpoint: Checkpoint) -> Iterator[Started]:
    """A worker that holds a model.

    Raises:
        CommandFailed: If it refuses it.
    """
    environment = child_environment(home.environ, device="cpu", threads=cores())
    began = time.perf_counter()
    with start_worker(environment, checkpoint.overlay) as child:
        child.link.settimeout(_LOAD_S)
        child.send(type="load", **load_fields(checkpoint))
        steps: dict[str, float] = {}
        while (answer := child.receive()[0])["type"] == "loading":
            steps[answer["what"]] = (time.perf_counter() - began) * 1000
        if answer["type"] != "ready":
            raise CommandFailed(f"{checkpoint.model}: {answer.get('message', answer)}")
        yield Started(child, steps, (time.perf_counter() - began) * 1000)
        with contextlib.suppress(OSError):
            child.send(type="end")  # it may be in the midst of a sentence: a link that breaks would be logged


def load_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the `load` frame of a model, without its type."""
    return {
        "engine": checkpoint.engine,
        "model": checkpoint.model,
        "folder": str(checkpoint.folder),
        "device": "cpu",
        "precision": checkpoint.precision,
        "threads": cores(),
    }


def first_frame(child: Child, task: int, kind: str) -> dict[str, Any]:
    """Return the first frame of a task that is of a kind.

    Raises:
        CommandFailed: If the task ends without one.
    """
    while True:
        fields = child.receive()[0]
        if fields.get("task") != task:
            continue
        if fields["type"] == kind:
            return fields
        if fields["type"] in ("done", "failed", "cancelled"):
            raise CommandFailed(f"no {kind}: the task is {fields['type']}: {fields.get('message', '')}")
