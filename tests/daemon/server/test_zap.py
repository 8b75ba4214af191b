"""The door lets in the user of the daemon and nobody else."""

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest
import zmq

from tests.daemon.server.place import LIMIT_S, Peer, open_sockets, until
from tests.support import need
from voiced.server.zap import peer_user

_STRANGER = """
    import os, sys, zmq
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    peer = zmq.Context().socket(zmq.DEALER)
    peer.linger = 0
    peer.connect("ipc://" + sys.argv[1])
    peer.send(b"let me in")
    sys.stdin.read()
    os._exit(0)
"""


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("localhost:1000:1000:77", 1000),
        (":0:0:1", 0),
        ("127.0.0.1", None),
        ("", None),
        ("a:b:c", None),
        ("a:1", None),
    ],
)
def test_the_uid_in_an_address(address: str, user: int | None) -> None:
    assert peer_user(address) == user


def test_our_own_peers_come_in() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            came: list[list[bytes]] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames.parts))
            peer = Peer(endpoint.speech)
            peer.send(b"hello")
            await until(lambda: came)
            assert came == [[b"hello"]]
            assert sockets.door.refused == 0
            peer.close()

    asyncio.run(main())


def test_what_libzmq_tells_of_another_user_is_refused() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            sockets.door._user = os.getuid() + 1  # so that we are the stranger
            came: list[object] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames))
            peer = Peer(endpoint.speech)
            peer.send(b"hello")
            await until(lambda: sockets.door.refused)
            assert came == []
            peer.close()

    asyncio.run(main())


@pytest.mark.process
@pytest.mark.root
def test_another_user_is_turned_away() -> None:
    need("root", os.getuid() == 0, "needs root, to become another user")

    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            # Were the folder ever opened by mistake, the door still holds.
            for path in (endpoint.folder.parent, endpoint.folder):
                path.chmod(0o755)
            endpoint.speech.chmod(0o666)
            came: list[object] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames))
            stranger = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(_STRANGER), str(endpoint.speech)],
                stdin=subprocess.PIPE,
            )
            try:
                await until(lambda: sockets.door.refused)
                peer = Peer(endpoint.speech)
                peer.send(b"ours")
                await until(lambda: came)
                assert len(came) == 1
                peer.close()
            finally:
                stranger.communicate(timeout=LIMIT_S)

    asyncio.run(main())


def test_a_domain_without_a_door_lets_nobody_in() -> None:
    # ZAP_ENFORCE_DOMAIN: should the door ever be missing, the sockets are shut and not open.
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            sockets.door.close()
            came: list[object] = []
            sockets.speech.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames))
            peer = Peer(endpoint.speech)
            monitor = peer.socket.get_monitor_socket(
                zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED
            )
            assert isinstance(monitor, zmq.Socket)
            peer.send(b"hello")
            await until(lambda: monitor.poll(0))
            assert came == []
            peer.socket.disable_monitor()
            monitor.close(linger=0)
            peer.close()
            sockets.speech.attach(asyncio.get_running_loop())

    asyncio.run(main())
