"""Raw sockets: round trips without a client library, so that only the other side is measured."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import zmq

from tests.bench.processes import floor_command
from tests.support import Home
from voiced_ipc import codec
from voiced_ipc import messages as m

_WAIT_MS = 20_000


class NoAnswer(Exception):
    """The other side did not answer."""


class Wire:
    """One DEALER socket."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", path: Path) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvtimeo = _WAIT_MS
        self.socket.connect(f"ipc://{path}")

    def trip_us(self, frames: list[bytes | memoryview]) -> float:
        """Send a request and wait for one answer; return how long it took in microseconds.

        Raises:
            NoAnswer: If none comes.
        """
        began = time.perf_counter_ns()
        self.socket.send_multipart(frames)
        try:
            self.socket.recv_multipart()
        except zmq.Again:
            raise NoAnswer("no answer to a request") from None
        return (time.perf_counter_ns() - began) / 1000

    def ask(self, frames: list[bytes | memoryview]) -> list[bytes]:
        """Send a request and return the answer's frames."""
        self.socket.send_multipart(frames)
        return self.socket.recv_multipart()


def get_status() -> list[bytes | memoryview]:
    """Return the frames of a GetStatus."""
    return codec.encode(m.GetStatus(request_id=m.new_id()))


@contextlib.contextmanager
def wires() -> "Iterator[Callable[[Path], Wire]]":
    """What makes wires; all are closed at the end."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        yield lambda path: Wire(context, path)
    finally:
        context.destroy(linger=0)


@contextlib.contextmanager
def echo(home: Home, reply: bytes) -> Iterator[Path]:
    """A process that answers every request with `reply` as its header; gives its socket."""
    path, file = home.root / "echo.sock", home.root / "echo.reply"
    file.write_bytes(reply)
    with subprocess.Popen(
        floor_command("echo", f"ipc://{path}", str(file)), env=home.environ, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield path
        finally:
            process.kill()
