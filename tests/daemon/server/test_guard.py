"""Peers are counted and bounded; memory that they take is taken back."""

import asyncio
import signal
import socket

import pytest

from tests.daemon.server.place import Peer, open_sockets, until
from voiced.server import guard
from voiced.server.channel import Channel, Frames
from voiced.server.guard import (
    MEMORY_STEP_BYTES,
    PEER_SHARE,
    Guard,
)
from voiced.server.sockets import Sockets


def echo(channel: Channel, frames: Frames) -> None:
    channel.send([frames.identity, *frames.parts])


def attach(sockets: Sockets) -> None:
    sockets.attach(asyncio.get_running_loop(), echo)


async def echoes(peer: Peer) -> bool:
    peer.send(b"x")
    return await peer.receive() == [b"x"]


async def answers_again(peer: Peer) -> None:
    """libzmq's client comes again by itself; what it sent before it noticed is lost."""

    def ask() -> bool:
        peer.send(b"x")
        return bool(peer.socket.poll(0))

    await until(ask)


def test_a_flood_at_one_socket_leaves_the_others_alone_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REFUSE_S", 0.1)

    async def main() -> None:
        async with open_sockets(descriptors=6 * 3 * PEER_SHARE) as (sockets, endpoint):
            attach(sockets)
            control = Peer(endpoint.control)
            assert await echoes(control)
            flood = [socket.socket(socket.AF_UNIX) for _ in range(6)]
            for one in flood:
                one.connect(str(endpoint.speech))
            await until(lambda: sockets.guard.floods)
            assert sockets.guard.peers == 1
            assert await echoes(control)
            for one in flood:
                one.close()
            late = Peer(endpoint.speech)
            assert await echoes(late)
            assert await echoes(control)
            assert sockets.guard.floods == 1

    asyncio.run(main())


def test_a_flood_is_ended_at_the_cap_and_not_when_no_more_come() -> None:
    async def main() -> None:
        async with open_sockets(descriptors=6 * 3 * PEER_SHARE) as (sockets, endpoint):
            attach(sockets)
            seen: list[int] = []
            drop = sockets.guard._drop

            def count_and_drop(channel: Channel, *, is_accepting: bool) -> None:
                seen.append(sockets.guard.peers)
                drop(channel, is_accepting=is_accepting)

            sockets.guard._drop = count_and_drop  # type: ignore[method-assign]
            flood: list[socket.socket] = []
            # The loop does not turn meanwhile, libzmq's thread does.
            while sockets.guard._channels[0].monitor.poll(0) == 0 or len(flood) < 20:
                flood.append(socket.socket(socket.AF_UNIX))
                flood[-1].connect(str(endpoint.speech))
            await until(lambda: sockets.guard.floods)
            for one in flood:
                one.close()
            assert seen[0] == 6

    asyncio.run(main())


def test_peers_whose_handshake_fails_are_not_counted_for_ever() -> None:
    async def main() -> None:
        async with open_sockets(descriptors=200 * 3 * PEER_SHARE) as (sockets, endpoint):
            attach(sockets)
            for hello in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00junk", bytes(80), b"\xff"):
                for _ in range(10):
                    with socket.socket(socket.AF_UNIX) as peer:
                        peer.connect(str(endpoint.speech))
                        peer.send(hello)
            # Who comes after them is told of after them.
            assert await echoes(Peer(endpoint.speech))
            await until(lambda: sockets.guard.peers == 1)

    asyncio.run(main())


def test_below_the_cap_nobody_is_touched() -> None:
    async def main() -> None:
        async with open_sockets(descriptors=6 * 3 * PEER_SHARE) as (sockets, endpoint):
            attach(sockets)
            for _ in range(4):  # who left is not counted
                peers = [Peer(endpoint.speech) for _ in range(5)]
                assert all([await echoes(peer) for peer in peers])
                assert sockets.guard.peers == 5
                for peer in peers:
                    peer.close()
                await until(lambda: sockets.guard.peers == 0)
            assert sockets.guard.floods == 0

    asyncio.run(main())


def test_who_makes_us_work_is_looked_at_though_he_was_quiet_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a second is a quarter of a gigabyte."""
    monkeypatch.setattr(guard, "_CALM_S", 3600.0)
    monkeypatch.setattr(guard, "_NEW_S", 0.0)

    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            memory, looks = [100 << 20], list[int]()

            def weigh() -> int:
                looks.append(memory[0])
                return memory[0]

            asyncio.get_running_loop().add_signal_handler(
                signal.SIGUSR2, lambda: None
            )  # as the daemon has some
            sockets.guard = Guard((sockets.speech, sockets.control, sockets.events), 4096, weigh)
            attach(sockets)
            peer = Peer(endpoint.speech)
            assert await echoes(peer)
            await until(lambda: len(looks) >= 2)  # the next one by time is an hour away
            memory[0] += MEMORY_STEP_BYTES + 1
            await until(lambda: sum(range(10_000)) and sockets.guard.trips)  # works until it is seen
            await answers_again(peer)
            assert sockets.guard.trips == 1

    asyncio.run(main())


def test_memory_that_grows_drops_all_peers_and_they_come_back() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            memory = [100 << 20]
            sockets.guard = Guard((sockets.speech, sockets.control, sockets.events), 4096, lambda: memory[0])
            attach(sockets)
            inode = endpoint.speech.stat().st_ino
            peer = Peer(endpoint.speech)
            assert await echoes(peer)
            memory[0] += MEMORY_STEP_BYTES
            await asyncio.sleep(0)
            assert sockets.guard.trips == 0
            memory[0] += 1
            await until(lambda: sockets.guard.trips)
            await answers_again(peer)
            assert endpoint.speech.stat().st_ino == inode
            # What stays is the new measure: it does not trip for ever.
            assert sockets.guard.trips == 1
            peer.close()

    asyncio.run(main())


def test_memory_that_peers_needed_for_a_while_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            memory, trims = [100 << 20], []

            def trim() -> None:
                trims.append(memory[0])
                memory[0] = 100 << 20

            monkeypatch.setattr(guard, "trim_memory", trim)
            monkeypatch.setattr(guard, "_TRIM_S", 0.05)
            monkeypatch.setattr(guard, "_NEW_S", 0.1)
            monkeypatch.setattr(guard, "_CALM_S", 0.05)
            sockets.guard = Guard((sockets.speech,), 4096, lambda: memory[0])
            attach(sockets)
            peer = Peer(endpoint.speech)
            assert await echoes(peer)
            memory[0] += 20 << 20
            await until(lambda: trims)
            assert trims == [120 << 20]
            peer.close()
            await until(lambda: not sockets.guard._timer)
            assert len(trims) == 1

    asyncio.run(main())


def test_memory_that_is_freed_late_is_given_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            memory, trims = [100 << 20], []

            def trim() -> None:
                trims.append(memory[0])
                if len(trims) > 1:  # libzmq has come to it
                    memory[0] = 100 << 20

            monkeypatch.setattr(guard, "trim_memory", trim)
            monkeypatch.setattr(guard, "_TRIM_S", 0.05)
            monkeypatch.setattr(guard, "_TRIM_FOR_S", 0.5)
            monkeypatch.setattr(guard, "_CALM_S", 0.05)
            monkeypatch.setattr(guard, "_NEW_S", 0.05)
            sockets.guard = Guard((sockets.speech,), 4096, lambda: memory[0])
            attach(sockets)
            peer, other = Peer(endpoint.speech), Peer(endpoint.speech)
            assert await echoes(peer)
            assert await echoes(other)
            sockets.guard._alert_until = 0.0  # they are no news any more
            memory[0] += 20 << 20
            peer.close()
            await until(lambda: memory[0] == 100 << 20)
            assert len(trims) > 1
            other.close()
            await until(lambda: not sockets.guard._timer)

    asyncio.run(main())


def test_nobody_is_taken_until_what_was_dropped_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            memory = [100 << 20]
            accepting: list[bool] = []
            monkeypatch.setattr(guard, "trim_memory", lambda: accepting.append(sockets.speech._is_accepting))
            sockets.guard = Guard((sockets.speech, sockets.control), 4096, lambda: memory[0])
            attach(sockets)
            peer = Peer(endpoint.speech)
            assert await echoes(peer)
            memory[0] += MEMORY_STEP_BYTES + 1
            await until(lambda: accepting)
            assert accepting[0] is False
            await answers_again(peer)

    asyncio.run(main())


def test_memory_of_our_own_doing_is_no_reason() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            memory = [100 << 20]
            sockets.guard = Guard((sockets.speech,), 4096, lambda: memory[0])
            attach(sockets)
            peer = Peer(endpoint.speech)
            assert await echoes(peer)
            memory[0] *= 3
            sockets.guard.settle()
            sockets.guard._look()
            assert sockets.guard.trips == 0
            peer.close()

    asyncio.run(main())


def test_without_peers_nothing_is_watched() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            attach(sockets)
            assert sockets.guard._timer is None
            peer = Peer(endpoint.events)
            await until(lambda: sockets.guard._timer)
            peer.close()
            await until(lambda: not sockets.guard._timer)

    asyncio.run(main())
