"""Workers without a process: the real `WorkerProcess` on a transport that keeps what is written."""

import asyncio
from collections.abc import Callable
from typing import Any

from voiced.workers.link import Fields, FrameReader, pack
from voiced.workers.process import WorkerProcess


class Wire(asyncio.Transport):
    """The daemon's end of a link; the test plays the child."""

    def __init__(self, worker: WorkerProcess) -> None:
        super().__init__()
        self._worker = worker
        self._reader = FrameReader()
        self._is_closing = False
        self.sent: list[dict[str, Any]] = []
        """Frames that the daemon sent."""
        worker.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += [fields for fields, _ in self._reader.feed(bytes(data))]

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        self.end()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Frames of one kind that the daemon sent."""
        return [fields for fields in self.sent if fields["type"] == kind]

    def say(self, fields: Fields, payload: bytes = b"") -> None:
        """Let the child send a frame."""
        self._worker.data_received(pack(fields, payload))

    def ready(self, slots: int = 1, sample_rate_hz: int = 1000) -> None:
        """Let the child be ready."""
        self.say({"type": "ready", "slots": slots, "sample_rate_hz": sample_rate_hz, "voices": []})

    def speak(self, asked: dict[str, Any], pcm: Callable[[int], bytes], *, ends: bool = True) -> None:
        """Let the child answer a `speak` frame, whole where it `ends`."""
        for segment in asked["segments"]:
            place = {"task": asked["task"], "index": segment["index"]}
            sound = pcm(segment["index"])
            self.say({"type": "audio", **place}, sound)
            self.say({"type": "spoken", **place, "samples": len(sound) // 2, "words": 1, "missed": []})
        if ends:
            self.done(asked)

    def done(self, asked: dict[str, Any]) -> None:
        """Let the child say that it is done with a `speak` frame."""
        self.say({"type": "done", "task": asked["task"]})

    def end(self) -> None:
        """Let the child end."""
        if not self._is_closing:
            self._is_closing = True
            self._worker.connection_lost(None)


def in_memory_worker(
    name: str = "tone", on_change: Callable[[WorkerProcess], None] = lambda worker: None, *, slots: int = 1
) -> tuple[WorkerProcess, Wire]:
    """A worker and its wire; ready on the next turn of the loop, unless it has no slots."""
    worker = WorkerProcess(name, on_change)
    wire = Wire(worker)
    if slots:
        asyncio.get_running_loop().call_soon(wire.ready, slots)
    return worker, wire


async def turns(count: int = 10) -> None:
    """Let the loop turn: everything that is ready runs."""
    for _ in range(count):
        await asyncio.sleep(0)
