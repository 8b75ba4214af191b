"""Whether somebody has a file open for writing: Linux tells by refusing a read lease.

The lease is taken and given back at once. Somebody who opens the file in those microseconds waits for them, and
the kernel's signal about it is turned from SIGIO, which would end the process, into SIGURG, which is ignored.
"""

import contextlib
import errno
import fcntl
import os
import signal
import stat
from pathlib import Path

_WRITERS = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})


def is_being_written(file: int | Path) -> bool | None:
    """Return whether somebody has the file open, or mapped, for writing; None where that cannot be told.

    It cannot be told on macOS, on network and FUSE file systems, for another user's file, and for what is no
    regular file. Never blocks and never follows a link.

    Args:
        file: A path, or a descriptor opened for reading only.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    if isinstance(file, int):
        return _ask(file)
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        # EWOULDBLOCK: somebody holds a write lease himself, a file server does that.
        return True if error.errno in _WRITERS else None
    try:
        return _ask(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _ask(descriptor: int) -> bool | None:
    try:
        take_lease(descriptor)
    except OSError as error:
        return True if error.errno in _WRITERS else None
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def take_lease(descriptor: int) -> None:
    """Take a read lease whose breaking does no harm to this process.

    Raises:
        OSError: EAGAIN if somebody has the file open for writing; else if leases cannot be had.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)


# They take leases from their server, or refuse them with the very error that means a writer.
_REMOTE = ("nfs", "cifs", "smb", "fuse", "9p", "afs", "ceph", "lustre", "gfs2", "ocfs2", "virtiofs")


def tells_writers(folder: Path, mounts: str | None = None) -> bool:
    """Return whether a refused lease on the file system of `folder` means a writer.

    Args:
        folder: An existing folder.
        mounts: The text of `/proc/self/mountinfo`; None = read it.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    if mounts is None:
        try:
            mounts = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
        except OSError:
            return True
    return not _file_system(str(folder.resolve()), mounts).startswith(_REMOTE)


def _file_system(folder: str, mounts: str) -> str:
    """The type of the file system that holds `folder`: the longest mount point above it, the last of equals."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, after = line.partition(" - ")
        point = _unescape(fields.split(" ")[4])
        is_above = point == "/" or folder == point or folder.startswith(point + "/")
        if is_above and len(point) >= best:
            best, kind = len(point), after.split(" ")[0]
    return kind


def _unescape(text: str) -> str:
    # proc(5): space, tab, newline and backslash stand as octal.
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text
