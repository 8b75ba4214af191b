"""What the daemon asks of its scribes: a document prepared, recordings looked at, a file encoded."""

import asyncio
import contextlib
from collections import deque

from voiced.workers.link import Fields
from voiced.workers.process import WorkerLost
from voiced.workers.scribery import Scribery
from voiced.workers.tasks import Frame
from voiced_ipc.errors import DocumentRefused, InternalError, ReferenceRefused

PREPARE_S = 120.0
"""Greatest time for a document; a hostile one costs its job no more."""
FINISH_S = 6 * 3600.0
_ATTEMPTS = 3


class Scribes:
    """A queue of work for the pool's scribes, first come first served, quick work beside heavy."""

    def __init__(self, scribery: Scribery) -> None:
        self._scribery = scribery
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    def wake(self) -> None:
        """A scribe became free: let the next in whom it suits."""
        for entry in list(self._waiting):
            is_heavy, turn = entry
            if turn.done():
                self._waiting.remove(entry)
            elif self._scribery.free(is_heavy=is_heavy) is not None:
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
        for attempt in range(_ATTEMPTS):
            try:
                frame = await self._run(fields, b"", is_heavy=True, limit_s=FINISH_S)
                return frame[0]
            except (WorkerLost, TimeoutError) as error:
                if attempt == _ATTEMPTS - 1:
                    raise InternalError(f"the encoder ended: {error}") from error
        raise AssertionError

    async def _run(self, fields: Fields, payload: bytes, *, is_heavy: bool, limit_s: float) -> Frame:
        while (scribe := self._scribery.free(is_heavy=is_heavy)) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((is_heavy, turn))
            await turn
        try:
            async with asyncio.timeout(limit_s), contextlib.aclosing(scribe.run(fields, payload)) as frames:
                async for frame in frames:
                    if frame[0]["type"] in ("prepared", "finished"):
                        return frame
        except TimeoutError:
            scribe.kill(f"it took longer than {limit_s:.0f} s")
            raise
        raise WorkerLost("the scribe stopped")
