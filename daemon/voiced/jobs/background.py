"""Work of the loop that nobody waits for: kept alive, logged when it fails, awaited at the end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

logger = logging.getLogger(__name__)

Work = Coroutine[object, object, None]


class Background:
    """Tasks beside the main course."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Work) -> None:
        """Do something beside; a fault of ours is logged."""
        task = asyncio.get_running_loop().create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, delay_s: float, work: Callable[[], Work]) -> None:
        """Do something beside, after a while."""
        asyncio.get_running_loop().call_later(delay_s, lambda: self.spawn(work()))

    async def finish(self, timeout_s: float) -> None:
        """Wait for what runs, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)


async def _guarded(work: Work) -> None:
    try:
        await work
    except Exception:  # the top of a task: nobody else would hear of it
        logger.exception("work in the background failed")
