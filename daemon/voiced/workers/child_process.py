"""A spawned process with a link: its start, its end, and why it ended.

Belongs to the main thread: a child's parent-death signal follows the thread that spawned it.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence


class ChildProcess:
    """One process.

    Args:
        command: Program and arguments; `--link-fd` and `--parent` are added.
        environment: All of it.
        link: Its end of the link; the caller closes it here.

    Raises:
        OSError: If it cannot be spawned.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], link: socket.socket) -> None:
        self._process = subprocess.Popen(
            [*command, "--link-fd", str(link.fileno()), "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=dict(environment),
            pass_fds=[link.fileno()],
            # Its own session: Ctrl+C in the daemon's terminal is the daemon's.
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._pidfd: int | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it runs still."""
        return self._process.poll() is None

    def watch(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        """Have `on_end` called the moment it ends, where the system tells; elsewhere its link's end has to do."""
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(self.pid)
            loop.add_reader(self._pidfd, on_end)

    def kill(self) -> None:
        """End it now."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def reap(self, loop: asyncio.AbstractEventLoop) -> str:
        """Wait for its end, watch it no longer, and return why it ended; may be called again."""
        code = self._process.wait()
        if self._pidfd is not None:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        return _describe(code)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
