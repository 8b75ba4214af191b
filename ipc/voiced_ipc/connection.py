"""One socket to the daemon that notices when the daemon goes: ZeroMQ by itself would wait for ever."""

import socket
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import zmq

from voiced_ipc.errors import DaemonUnavailable, RequestTimeout

if TYPE_CHECKING:
    Context = zmq.Context[zmq.Socket[bytes]]

_RECONNECT_MS = 20
"""The daemon drops all peers where one attacks its memory; who waits for an answer should not notice."""
_RECONNECT_MAX_MS = 1000
LINGER_MS = 100
"""A cancel sent just before the end still goes out; a dead daemon holds nobody up for long."""

_LISTEN_S = 0.5
"""At most so long in one look: a Ctrl+C that came just before it is heard after it."""


class ConnectionLost(DaemonUnavailable):
    """The daemon, or the connection to it, ended while an answer was awaited; the answer will not come."""


class Connection:
    """A DEALER to one of the daemon's sockets.

    Args:
        context: ZeroMQ's.
        path: Of the daemon's socket.
        timeout_s: Greatest wait for room to send.

    Raises:
        DaemonUnavailable: If nobody listens.
    """

    def __init__(self, context: "Context", path: str, timeout_s: float) -> None:
        probe(path)
        self.path = path
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = LINGER_MS
        self._socket.sndtimeo = int(timeout_s * 1000)
        self._socket.reconnect_ivl = _RECONNECT_MS
        self._socket.reconnect_ivl_max = _RECONNECT_MAX_MS
        monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED)
        assert isinstance(monitor, zmq.Socket)
        self._monitor: zmq.Socket[bytes] = monitor
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._socket.connect(f"ipc://{path}")

    def forget_losses(self) -> None:
        """What was lost before now concerns nobody who asks from now on."""
        while self._monitor.poll(0):
            self._monitor.recv_multipart()

    def send(self, frames: Sequence[bytes | memoryview]) -> None:
        """Send a message.

        Raises:
            RequestTimeout: If the daemon takes nothing for too long.
        """
        try:
            self._socket.send_multipart(frames)
        except zmq.Again:
            raise RequestTimeout("the daemon does not take requests: is it overloaded?") from None

    def receive(self, timeout_s: float) -> list[bytes] | None:
        """Return the next message; None = none came in time.

        Raises:
            ConnectionLost: If the connection went, and nothing that the daemon said before is left.
            DaemonUnavailable: If nobody listens any more.
        """
        end = time.monotonic() + timeout_s
        while True:
            ready = self._look(end - time.monotonic())
            if self._socket in ready:
                return self._socket.recv_multipart()
            if self._monitor in ready:
                self._check()
            elif time.monotonic() >= end:
                return None

    def _check(self) -> None:
        """Read what happened to the connection; one that is only being made again is waited for."""
        while self._monitor.poll(0):
            # zmq_socket_monitor(3): the first frame begins with the event, 16 bit in the machine's order.
            event = int.from_bytes(self._monitor.recv_multipart()[0][:2], sys.byteorder)
            if event == zmq.EVENT_DISCONNECTED:
                self.forget_losses()
                raise ConnectionLost(
                    "the daemon ended, or dropped the connection, before it answered; ask again"
                )
        # ZeroMQ would try for ever: a daemon that is just ending may have taken the last connection with it.
        probe(self.path)

    def _look(self, timeout_s: float) -> dict[Any, int]:
        return dict(self._poller.poll(int(min(max(0.0, timeout_s), _LISTEN_S) * 1000)))


def probe(path: str) -> None:
    """A plain connect says at once what ZeroMQ's never would: whether somebody listens.

    Raises:
        DaemonUnavailable: If nobody does, or somebody else's daemon.
    """
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(1.0)
    try:
        sock.connect(path)
    except FileNotFoundError:
        raise DaemonUnavailable(f"no daemon runs (nothing at {path}): start it with `voiced run`") from None
    except ConnectionRefusedError:
        raise DaemonUnavailable(
            f"no daemon runs (a dead socket lies at {path}): start it with `voiced run`"
        ) from None
    except PermissionError:
        raise DaemonUnavailable(f"{path} belongs to another user") from None
    except BlockingIOError:
        pass  # the backlog is full: it lives and is busy
    except OSError as error:
        raise DaemonUnavailable(f"{path} cannot be reached: {error}") from None
    finally:
        sock.close()
