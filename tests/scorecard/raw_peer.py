"""A peer without ZeroMQ: its own hand-made ZMTP over a plain socket, so that it can do everything wrong.

ZMTP 3.0 as in https://rfc.zeromq.org/spec/23/: a greeting of 64 bytes, the command READY, then frames.
"""

import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
OLD_GREETINGS = {
    "zmtp1": b"\x01\x00",
    "zmtp2": b"\xff" + bytes(8) + b"\x7f\x01\x05\x00\x00",
}
"""Of protocols without a mechanism: an empty identity, and what follows are frames at once."""
CONNECT_S = 20.0
_MORE, _LONG = 1, 2
_DESCRIPTORS_SPARED = 200


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def ready(kind: bytes = b"DEALER") -> bytes:
    """Return the command that ends the handshake."""
    body = b"\x05READY" + _property(b"Socket-Type", kind) + _property(b"Identity", b"")
    return bytes([4, len(body)]) + body


def frame(body: bytes, *, has_more: bool = False) -> bytes:
    """Return one frame of a message."""
    flags = _MORE if has_more else 0
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return frame_head(len(body), has_more=has_more) + body


def frame_head(size_bytes: int, *, has_more: bool = False) -> bytes:
    """Return the beginning of a long frame: all that a peer needs who only declares a size."""
    return bytes([_LONG | (_MORE if has_more else 0)]) + struct.pack(">Q", size_bytes)


def message(*parts: bytes) -> bytes:
    """Return the frames of a message."""
    return b"".join(frame(part, has_more=i < len(parts) - 1) for i, part in enumerate(parts))


class RawPeer(socket.socket):
    """A connection to a socket of the daemon.

    Args:
        path: Of the socket.
        timeout_s: Greatest wait for bytes.
        connect_s: Greatest wait for a place in the backlog.
    """

    def __init__(self, path: Path, timeout_s: float = 2.0, connect_s: float = CONNECT_S) -> None:
        super().__init__(socket.AF_UNIX)
        self.settimeout(timeout_s)
        end = time.monotonic() + connect_s
        while True:
            try:
                self.connect(str(path))
                return
            except OSError as error:
                is_full = isinstance(error, BlockingIOError | TimeoutError)
                if not is_full or time.monotonic() > end:
                    self.close()
                    raise
                time.sleep(0.001)

    def shake(self, kind: bytes = b"DEALER") -> None:
        """Do the handshake; return when the daemon has let us in.

        Raises:
            OSError: If it has not.
        """
        self.sendall(GREETING)
        self.read(64)
        self.sendall(ready(kind))
        _, size = self.read(2)
        self.read(size)

    def push(self, kind: bytes = b"DEALER") -> None:
        """Do our half of the handshake in one go, without waiting for the daemon's."""
        self.sendall(GREETING + ready(kind))

    def read(self, size_bytes: int) -> bytes:
        """Return so many bytes.

        Raises:
            OSError: If they do not come.
        """
        data = b""
        while len(data) < size_bytes:
            more = self.recv(size_bytes - len(data))
            if not more:
                raise ConnectionError("closed by the daemon")
            data += more
        return data


def close_all(peers: list[RawPeer]) -> None:
    """Hang up."""
    for peer in peers:
        peer.close()


@contextlib.contextmanager
def many_descriptors(count: int) -> Iterator[bool]:
    """Whether this process may hold so many connections; the limit is as it was afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _DESCRIPTORS_SPARED + len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone
    is_allowed = hard == resource.RLIM_INFINITY or wanted <= hard
    if is_allowed and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield is_allowed
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
