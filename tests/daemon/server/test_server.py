"""Every message gets an answer, also the broken one; errors keep their class."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgpack
import pytest
import zmq

from tests.daemon.server.place import Peer, open_sockets
from voiced.server.server import Server, SocketPeer
from voiced_ipc import Endpoint, codec
from voiced_ipc import messages as m
from voiced_ipc.errors import JobCancelled, QueueFull

TAG = m.PROTOCOL_TAG


class Desk:
    """Fails in every way that a desk can."""

    def answer(self, request: m.Request) -> m.Reply | None:
        if isinstance(request, m.GetStatus):
            raise RuntimeError("a bug")
        if isinstance(request, m.GetJob):
            raise QueueFull("try later")
        if isinstance(request, m.ListModels):
            return m.Models(request_id=request.request_id, models=[])
        return None

    async def serve(self, request: m.Request, payload: bytes, peer: SocketPeer) -> m.Reply | None:
        await asyncio.sleep(0)
        if isinstance(request, m.ListJobs):
            raise RuntimeError("a bug")
        if isinstance(request, m.ListVoices):
            raise QueueFull("try later")
        if isinstance(request, m.GetMetrics):
            raise JobCancelled("somebody asked")
        if isinstance(request, m.Synthesize):
            peer.send(m.AudioChunk(request_id=request.request_id, job_id="j", sequence=0), payload)
            return None
        return m.Acknowledged(request_id=request.request_id, message="done")


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[tuple[Server, Endpoint]]:
    async with open_sockets() as (sockets, endpoint):
        made = Server(sockets, Desk())
        made.start(asyncio.get_running_loop())
        yield made, endpoint
        await made.stop()


def talk(play: Callable[[Peer], Awaitable[None]], on: str = "speech") -> None:
    async def main() -> None:
        async with server() as (_, endpoint):
            peer = Peer(getattr(endpoint, on))
            try:
                await play(peer)
            finally:
                peer.close()

    asyncio.run(main())


def header(**fields: object) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return packed


ID = "a" * 22


@pytest.mark.parametrize(
    ("frames", "code", "request_id"),
    [
        ([b"hello"], "malformed-message", ""),
        ([b""], "malformed-message", ""),
        ([b"GET / HTTP/1.1\r\n"], "malformed-message", ""),
        ([TAG], "malformed-message", ""),
        ([TAG, b"\xc1"], "malformed-message", ""),
        ([TAG, header(type="get-status")], "malformed-message", ""),
        ([TAG, header(type="get-status", request_id="short")], "malformed-message", "short"),
        ([TAG, header(type="get-job", request_id=ID, job_id=5)], "malformed-message", ID),
        ([TAG, header(type="get-status", request_id=ID), b"", b""], "malformed-message", ID),
        ([TAG, header(type="fly", request_id=ID)], "unknown-message", ID),
        ([b"voiced/99", header(type="get-status", request_id=ID)], "version-mismatch", ID),
        ([TAG, header(type="get-status", request_id=ID)], "internal-error", ID),
        ([TAG, header(type="get-job", request_id=ID, job_id=ID)], "queue-full", ID),
        ([TAG, header(type="list-jobs", request_id=ID)], "internal-error", ID),
        ([TAG, header(type="list-voices", request_id=ID)], "queue-full", ID),
        ([TAG, header(type="get-metrics", request_id=ID)], "job-cancelled", ID),
        ([TAG, header(type="shutdown", request_id=ID)], "not-served", ID),
    ],
)
def test_every_message_is_answered(frames: list[bytes], code: str, request_id: str) -> None:
    async def play(peer: Peer) -> None:
        peer.send(*frames)
        reply = await peer.reply()
        assert isinstance(reply, m.ErrorReply)
        assert (reply.code, reply.request_id) == (code, request_id)
        assert reply.message
        peer.ask(m.Cancel(request_id=ID, job_id=ID))  # and it goes on
        assert isinstance(await peer.reply(), m.Acknowledged)

    talk(play)


def test_a_fault_tells_nothing_of_its_inside() -> None:
    async def play(peer: Peer) -> None:
        for request in (m.GetStatus(request_id=ID), m.ListJobs(request_id=ID)):
            peer.ask(request)
            reply = await peer.reply()
            assert isinstance(reply, m.ErrorReply)
            assert "a bug" not in reply.message

    talk(play)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (m.Shutdown(request_id=ID), ""),
        (m.Cancel(request_id=ID, job_id=ID), ""),
        (m.Synthesize(request_id=ID), "not-served"),
        (m.Credit(request_id=ID, job_id=ID, credit_bytes=1), "not-served"),
    ],
)
def test_what_belongs_to_the_control_socket(request_: m.Request, code: str) -> None:
    async def play(peer: Peer) -> None:
        peer.ask(request_)
        reply = await peer.reply()
        assert getattr(reply, "code", "") == code

    talk(play, on="control")


def test_a_handler_may_answer_by_itself() -> None:
    async def play(peer: Peer) -> None:
        peer.ask(m.Synthesize(request_id=ID), b"text")
        frames = await peer.receive()
        reply, payload = codec.decode_reply(frames)
        assert isinstance(reply, m.AudioChunk)
        assert payload == b"text"

    talk(play)


def test_a_quick_answer_needs_no_task() -> None:
    async def play(peer: Peer) -> None:
        peer.ask(m.ListModels(request_id=ID))
        assert await peer.reply() == m.Models(request_id=ID, models=[])

    talk(play)


def test_events_go_to_those_who_listen_and_are_counted() -> None:
    async def main() -> None:
        async with server() as (made, endpoint):
            peer = Peer(endpoint.events, zmq.SUB)
            assert isinstance(peer.socket, zmq.Socket)
            peer.socket.subscribe(b"pause-changed")
            sequences: list[int] = []
            while len(sequences) < 2:  # until the subscription has arrived
                made.publish(m.Stopping, reason="not asked for")
                made.publish(m.PauseChanged, is_paused=True)
                await asyncio.sleep(0.005)
                while peer.socket.poll(0):
                    event = codec.decode_event(peer.socket.recv_multipart())
                    assert isinstance(event, m.PauseChanged)
                    sequences.append(event.sequence)
            assert all(sequence % 2 == 0 for sequence in sequences)
            assert sequences == sorted(set(sequences))
            peer.close()

    asyncio.run(main())


def test_a_peer_that_reads_late_gets_every_reply_in_order() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):

            class Wordy(Desk):
                def answer(self, request: m.Request) -> m.Reply | None:
                    return m.Acknowledged(request_id=request.request_id, message="x" * 60_000)

            made = Server(sockets, Wordy())
            made.start(asyncio.get_running_loop())
            late, other = Peer(endpoint.speech), Peer(endpoint.speech)
            late.socket.rcvhwm = 1
            ids = [f"{number:022}" for number in range(300)]
            for request_id in ids:
                late.ask(m.GetStatus(request_id=request_id))
            async with asyncio.timeout(10.0):
                while not made._backlogs or made._unsent < 150:
                    await asyncio.sleep(0.002)
            other.ask(m.GetStatus(request_id=ID))
            assert (await other.reply()).request_id == ID
            assert [(await late.reply()).request_id for _ in ids] == ids
            async with asyncio.timeout(10.0):
                while made._backlogs:
                    await asyncio.sleep(0.002)
            assert made._unsent == 0
            await made.stop()

    asyncio.run(main())


def test_what_is_being_served_is_answered_at_the_end() -> None:
    async def main() -> None:
        async with open_sockets() as (sockets, endpoint):
            begun = asyncio.Event()

            class Slow(Desk):
                def answer(self, request: m.Request) -> m.Reply | None:
                    return None

                async def serve(self, request: m.Request, payload: bytes, peer: SocketPeer) -> m.Reply:
                    begun.set()
                    await asyncio.sleep(0.02)
                    return m.Acknowledged(request_id=request.request_id)

            made = Server(sockets, Slow())
            made.start(asyncio.get_running_loop())
            peer = Peer(endpoint.speech)
            peer.ask(m.GetStatus(request_id=ID))
            await begun.wait()
            await made.stop()
            assert isinstance(await peer.reply(), m.Acknowledged)
            assert not endpoint.speech.exists()
            peer.close()

    asyncio.run(main())
