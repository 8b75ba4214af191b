"""A channel: reads on the loop, sends without waiting, loses its peers without losing its place."""

import asyncio

import pytest
import zmq

from tests.daemon.server.place import Peer, open_sockets, until
from voiced.server.channel import Channel, Frames


def test_what_came_before_the_loop_is_read() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            peer = Peer(endpoint.speech)
            for number in range(200):
                peer.send(b"%d" % number)
            came: list[bytes] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames.parts[0]))
            await until(lambda: len(came) == 200)
            assert came == [b"%d" % number for number in range(200)]

    asyncio.run(main())


def fill(channel: Channel, identity: bytes) -> None:
    for _ in range(10_000):
        channel.send([identity, bytes(60_000)])


def test_a_peer_that_is_gone_and_one_that_does_not_read() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            came: list[Frames] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames))
            with pytest.raises(zmq.ZMQError) as gone:
                sockets.speech.send([b"nobody", b"x"])
            assert gone.value.errno == zmq.EHOSTUNREACH
            peer = Peer(endpoint.speech)
            peer.socket.rcvhwm = 1
            peer.send(b"hello")
            await until(lambda: came)
            with pytest.raises(zmq.Again):
                fill(sockets.speech, came[0].identity)

    asyncio.run(main())


def test_a_send_that_fails_hides_no_message_that_came() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            came: list[Frames] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames))
            peer = Peer(endpoint.speech)
            peer.send(b"1")
            await until(lambda: came)
            peer.send(b"2")
            # Within one turn of the loop: what came is noticed by a send that fails, and by nothing else.
            while not sockets.speech._has_message():
                pass
            asyncio.get_running_loop().remove_reader(sockets.speech._socket.fileno())
            with pytest.raises(zmq.ZMQError):
                sockets.speech.send([b"nobody", b"x"])
            await until(lambda: len(came) == 2)

    asyncio.run(main())


def test_a_message_that_is_too_large_costs_its_sender() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            came: list[bytes] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames.parts[0]))
            bad, good = Peer(endpoint.speech), Peer(endpoint.speech)
            bad.send(bytes((1 << 20) + 1))
            good.send(b"fine")
            await until(lambda: came)
            assert came == [b"fine"]

    asyncio.run(main())


def test_dropping_peers_inside_a_message_is_safe() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            came: list[bytes] = []

            def take(channel: Channel, frames: Frames) -> None:
                came.append(frames.parts[0])
                if frames.parts[0] == b"drop":
                    channel.drop_peers()

            for channel in (sockets.speech, sockets.control):
                channel.attach(asyncio.get_running_loop(), take)
            sockets.door.attach(asyncio.get_running_loop())
            peer = Peer(endpoint.speech)
            peer.send(b"drop")
            await until(lambda: came)
            # What it sends before it has noticed is lost.

            def came_again() -> bool:
                peer.send(b"again")
                return len(came) > 1

            await until(came_again)
            assert came[:2] == [b"drop", b"again"]

    asyncio.run(main())


def test_peers_that_were_dropped_wait_until_it_accepts() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            came: list[bytes] = []
            sockets.attach(asyncio.get_running_loop(), lambda channel, frames: came.append(frames.parts[0]))
            old, other = Peer(endpoint.speech), Peer(endpoint.control)
            old.send(b"1")
            await until(lambda: came)
            sockets.guard._drop(sockets.speech, is_accepting=False)
            new = Peer(endpoint.speech)
            new.send(b"3")
            other.send(b"2")
            await until(lambda: len(came) == 2)
            sockets.speech.accept()
            sockets.speech.accept()
            await until(lambda: len(came) == 3)
            old.send(b"4")
            await until(lambda: len(came) == 4)
            assert came == [b"1", b"2", b"3", b"4"]

    asyncio.run(main())
