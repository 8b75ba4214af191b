"""A pool whose children are tiny programs, and what it told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.daemon.workers.tiny import shelf_in, tiny_child
from voiced.workers import pool as pool_module
from voiced.workers import scribery, supervision
from voiced.workers.events import PoolEvent
from voiced.workers.pool import Pool, PoolLimits
from voiced.workers.process import WorkerProcess

LIMIT_S = 15.0
USUAL = PoolLimits(2, 5.0, 300.0)


class Stage:
    """A pool whose tone worker is a tiny program, and what it told."""

    def __init__(self, patched: pytest.MonkeyPatch, folder: Path, program: str, limits: PoolLimits) -> None:
        self.program = program
        self.events: list[PoolEvent] = []
        self._changed = asyncio.Event()
        self.pool = Pool(limits, shelf_in(folder), self._changed.set, self.events.append)
        patched.setattr(pool_module, "spawn_worker", lambda *_, **__: tiny_child(self.program))
        patched.setattr(scribery, "spawn_scribe", lambda *_: tiny_child(self.program))

    async def until(self, look: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not look():
                await self._changed.wait()
                self._changed.clear()

    async def worker(self) -> WorkerProcess:
        """A free worker, once there is one."""
        found: list[WorkerProcess] = []

        def look() -> bool:
            worker = self.pool.free_worker("tone")
            found.extend([worker] if worker else [])
            return bool(found)

        await self.until(look)
        return found[0]

    def kinds(self) -> list[str]:
        return [event.kind.value for event in self.events]


def on_stage(
    folder: Path,
    program: str,
    play: Callable[[Stage], Awaitable[None]],
    limits: PoolLimits = USUAL,
) -> None:
    async def main() -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(supervision, "TURN_S", 0.05)
            stage = Stage(patched, folder, program, limits)
            stage.pool.start()
            try:
                await play(stage)
            finally:
                await stage.pool.stop()
            assert stage.pool.children() == []

    asyncio.run(main())
