"""The door: libzmq asks here whether a peer may come in. Only the user that runs the daemon may.

On `ipc://` libzmq tells the uid of a peer as the kernel knows it (SO_PEERCRED). Asking also shuts out protocols before
ZMTP 3, which need no handshake and would turn random bytes into messages.
"""

import logging
import os
from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

logger = logging.getLogger(__name__)

_ADDRESS = "inproc://zeromq.zap.01"
_BURST = 64
"""Questions answered in one turn of the loop: the guard counts meanwhile."""


class Door:
    """Answers libzmq's questions; must stand before the first socket is bound."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", user: int | None = None) -> None:
        self._user = os.getuid() if user is None else user
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ADDRESS)
        self._loop: AbstractEventLoop | None = None
        self.refused = 0
        """Peers that were turned away."""

    def attach(self, loop: "AbstractEventLoop") -> None:
        """Answer on the loop."""
        self._loop = loop
        loop.add_reader(self._socket.fileno(), self._drain)
        loop.call_soon(self._drain)

    def close(self) -> None:
        """Answer no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._loop = None
        self._socket.close(linger=0)

    def _drain(self) -> None:
        for _ in range(_BURST):
            if self._loop is None or not self._socket.poll(0):
                return
            self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        if self._loop is not None:
            self._loop.call_soon(self._drain)

    def _answer(self, question: list[bytes]) -> list[bytes]:
        version, request, _domain, address = question[:4]
        if peer_user(address.decode(errors="replace")) == self._user:
            return [version, request, b"200", b"OK", str(self._user).encode(), b""]
        self.refused += 1
        logger.warning("a peer of another user was turned away: %s", address.decode(errors="replace"))
        return [version, request, b"400", b"not the user of this daemon", b"", b""]


def peer_user(address: str) -> int | None:
    """Return the uid in libzmq's address of an ipc peer (`localhost:UID:GID:PID`); None if there is none."""
    parts = address.split(":")
    return int(parts[1]) if len(parts) >= 3 and parts[1].isdigit() else None
