"""What ties a child to the process that started it: it ends with its parent, and its signals are its own.

Called first thing by every program of `voiced.child`, on its main thread; imports what the leanest of them can
afford. End of file on the link tells the same story everywhere; this is for a child that is not reading.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PARENTS_SIGNALS = ("SIGINT", "SIGHUP", "SIGUSR1")
"""Ctrl+C, reload and the wish for stacks are meant for the daemon, though they may reach the whole group."""


def bind_to_parent(parent_pid: int) -> None:
    """Make this process end with its parent; its files are its own (umask 077), SIGTERM ends it.

    Args:
        parent_pid: The process that started this one; if it is gone already, this process exits at once.
    """
    die_with(parent_pid)
    os.umask(0o077)
    for name in _PARENTS_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent ends, where it can; for a fork too, which forgets it.

    The signal follows the *thread* that started this process: that must be one which lives as long as the parent.

    Args:
        parent_pid: If it is no longer the parent, this process exits at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if hasattr(os, "getppid") and os.getppid() != parent_pid:
        # Between the start and the line above the parent ended: the signal will never come.
        os._exit(0)
