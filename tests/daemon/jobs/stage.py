"""A scheduler on a stage: the real pool, runs and workers, played by the test."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.daemon.jobs.made import ListSink, make_run
from tests.daemon.workers.in_memory import Wire, in_memory_worker, turns
from tests.daemon.workers.tiny import shelf_in
from voiced.jobs.pace import Pace
from voiced.jobs.run import Run
from voiced.scheduler import Scheduler, SchedulerLimits
from voiced.workers.pool import Pool, PoolLimits
from voiced.workers.process import WorkerProcess, WorkerState
from voiced_ipc.errors import EngineLoadFailed, VoicedError
from voiced_ipc.messages import Lane, Output

SOUND = bytes(range(1, 9))


class Owner:
    """Remembers what it is told; lets go of a run as the manager does."""

    def __init__(self) -> None:
        self.scheduler: Scheduler
        self.began: list[str] = []
        self.done: list[str] = []
        self.failed: dict[str, VoicedError] = {}

    def started(self, run: Run) -> None:
        self.began.append(run.job.job_id)

    def progressed(self, run: Run) -> None:
        pass

    def spoken(self, run: Run) -> None:
        self.done.append(run.job.job_id)
        self.scheduler.remove(run)

    def fail(self, run: Run, error: VoicedError) -> None:
        self.failed[run.job.job_id] = error
        self.scheduler.remove(run)


class PlayedPool(Pool):
    """The real pool with workers that the test plays."""

    def __init__(self, slots: int = 1) -> None:
        super().__init__(
            PoolLimits(2, 5.0, 300.0), shelf_in(Path("nowhere")), lambda: None, lambda *told: None
        )
        self._slots = slots
        self.wires: list[Wire] = []
        self.killed: list[str] = []
        self.is_broken = False

    def load(self, model: str, device: str = "") -> None:
        if self.is_broken:
            raise EngineLoadFailed(f"{model} is broken (no file); it is tried again in {len(self.wires)} s")
        worker, wire = in_memory_worker(model, lambda changed: self._after(model, changed), slots=self._slots)
        worker.kill = lambda reason: self._kill(worker, wire, reason)  # type: ignore[method-assign]
        self.engine(model).workers.append(worker)
        self.wires.append(wire)

    def _kill(self, worker: WorkerProcess, wire: Wire, reason: str) -> None:
        self.killed.append(reason)
        worker.end_reason = reason
        asyncio.get_running_loop().call_soon(wire.end)

    def _after(self, model: str, worker: WorkerProcess) -> None:
        if worker.state is WorkerState.GONE:
            self.engine(model).workers.remove(worker)
        self._on_change()


class Stage:
    """A scheduler with its pool and its owner."""

    def __init__(self, *, slots: int = 1, attempts: int = 3, deadline_s: float = 30.0) -> None:
        self.pool = PlayedPool(slots)
        self.owner = Owner()
        self.pace = Pace()
        self.scheduler = Scheduler(self.pool, self.pace, SchedulerLimits(attempts, deadline_s), self.owner)
        self.owner.scheduler = self.scheduler
        self.pool._on_change = self.scheduler.wake
        self.answered = 0

    @property
    def wire(self) -> Wire:
        return self.pool.wires[-1]

    def asked(self) -> list[dict[str, Any]]:
        """Every `speak` frame so far, over all workers."""
        return [fields for wire in self.pool.wires for fields in wire.of("speak")]

    async def answer(self) -> list[int]:
        """Answer the next `speak` frame of the last worker; return its segments' places."""
        asked = self.wire.of("speak")[self.answered]
        self.answered += 1
        self.wire.speak(asked, lambda index: SOUND)
        await turns()
        return [segment["index"] for segment in asked["segments"]]

    async def lose(self) -> None:
        """Let the last worker end."""
        self.wire.end()
        self.answered = 0
        await turns()


def on_stage(play: Callable[[Stage], Awaitable[None]], **how: Any) -> None:
    async def main() -> None:
        stage = Stage(**how)
        await play(stage)
        await stage.scheduler.drain(0.0)

    asyncio.run(main())


def stream(count: int, number: int = 1) -> tuple[Run, ListSink]:
    return make_run(count, number=number, output=Output.STREAM, lane=Lane.INTERACTIVE)
