"""A ZeroMQ socket on a listener, read by the loop: bounded, and able to drop all its peers at once.

Sockets are opened before the loop runs; `attach` takes peers and begins to read. libzmq's descriptor tells edges
only, so whoever sends or receives must look again afterwards.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import zmq

from voiced.server.listener import Listener

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

logger = logging.getLogger(__name__)

ZAP_DOMAIN = b"voiced"
_MAX_MESSAGE_BYTES = 1 << 20
_HIGH_WATER_MESSAGES = 64
_HANDSHAKE_MS = 1000
_HEARTBEAT_MS = 10_000
_BURST = 64
"""Messages taken in one turn of the loop: others get theirs too."""


class Frames(NamedTuple):
    """A message as it came, with who sent it."""

    identity: bytes
    parts: list[bytes]


class Channel:
    """One bound socket.

    Args:
        context: libzmq's.
        listener: Where it accepts.
        kind: `zmq.ROUTER` or `zmq.PUB`.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        listener: Listener,
        kind: int,
    ) -> None:
        self._context = context
        self._listener = listener
        self._kind = kind
        self._on_message: Callable[[Channel, Frames], None] | None = None
        self._loop: AbstractEventLoop | None = None
        self._is_scheduled = False
        self._is_draining = False
        self._is_accepting = False
        self.name = listener.path.name
        self._socket = self._open()
        self.monitor = self._monitor()

    def _open(self) -> "zmq.Socket[bytes]":
        made = self._context.socket(self._kind)
        made.linger = 0
        made.maxmsgsize = _MAX_MESSAGE_BYTES
        made.sndhwm = made.rcvhwm = _HIGH_WATER_MESSAGES
        made.handshake_ivl = _HANDSHAKE_MS
        made.heartbeat_ivl = _HEARTBEAT_MS
        made.zap_domain = ZAP_DOMAIN
        made.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        if self._kind == zmq.ROUTER:
            made.router_mandatory = True
        return made

    def _monitor(self) -> "zmq.Socket[bytes]":
        monitor = self._socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        assert isinstance(monitor, zmq.Socket)
        return monitor

    # -- accepting ------------------------------------------------------------------------------------

    def accept(self) -> None:
        """Take new peers."""
        if not self._is_accepting:
            self._socket.setsockopt(zmq.USE_FD, self._listener.duplicate())
            self._socket.bind(f"ipc://{self._listener.path}")
            self._is_accepting = True

    def drop_peers(self, *, is_accepting: bool = True) -> None:
        """Close the socket with everything that its peers have sent, and open another.

        Args:
            is_accepting: Whether it takes new peers at once; else they wait in the backlog until `accept`.
        """
        loop, on_message = self._loop, self._on_message
        self.close()
        self._socket = self._open()
        self.monitor = self._monitor()
        if loop is not None:
            self.attach(loop, on_message, is_accepting=is_accepting)

    # -- reading and writing --------------------------------------------------------------------------

    def attach(
        self,
        loop: "AbstractEventLoop",
        on_message: Callable[["Channel", Frames], None] | None = None,
        *,
        is_accepting: bool = True,
    ) -> None:
        """Read on the loop; `on_message` is called for each message that came.

        Args:
            loop: Of the daemon.
            on_message: What is done with a message; None where none comes.
            is_accepting: Whether peers are taken from now on: libzmq's thread does it, however busy the loop is.
        """
        self._loop = loop
        self._on_message = on_message
        if is_accepting:
            self.accept()
        if on_message is not None:
            loop.add_reader(self._socket.fileno(), self._drain)
            self._schedule()

    def send(self, frames: list[bytes | memoryview]) -> None:
        """Send without waiting.

        Raises:
            zmq.Again: If the peer does not read.
            zmq.ZMQError: With EHOSTUNREACH if it is gone.
        """
        try:
            self._socket.send_multipart(frames, flags=zmq.NOBLOCK)
        finally:
            # Also where it failed: libzmq may have taken the edge all the same. One look for all sends of a turn.
            if not self._is_draining:
                self._schedule()

    def close(self) -> None:
        """Close the socket; the listener stays."""
        if self._loop is not None and self._on_message is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None
        self._socket.disable_monitor()
        self.monitor.close(linger=0)
        self._socket.close(linger=0)
        self._is_accepting = False

    def _has_message(self) -> bool:
        events = self._socket.get(zmq.EVENTS)
        return isinstance(events, int) and bool(events & zmq.POLLIN)

    def _schedule(self) -> None:
        if not self._is_scheduled and self._loop is not None and self._on_message is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Take what has come; the descriptor tells of more only once, so look again before leaving."""
        self._is_scheduled = False
        self._is_draining = True
        try:
            for _ in range(_BURST):
                # Closed, perhaps by the message before; or nothing more is there.
                if self._loop is None or self._on_message is None or not self._has_message():
                    return
                identity, *parts = self._socket.recv_multipart(flags=zmq.NOBLOCK)
                self._on_message(self, Frames(identity, parts))
        finally:
            self._is_draining = False
        self._schedule()
