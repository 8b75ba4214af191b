"""The real scribe, started on a socketpair as the pool starts it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from voiced.workers.link import Fields, FrameReader, pack

TIMEOUT_S = 30.0


class RunningScribe:
    """The daemon's end of the link."""

    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket) -> None:
        self.process = process
        self._link = link
        self._reader = FrameReader()
        self._frames: list[tuple[Fields, bytes]] = []

    def send(self, kind: str, payload: bytes = b"", **fields: object) -> None:
        self._link.sendall(pack({"type": kind, **fields}, payload))

    def receive(self) -> tuple[Fields, bytes]:
        while not self._frames:
            data = self._link.recv(1 << 18)
            assert data, "the scribe is gone"
            self._frames = self._reader.feed(data)
        return self._frames.pop(0)

    def ask(self, kind: str, payload: bytes = b"", **fields: object) -> tuple[Fields, bytes]:
        """Send a task and return its answer; what comes before it but progress is a mistake."""
        self.send(kind, payload, **fields)
        while True:
            answer, body = self.receive()
            if answer["type"] != "progress":
                return answer, body

    def hang_up(self) -> None:
        self._link.close()


@contextmanager
def running_scribe(*, memory_bytes: int = 0, cpu_s: float = 0.0) -> Iterator[RunningScribe]:
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT_S)
    arguments = ["--link-fd", str(theirs.fileno()), "--parent", str(os.getpid())]
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced.child.scribe", *arguments],
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
    )
    theirs.close()
    with ours, process:
        scribe = RunningScribe(process, ours)
        try:
            answer, _ = scribe.ask("load", memory_bytes=memory_bytes, cpu_s=cpu_s)
            assert answer == {"type": "ready"}
            yield scribe
        finally:
            process.kill()
