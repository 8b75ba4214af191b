"""What the pool is told about the machine: where a model goes, and how much room there is."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from voiced.models.memory import Room
from voiced.models.spec import ModelSpec
from voiced.workers.spawn import RunAs


class Placing(NamedTuple):
    """Where and how a model is to run."""

    run: RunAs
    notes: tuple[str, ...] = ()
    """What differs from what was asked for, and why."""


async def _on_the_cpu(spec: ModelSpec, asked: str) -> Placing:
    return Placing(RunAs(precision=spec.precisions[0]))


class Ground(NamedTuple):
    """The machine, as functions; the usual ones put everything on a CPU without bounds."""

    place: Callable[[ModelSpec, str], Awaitable[Placing]] = _on_the_cpu
    """Where a model goes: it, and the device asked for (empty = as decided)."""
    room: Callable[[str], Room] = lambda device: Room()
    """The memory of a device now."""
