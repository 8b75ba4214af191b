"""A stretch of work on one job that a cancel may end: the plan of its text, the making of its file.

What comes after it, a commit or a rename, is carried through: a cancel then comes too late. Belongs to the loop.
"""

import asyncio
from types import TracebackType

from voiced_ipc.errors import JobCancelled, VoicedError


class Cancellable:
    """The stretch, as a context around its awaits; entered once, and never where there is nothing to end.

    Like `asyncio.timeout` it ends the very task that is inside, so that a stream pays for no task of its own.

    Raises:
        JobCancelled: On the way in and on the way out, if it was cancelled meanwhile.
    """

    def __init__(self) -> None:
        self.is_cancelled = False
        """Somebody wants the job to end, and did not come too late."""
        self._task: asyncio.Task[object] | None = None
        self._cancels_before = 0
        self._is_over = False
        self._is_left = False

    def leave(self) -> None:
        """End the task, not the job: the daemon stops. Does nothing where the work is over."""
        if self._is_over:
            return
        self._is_left = True
        if self._task is not None:
            self._task.cancel()

    def cancel(self) -> None:
        """Have the work end, or not begin; does nothing where it is over."""
        if self._is_over or self.is_cancelled:
            return
        self.is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    def __enter__(self) -> None:
        if self.is_cancelled:
            self._is_over = True
            raise _cancelled()
        if self._is_left:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancels_before = self._task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._is_over = True
        if not self.is_cancelled:
            return
        assert task is not None
        if task.uncancel() > self._cancels_before:
            return  # the task itself is to end, whatever its job is
        # What went wrong while it ended is nobody's trouble any more.
        if error is None or isinstance(error, asyncio.CancelledError | VoicedError | OSError):
            raise _cancelled() from error


def _cancelled() -> JobCancelled:
    return JobCancelled("the job was cancelled")
