"""How a worker comes to be: its files looked over, its place decided, room made for it."""

import asyncio
import contextlib
from typing import TYPE_CHECKING

from voiced.models.memory import Holder, Verdict, admit
from voiced.models.spec import ModelSpec
from voiced.workers.engine import Engine
from voiced.workers.process import WorkerProcess, WorkerState
from voiced.workers.shelf import Shelf
from voiced.workers.spawn import Files
from voiced_ipc.errors import DeviceOutOfMemory

if TYPE_CHECKING:
    from voiced.workers.pool import Pool

_LOOK_AGAIN_S = 1.0
"""Other programs give memory back without telling."""


async def open_files(shelf: Shelf, spec: ModelSpec) -> Files:
    """Return where a model's files are, looked over on a thread.

    Raises:
        VoicedError: As `Shelf.open`.
    """
    if spec.is_embedded:
        return shelf.open(spec)
    return await asyncio.to_thread(shelf.open, spec)


async def make_room(pool: "Pool", engine: Engine, worker: WorkerProcess, asked: str) -> None:
    """Decide where a worker runs, and wait until there is room for it; returns early where it is gone.

    Args:
        pool: Idle models of it are unloaded where that helps.
        engine: The worker's model.
        worker: Its `run_as` is set.
        asked: The device asked for; empty = as decided.

    Raises:
        DeviceOutOfMemory: If there cannot be room.
        DeviceUnavailable: If the device is not there, and strict mode forbids another.
    """
    placing = await pool.ground.place(engine.spec, asked)
    worker.run_as, engine.notes = placing.run, placing.notes
    while worker.state is not WorkerState.GONE:
        device = worker.device
        room = pool.ground.room(device)
        room = room._replace(available_bytes=room.available_bytes - _promised(pool, worker))
        admission = admit(_need(pool, engine, worker), room, _holders(pool, engine, device), device)
        engine.waits_for = admission.reason if admission.verdict is Verdict.WAIT else ""
        if admission.verdict is Verdict.FITS:
            return
        if admission.verdict is Verdict.EVICT:
            for model in admission.evict:
                pool.unload(model, f"{engine.spec.model} needs the memory")
        if admission.verdict is Verdict.REFUSE:
            if device == "cpu" or asked:
                raise DeviceOutOfMemory(f"{engine.spec.model} cannot be loaded: {admission.reason}")
            placing = await pool.ground.place(engine.spec, "cpu")
            worker.run_as = placing.run
            engine.notes = (*placing.notes, f"on the CPU: {admission.reason}")
            continue
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.change(), _LOOK_AGAIN_S)


def _need(pool: "Pool", engine: Engine, worker: WorkerProcess) -> int:
    if not engine.spec.needs_bytes:
        return 0
    return pool.sizes.estimate(engine.spec, worker.run_as.kind(engine.spec))


def _promised(pool: "Pool", worker: WorkerProcess) -> int:
    """Memory that loads which have begun will still take."""
    return sum(
        _need(pool, pool.engines[other.name], other)
        for other in pool.workers()
        if other is not worker
        and other.device == worker.device
        and other.pid
        and other.state is WorkerState.STARTING
    )


def _holders(pool: "Pool", engine: Engine, device: str) -> list[Holder]:
    """The models on a device that could make room: the espeak worker is too small to count."""
    found = []
    for other in pool.engines.values():
        there = [worker for worker in other.workers if worker.device == device and worker.pid]
        if other is engine or other.spec.is_lean or not there:
            continue
        size = other.size_bytes(device) or sum(_need(pool, other, worker) for worker in there)
        is_idle = other.is_idle and all(worker.state is WorkerState.READY for worker in there)
        is_pinned = other.keep_s(pool.limits.keep_alive_s) < 0
        found.append(Holder(other.spec.model, size, is_idle, is_pinned, other.idle_since_s))
    return found
