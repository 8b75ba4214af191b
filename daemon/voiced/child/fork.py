"""A fork of the espeak worker: made ahead or on the spot, given one task, ended by it or killed."""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterable

from voiced.child.lifeline import die_with

_F_SETPIPE_SZ = 1031  # linux/fcntl.h
_PIPE_BYTES = 1 << 20  # a sentence without a stop of the writer; what any user may ask for

Work = Callable[[bytes, Callable[[bytes], None]], int]


class Fork:
    """A child of this process that waits for its request, answers it through a pipe, and ends.

    Args:
        work: What the child does: it gets the request and what writes to the pipe, and returns its exit code.
        prepare: What the child does before it waits for the request.
        strangers: Descriptors of this process that the child must not hold: it would keep links and pipes open
            after their owners are gone.
    """

    def __init__(self, work: Work, prepare: Callable[[], None], strangers: Iterable[int]) -> None:
        request, self._request = os.pipe()
        self.audio, answer = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            _be_child(work, prepare, (request, answer), (self._request, self.audio, *strangers), parent)
        os.close(request)
        _widen(answer)
        os.close(answer)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that this process holds of it."""
        return (self.audio,) if self._request < 0 else (self.audio, self._request)

    def ask(self, request: bytes) -> bool:
        """Give it its task; return whether it took it: false = it is dead."""
        view = memoryview(request)
        try:
            while view:
                view = view[os.write(self._request, view) :]
        except BrokenPipeError:
            return False
        finally:
            os.close(self._request)
            self._request = -1
        return True

    def read(self) -> bytes:
        """Return what it has written; empty = it ended."""
        return os.read(self.audio, _PIPE_BYTES)

    def reap(self) -> int:
        """Wait for its end, close what belongs to it, and return its exit code; below 0 a signal."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it at once and reap it."""
        os.kill(self.pid, signal.SIGKILL)
        self.reap()


def _widen(pipe: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # this user's share of pipe memory is used up: smaller will do
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)


def _be_child(
    work: Work, prepare: Callable[[], None], ends: tuple[int, int], strangers: Iterable[int], parent: int
) -> None:
    """Do the work and end; never returns, whatever happens: the code of the parent must not run twice."""
    code = 1
    try:
        gc.disable()
        request, answer = ends
        for descriptor in strangers:
            os.close(descriptor)
        die_with(parent)

        def write(data: bytes) -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(answer, view) :]

        prepare()
        wanted = b"".join(iter(lambda: os.read(request, 1 << 16), b""))
        code = work(wanted, write) if wanted else 0
    finally:
        os._exit(code)
