"""The listening sockets: made once by us (or passed by systemd) and kept, so that their place never changes.

libzmq is given a duplicate of the descriptor to accept on. Closing its socket and opening another then drops every
peer without the path ever going away, and nobody can take it meanwhile: libzmq's own `bind` would delete a file
at the path and steal a living socket.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from voiced.errors import UnsafeFolder
from voiced_ipc.endpoint import Endpoint, unsafe_reason

_BACKLOG = 512
_BACKLOG_SHARE = 16
"""Peers that wait at one socket may take one descriptor in so many: they all come in at once."""


class Listener:
    """One listening unix socket."""

    def __init__(self, path: Path, sock: socket.socket, *, is_passed: bool) -> None:
        self.path = path
        self._socket = sock
        self._is_passed = is_passed
        found = path.lstat()
        self._identity = (found.st_dev, found.st_ino)

    def duplicate(self) -> int:
        """Return a descriptor for libzmq, which closes it."""
        return os.dup(self._socket.fileno())

    def bound(self, descriptors: int) -> None:
        """Let no more wait than fit into a limit of open files; whoever comes then is told to try again."""
        self._socket.listen(min(_BACKLOG, descriptors // _BACKLOG_SHARE))

    def close(self) -> None:
        """Close it, and remove the path unless systemd keeps it or another socket lies there."""
        self._socket.close()
        if self._is_passed:
            return
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self.path.unlink()


def open_listeners(endpoint: Endpoint, passed: Mapping[str, int]) -> tuple[Listener, Listener, Listener]:
    """Return the listeners for speech, control and events. The caller holds the daemon's lock.

    Args:
        endpoint: Where.
        passed: Descriptors of sockets that the service manager listens on already, by path.

    Raises:
        UnsafeFolder: If others could change the folder, or something that is no socket lies at a path.
    """
    prepare_folder(endpoint.folder)
    opened: list[Listener] = []
    try:
        for path in (endpoint.speech, endpoint.control, endpoint.events):
            opened.append(_adopt(path, passed[str(path)]) if str(path) in passed else _listen(path))
    except BaseException:
        for listener in opened:
            listener.close()
        raise
    speech, control, events = opened
    return speech, control, events


def prepare_folder(folder: Path) -> None:
    """Make the folder for sockets, closed to others.

    Raises:
        UnsafeFolder: If it stands and is not safe.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    reason = unsafe_reason(folder)
    if reason:
        raise UnsafeFolder(reason)


def _adopt(path: Path, descriptor: int) -> Listener:
    return Listener(path, socket.socket(fileno=descriptor), is_passed=True)


def _listen(path: Path) -> Listener:
    """Bind a fresh socket in place of a dead one; the lock tells that no other daemon uses it."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UnsafeFolder(f"{path} is not a socket: remove it, or set VOICED_ENDPOINT to another folder")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        sock.bind(str(path))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(old)
    return Listener(path, sock, is_passed=False)
