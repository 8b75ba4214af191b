"""Locks between processes: who holds one can be named."""

import fcntl
import os
import time
from pathlib import Path

_WRITES_S = 0.5
"""Greatest wait for the pid of a process that has taken the lock this very moment."""


class LockHeld(Exception):
    """Another process holds the lock."""

    def __init__(self, pid: str) -> None:
        super().__init__(f"process {pid} holds the lock")
        self.pid = pid
        """Of that process, or `unknown`."""


class PidLock:
    """An advisory lock on a file that holds the pid; the kernel lets go of it however the process ends."""

    def __init__(self, file: Path) -> None:
        """Take the lock.

        Raises:
            LockHeld: If another process holds it.
            OSError: If the file cannot be made.
        """
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _holder(self._descriptor)
            os.close(self._descriptor)
            raise LockHeld(pid) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; the file stays, so that the next one locks the same inode."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _holder(descriptor: int) -> str:
    """Return the pid of who holds the lock: it is written a moment after the lock was taken, over an older one."""
    end = time.monotonic() + _WRITES_S
    while time.monotonic() < end:
        pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        if pid.isdecimal() and _is_alive(int(pid)):
            return pid
        time.sleep(0.005)
    return "unknown"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
