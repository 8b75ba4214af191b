"""The scribes: at most two, one of which is kept free of heavy work. Belongs to the loop."""

import asyncio
import logging
import time
from collections.abc import Callable

from voiced.workers.engine import BACKOFF_FIRST_S
from voiced.workers.process import WorkerProcess, WorkerState
from voiced.workers.spawn import spawn_scribe

logger = logging.getLogger(__name__)

_MEMORY_BYTES = 1 << 30
_MOST = 2
_IDLE_S = 10.0
"""The second one goes after it."""


class Scribery:
    """Starts scribes as they are needed, and replaces them.

    Args:
        on_change: Called when one became ready or free, or is gone.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.is_stopping = False
        """None is started any more."""
        self.scribes: list[WorkerProcess] = []
        self._on_change = on_change
        self._starting: set[asyncio.Task[None]] = set()
        self._none_until = 0.0

    def free(self, *, is_heavy: bool) -> WorkerProcess | None:
        """Return a scribe that would begin at once, or None; one of two is kept free of heavy work.

        Args:
            is_heavy: The work takes long (encoding): it must leave a scribe for quick work.
        """
        self.scribes = [scribe for scribe in self.scribes if scribe.state is not WorkerState.GONE]
        free = [scribe for scribe in self.scribes if scribe.is_free]
        busy = sum(1 for scribe in self.scribes if scribe.running)
        if free and not (is_heavy and busy):
            return free[0]
        if len(self.scribes) < _MOST and len(self.scribes) == busy:
            self.load()
        return None

    def load(self) -> None:
        """Start a scribe."""
        if self.is_stopping or time.monotonic() < self._none_until:
            return
        scribe = WorkerProcess("scribe", self._changed)
        self.scribes.append(scribe)
        task = asyncio.get_running_loop().create_task(_begin(scribe), name="start scribe")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def end_idle(self, now: float) -> None:
        """End the one that is not needed.

        Args:
            now: Monotonic seconds.
        """
        for scribe in self.scribes[1:]:
            if not scribe.running and now - scribe.idle_since > _IDLE_S:
                scribe.dismiss("not needed")

    def _changed(self, scribe: WorkerProcess) -> None:
        if scribe.state is WorkerState.GONE and not scribe.ready and not self.is_stopping:
            # It dies before its first word: another at once would do the same, a thousand times a second.
            logger.error("the scribe (pid %d) cannot start: %s", scribe.pid, scribe.end_reason)
            self._none_until = time.monotonic() + BACKOFF_FIRST_S
            asyncio.get_running_loop().call_later(BACKOFF_FIRST_S, self._on_change)
        else:
            self._on_change()


async def _begin(scribe: WorkerProcess) -> None:
    spawn = spawn_scribe(_MEMORY_BYTES)
    try:
        await scribe.start(spawn.command, spawn.environment, spawn.load)
    except OSError as error:
        scribe.give_up(f"cannot be started: {error}")
