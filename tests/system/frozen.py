"""A daemon that stands still: stopped and continued, alone or with its children, as a suspended machine does it."""

import contextlib
import signal
from collections.abc import Iterator

import psutil

from tests.support import wait_for


@contextlib.contextmanager
def frozen(pid: int, *, with_children: bool) -> Iterator[None]:
    """Stop a daemon for the time of the block, and go on; the block begins when everybody stands.

    Args:
        pid: Of the daemon.
        with_children: Whether its children sleep too; else they work on.
    """
    daemon = psutil.Process(pid)
    daemon.send_signal(signal.SIGSTOP)  # first: it must not see the others stand
    stopped = [daemon, *(daemon.children(recursive=True) if with_children else ())]
    for child in stopped[1:]:
        child.send_signal(signal.SIGSTOP)
    try:
        for one in stopped:
            wait_for(lambda one=one: one.status() == psutil.STATUS_STOPPED, what=f"the stop of {one}")  # type: ignore[misc]
        yield
    finally:
        for one in reversed(stopped):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGCONT)
