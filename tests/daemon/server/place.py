"""Sockets in a folder of their own, for the tests of the server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import zmq

from tests.support import temporary_home
from voiced.server.listener import open_listeners
from voiced.server.sockets import Sockets
from voiced_ipc import Endpoint, codec
from voiced_ipc import messages as m

LIMIT_S = 10.0


class Peer:
    """A client's socket, awaited by looking: the daemon under test runs on the same loop."""

    open: "list[Peer]" = []
    """Those that `open_sockets` still has to close."""

    def __init__(self, path: Path, kind: int = zmq.DEALER) -> None:
        self.open.append(self)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.linger = 0
        self.socket.connect(f"ipc://{path}")

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def ask(self, request: m.Request, payload: bytes | None = None) -> None:
        self.socket.send_multipart(codec.encode(request, payload))

    async def receive(self) -> list[bytes]:
        async with asyncio.timeout(LIMIT_S):
            while not self.socket.poll(0):
                await asyncio.sleep(0.002)
        return self.socket.recv_multipart()

    async def reply(self) -> m.Reply:
        return codec.decode_reply(await self.receive())[0]

    def close(self) -> None:
        self._context.destroy(linger=0)


@contextlib.asynccontextmanager
async def open_sockets(descriptors: int = 4096) -> AsyncIterator[tuple[Sockets, Endpoint]]:
    """The three sockets, not attached; closed at the end."""
    with temporary_home() as home:
        endpoint = home.endpoint
        sockets = Sockets(open_listeners(endpoint, {}), descriptors)
        try:
            yield sockets, endpoint
        finally:
            while Peer.open:
                Peer.open.pop().close()
            if not sockets.speech._socket.closed:
                sockets.close()


async def until(look: Callable[[], object]) -> None:
    """Wait until `look` gives something true."""
    async with asyncio.timeout(LIMIT_S):
        while not look():
            await asyncio.sleep(0.002)
