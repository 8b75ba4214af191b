"""What the daemon asks of its scribes: a document prepared, recordings looked at, a file encoded.

Whoever leaves early (its job was cancelled) is kept until the scribe has let go of the work, or is killed: then nothing
is written any more, and what lies there can be removed.
"""

import asyncio
import contextlib
from collections import deque

from voiced.workers.link import Fields
from voiced.workers.process import WorkerLost, WorkerProcess
from voiced.workers.scribery import Scribery
from voiced.workers.tasks import Frame, Task
from voiced_ipc.errors import DocumentRefused, InternalError, JobCancelled, ReferenceRefused

PREPARE_S = 120.0
"""Greatest time for a document; a hostile one costs its job no more."""
FINISH_S = 6 * 3600.0
_ATTEMPTS = 3
CANCEL_S = 0.3
"""So long a scribe may go on with what was cancelled: in sound it looks after each block, in a document it does not."""
_KILLED_S = 1.0


class Scribes:
    """A queue of work for the pool's scribes, first come first served, quick work beside heavy."""

    def __init__(self, scribery: Scribery) -> None:
        self._scribery = scribery
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()
        self._is_held = False
        self._heavy: dict[Task, WorkerProcess] = {}

    def hold(self, *, is_held: bool) -> None:
        """Make no files, or go on: what is being made is left, and begun anew then."""
        self._is_held = is_held
        if is_held:
            for task, scribe in self._heavy.items():
                scribe.cancel(task)
        self.wake()

    def wake(self) -> None:
        """A scribe became free: let the next in whom it suits."""
        for entry in list(self._waiting):
            is_heavy, turn = entry
            if turn.done():
                self._waiting.remove(entry)
            elif self._free(is_heavy=is_heavy) is not None:
                self._waiting.remove(entry)
                turn.set_result(None)
                # Once it has begun, the next in the queue may want a scribe of its own.
                asyncio.get_running_loop().call_soon(self.wake)
                return

    async def prepare(self, fields: Fields, payload: bytes = b"") -> Frame:
        """Return the `prepared` frame of a document or text.

        Raises:
            DocumentRefused: If it cannot be read, or kills the scribe.
            StorageFailed: If the disk refuses.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return await self._run(fields, payload, is_heavy=False, limit_s=PREPARE_S)
            except (WorkerLost, TimeoutError) as error:
                if attempt == _ATTEMPTS - 1:
                    raise DocumentRefused(
                        f"reading it ended the reader ({error}); it may be damaged or hostile: save it as plain text"
                    ) from error
        raise AssertionError

    async def references(self, sources: list[str], folder: str) -> Fields:
        """Return the `prepared` frame of recordings that were written into a folder as references.

        Args:
            sources: What is said to be audio.
            folder: Where they go.

        Raises:
            ReferenceRefused: If one cannot become a voice, or kills the scribe.
            StorageFailed: If the disk refuses.
        """
        fields: Fields = {"type": "reference", "sources": list(sources), "folder": folder}
        try:
            return (await self._run(fields, b"", is_heavy=False, limit_s=PREPARE_S))[0]
        except (WorkerLost, TimeoutError) as error:
            raise ReferenceRefused(
                f"reading it ended the reader ({error}); it may be damaged or hostile: save it anew, as 16 bit WAV"
            ) from error

    async def finish(self, fields: Fields) -> Fields:
        """Return the `finished` frame of an encoding.

        Raises:
            VoicedError: If it fails.
        """
        attempts = 0
        while True:
            try:
                frame = await self._run(fields, b"", is_heavy=True, limit_s=FINISH_S)
                return frame[0]
            except JobCancelled:
                continue  # by `hold`
            except (WorkerLost, TimeoutError) as error:
                attempts += 1
                if attempts == _ATTEMPTS:
                    raise InternalError(f"the encoder ended {attempts} times: {error}") from error

    def _free(self, *, is_heavy: bool) -> WorkerProcess | None:
        return None if is_heavy and self._is_held else self._scribery.free(is_heavy=is_heavy)

    async def _run(self, fields: Fields, payload: bytes, *, is_heavy: bool, limit_s: float) -> Frame:
        while (scribe := self._free(is_heavy=is_heavy)) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((is_heavy, turn))
            await turn
        task = scribe.give(fields, payload)
        if is_heavy:
            self._heavy[task] = scribe
        try:
            async with asyncio.timeout(limit_s), contextlib.aclosing(scribe.frames(task)) as frames:
                async for frame in frames:
                    if frame[0]["type"] in ("prepared", "finished"):
                        return frame
        except TimeoutError:
            scribe.kill(f"it took longer than {limit_s:.0f} s")
            raise
        except asyncio.CancelledError:
            await _let_go(scribe, task)
            raise
        finally:
            self._heavy.pop(task, None)
        raise WorkerLost("the scribe stopped")


async def _let_go(scribe: WorkerProcess, task: Task) -> None:
    """Return when a scribe works on a cancelled task no more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_S):
            while task in scribe.tasks:
                await task.frames.get()
            return
    scribe.kill("it went on with what was cancelled")
    await scribe.wait(_KILLED_S)
