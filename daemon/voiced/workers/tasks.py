"""The tasks of one child: which have their turn, which wait for it, which were told to stop.

Belongs to the loop. A child works on its first `slots` tasks; a child that keeps a queue may be sent one more, so that
it goes on without waiting for the daemon.
"""

import asyncio
import itertools
import time
from collections.abc import Callable

from voiced.workers.link import Fields

Frame = tuple[Fields, bytes]
ENDS_TASK = frozenset(("done", "failed", "cancelled", "prepared", "finished"))


class Task:
    """One task; its frames wait in a queue for whoever gave it, None after the last of a child that ended.

    Who has no time to wait for his turn of the loop takes what comes before the end himself, at once.
    """

    __slots__ = ("begun_at", "cancelled_at", "frames", "number", "on_frame", "on_turn")

    def __init__(
        self, number: int, on_turn: Callable[[], None], on_frame: Callable[[Frame], None] | None
    ) -> None:
        self.number = number
        self.on_turn = on_turn
        self.on_frame = on_frame
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.begun_at: float | None = None
        self.cancelled_at: float | None = None


def _nothing() -> None:
    """Its turn has come."""


class Tasks:
    """All tasks of a child, in the order in which it works on them.

    Args:
        clock: Seconds in which the daemon was awake.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.slots = 1
        """How many it works on side by side."""
        self._tasks: dict[int, Task] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task: Task) -> bool:
        return task.number in self._tasks

    def add(self, on_turn: Callable[[], None], on_frame: Callable[[Frame], None] | None = None) -> Task:
        """Return a new task.

        Args:
            on_turn: Called when the child begins with it, which may be now.
            on_frame: Called with each frame but the last, in place of its queue.
        """
        task = self._tasks[self._next] = Task(self._next, on_turn, on_frame)
        self._next += 1
        self._begin()
        return task

    def take(self, number: int, frame: Frame) -> bool:
        """Hand a frame to its task; return whether it ended it."""
        task = self._tasks.get(number)
        is_end = frame[0]["type"] in ENDS_TASK
        if task is None:
            return is_end
        if is_end or task.on_frame is None:
            task.frames.put_nowait(frame)
        else:
            task.on_frame(frame)
        if is_end:
            task.on_frame = None
            del self._tasks[number]
            self._begin()
        return is_end

    def cancel(self, task: Task) -> bool:
        """Note that a task is told to stop; return whether it has to be told."""
        if task not in self or task.cancelled_at is not None:
            return False
        task.cancelled_at = self._clock()
        return True

    def stuck_s(self) -> float:
        """Return for how many seconds a task has gone on that was cancelled; 0 = there is none."""
        now = self._clock()
        since = (
            max(task.cancelled_at, task.begun_at)
            for task in self._tasks.values()
            if task.cancelled_at is not None and task.begun_at is not None
        )
        return max((now - one for one in since), default=0.0)

    def lose(self) -> None:
        """The child is gone."""
        for task in self._tasks.values():
            task.on_frame = None
            task.frames.put_nowait(None)
        self._tasks.clear()

    def _begin(self) -> None:
        for task in itertools.islice(self._tasks.values(), self.slots):
            if task.begun_at is None:
                task.begun_at = self._clock()
                # Whoever gave it holds it, and it him: not for longer.
                on_turn, task.on_turn = task.on_turn, _nothing
                on_turn()
