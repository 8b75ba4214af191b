"""Plays systemd for one process, without systemd and without root.

It gives the process NOTIFY_SOCKET, WATCHDOG_USEC and listening sockets, and records what it says, with times and
with the pid that the kernel vouches for.
"""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

# Puts the descriptors to 3, 4 ... and becomes the command, as systemd does between fork and exec.
_WRAPPER = """
import fcntl, json, os, sys
descriptors, watched = json.loads(sys.argv[1])
high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 100) for one in descriptors]
for target, one in enumerate(high, 3):
    os.dup2(one, target)
if descriptors:
    os.environ.update(LISTEN_FDS=str(len(descriptors)), LISTEN_PID=str(os.getpid()))
if watched:
    os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Said(NamedTuple):
    """One line of one datagram."""

    at_s: float
    """Since the start of the process."""
    pid: int
    line: str


class NotifyHarness:
    """A process with a notify socket; a context manager that ends it.

    Args:
        argv: The command.
        folder: Where the notify socket may lie; a short path.
        watchdog_s: WATCHDOG_USEC, in seconds; None = not watched.
        listen: Paths that are bound before the process starts, and passed to it in this order.
        environ: The whole environment; None = this process's.
        is_abstract: Use an abstract notify socket.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        *,
        watchdog_s: float | None = None,
        listen: Sequence[Path] = (),
        environ: Mapping[str, str] | None = None,
        is_abstract: bool = False,
    ) -> None:
        name = f"@voiced-test-{os.getpid()}-{id(self)}" if is_abstract else str(folder / "notify")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind("\0" + name[1:] if is_abstract else name)
        self._notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.said: list[Said] = []
        self._unread = 0
        self._listening = [_listen(path) for path in listen]
        env = dict(os.environ if environ is None else environ, NOTIFY_SOCKET=name)
        if watchdog_s is not None:
            env["WATCHDOG_USEC"] = str(int(watchdog_s * 1e6))
        descriptors = [one.fileno() for one in self._listening]
        order = json.dumps([descriptors, watchdog_s is not None])
        self._started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", _WRAPPER, order, *argv],
            env=env,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "NotifyHarness":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=10)
        for one in (self._notify, *self._listening):
            one.close()

    def wait_for(self, beginning: str, timeout_s: float = 10.0) -> Said:
        """Return the next unread line that begins so; lines before it count as read.

        Raises:
            TimeoutError: If it did not come; the message tells what came instead.
        """
        end = time.monotonic() + timeout_s
        while True:
            while self._unread < len(self.said):
                line = self.said[self._unread]
                self._unread += 1
                if line.line.startswith(beginning):
                    return line
            left_s = end - time.monotonic()
            if left_s <= 0 or not self._receive(left_s):
                state = self.process.poll()
                raise TimeoutError(
                    f"no {beginning} within {timeout_s} s; exit code {state}, said {self.said}"
                )

    def stop(self, signal_number: int = signal.SIGTERM, timeout_s: float = 10.0) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(timeout_s)

    def output(self) -> str:
        """Return what the process printed, when it has ended by itself."""
        printed, _ = self.process.communicate(timeout=10)
        return str(printed, "utf-8")

    def drain(self) -> list[Said]:
        """Return all lines, also those that wait in the socket now."""
        while self._receive(0):
            pass
        return self.said

    def _receive(self, timeout_s: float) -> bool:
        if not select.select([self._notify], [], [], timeout_s)[0]:
            return False
        data, ancillary, _, _ = self._notify.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
        pid = struct.unpack("3i", ancillary[0][2])[0]
        at_s = time.monotonic() - self._started_s
        self.said += [Said(at_s, pid, line) for line in data.decode().split("\n")]
        return True


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made
