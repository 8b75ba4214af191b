"""Jobs whose audio is all spoken and whose files are being made; how such a one is cancelled. Belongs to the loop."""

import asyncio
import contextlib
from collections.abc import Iterator

from voiced.jobs.cancel import Cancellable
from voiced.jobs.run import Run


class Ending:
    """The end of one job.

    Args:
        run: It; None = it was taken up again when all of it was spoken.
    """

    def __init__(self, run: Run | None) -> None:
        self.run = run
        self.work = Cancellable()
        """Until its file has a name."""
        self.over = asyncio.Event()
        """It is done, has failed or is cancelled, and that is written."""


class Endings:
    """All of them."""

    def __init__(self) -> None:
        self._endings: dict[str, Ending] = {}

    def __len__(self) -> int:
        return len(self._endings)

    @property
    def runs(self) -> Iterator[Run]:
        """Those that were spoken since the start."""
        return (ending.run for ending in self._endings.values() if ending.run is not None)

    def find(self, job_id: str) -> Run | None:
        """Return a run that is being finished."""
        ending = self._endings.get(job_id)
        return None if ending is None else ending.run

    def begin(self, job_id: str, run: Run | None = None) -> Ending:
        """Return the end of a job: the one that has begun, or a new one."""
        return self._endings.setdefault(job_id, Ending(run))

    def is_cancelled(self, job_id: str) -> bool:
        """Whether somebody wants a job to end that is being finished."""
        ending = self._endings.get(job_id)
        return ending is not None and ending.work.is_cancelled

    def close(self, job_id: str) -> None:
        """A job is over."""
        ending = self._endings.pop(job_id, None)
        if ending is not None:
            ending.over.set()

    async def leave(self, timeout_s: float) -> None:
        """Wait so long for what ends soon; leave the rest as it is in the store, to be finished after a start."""
        endings = list(self._endings.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for ending in endings:
                    await ending.over.wait()
        for ending in endings:
            ending.work.leave()

    async def cancel(self, job_id: str) -> bool:
        """Have a job end whose file is being made; return, when it is over in some way, whether there was one."""
        ending = self._endings.get(job_id)
        if ending is None:
            return False
        ending.work.cancel()
        await ending.over.wait()
        return True
