"""The server: what came over the sockets is decoded, handed to the desk, and answered. No domain rule in it.

Every request gets an answer, also the unknown and the malformed one. This is the one place that turns errors into
`ErrorReply`.
"""

import asyncio
import logging
from collections import deque
from typing import NamedTuple, Protocol

import zmq

from voiced.jobs.sinks import Sent
from voiced.server.channel import Channel, Frames
from voiced.server.sockets import Sockets
from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.errors import InternalError, JobCancelled, NotServed, QueueFull, VoicedError

logger = logging.getLogger(__name__)

_MAX_TASKS = 1024
"""Requests that wait at once; those that are answered without waiting do not count."""
_MAX_UNSENT = 1024
"""Replies that wait for slow peers, all together."""
_RETRY_S = 0.05
_REPLY_ATTEMPTS = 100
"""Five seconds: longer than a client that lives lets its queue lie."""


class SocketPeer:
    """Who asked: an identity on a channel."""

    def __init__(self, channel: Channel, identity: bytes) -> None:
        self._channel = channel
        self._identity = identity

    def send(self, reply: m.Reply, payload: bytes | memoryview | None = None) -> Sent:
        """Send a reply without waiting."""
        try:
            self._channel.send([self._identity, *codec.encode(reply, payload)])
        except zmq.Again:
            return Sent.FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return Sent.GONE
            raise
        return Sent.YES

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SocketPeer) and (other._channel, other._identity) == (
            self._channel,
            self._identity,
        )

    def __hash__(self) -> int:
        return hash((self._channel, self._identity))


class _Backlog(NamedTuple):
    """Replies for a peer that is slow to read, oldest first."""

    replies: deque[m.Reply]
    attempts: int
    """How often the first one is tried yet."""


class Desk(Protocol):
    """Where requests are served."""

    def answer(self, request: m.Request) -> m.Reply | None:
        """Return the reply where that needs no waiting; None = ask `serve`."""

    async def serve(self, request: m.Request, payload: bytes, peer: SocketPeer) -> m.Reply | None:
        """Return the reply; None = it answers by itself."""


class Server:
    """Answers what comes over the sockets.

    Args:
        sockets: Open already: whoever connected early is answered now.
        desk: Serves the requests.
    """

    def __init__(self, sockets: Sockets, desk: Desk) -> None:
        self._sockets = sockets
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()
        self._sequence = 0
        self._backlogs: dict[SocketPeer, _Backlog] = {}
        self._unsent = 0
        """Replies in all backlogs."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to answer."""
        self._sockets.attach(loop, self._received)

    def publish(self, event: type[m.Event], **fields: object) -> None:
        """Tell everybody who listens."""
        self._sequence += 1
        made = event(sequence=self._sequence, **fields)
        try:
            self._sockets.events.send([*codec.encode_event(made)])
        except zmq.ZMQError as error:
            logger.debug("an event was lost: %s", error)

    async def stop(self) -> None:
        """Answer what is being served, then close everything; the paths go too."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in list(self._tasks):
            task.cancel()
        # Give libzmq's thread a moment to put the last replies onto the wire: linger is 0.
        await asyncio.sleep(0.05)
        self._sockets.close()

    # -- one message ----------------------------------------------------------------------------------

    def _received(self, channel: Channel, frames: Frames) -> None:
        peer = SocketPeer(channel, frames.identity)
        reply: m.Reply | None
        try:
            request, payload = codec.decode_request(frames.parts)
            self._check_channel(channel, request)
            reply = self._desk.answer(request)
        except VoicedError as error:
            reply = _error_reply(codec.request_id_of(frames.parts), error)
        except Exception:
            logger.exception("a request failed")
            reply = _fault(codec.request_id_of(frames.parts))
        if reply is None and len(self._tasks) >= _MAX_TASKS:
            reply = _error_reply(request.request_id, QueueFull("too many requests at once; ask again"))
        if reply is not None:
            self._reply(peer, reply)
            return
        # A task costs as much as the whole of a quick answer: only for those who have to wait.
        task = asyncio.get_running_loop().create_task(self._serve(request, payload, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_channel(self, channel: Channel, request: m.Request) -> None:
        if channel is self._sockets.control and not request.on_control:
            raise NotServed(f"{m.tag_of(type(request))} belongs to voiced.sock, not to control.sock")
        if channel is self._sockets.speech and not request.on_speech:
            raise NotServed(f"{m.tag_of(type(request))} belongs to control.sock, not to voiced.sock")

    async def _serve(self, request: m.Request, payload: bytes, peer: SocketPeer) -> None:
        try:
            reply = await self._desk.serve(request, payload, peer)
        except JobCancelled as error:
            reply = _error_reply(request.request_id, error)
        except VoicedError as error:
            # Who is told to come again comes often: that must not wash everything else out of the log.
            level = logging.DEBUG if isinstance(error, QueueFull) else logging.INFO
            logger.log(level, "%s refused: %s: %s", m.tag_of(type(request)), error.code.value, error.message)
            reply = _error_reply(request.request_id, error)
        except Exception:
            logger.exception("%s failed", m.tag_of(type(request)))
            reply = _fault(request.request_id)
        if reply is not None:
            self._reply(peer, reply)

    def _reply(self, peer: SocketPeer, reply: m.Reply) -> None:
        """Send a reply; to a peer that is slow to read again and again for a while, to one that never reads no more."""
        backlog = self._backlogs.get(peer)
        if backlog is None:
            if peer.send(reply) is not Sent.FULL:
                return
            backlog = self._backlogs[peer] = _Backlog(deque(), _REPLY_ATTEMPTS)
            asyncio.get_running_loop().call_later(_RETRY_S, self._reply_again, peer)
        if self._unsent < _MAX_UNSENT:
            backlog.replies.append(reply)
            self._unsent += 1

    def _reply_again(self, peer: SocketPeer) -> None:
        """One try for each peer, not for each reply: many who never read must cost the others nothing."""
        replies, attempts = self._backlogs.pop(peer)
        sent = Sent.YES
        while replies and (sent := peer.send(replies[0])) is Sent.YES:
            attempts = _REPLY_ATTEMPTS
            replies.popleft()
            self._unsent -= 1
        if sent is Sent.FULL and attempts > 1:
            self._backlogs[peer] = _Backlog(replies, attempts - 1)
            asyncio.get_running_loop().call_later(_RETRY_S, self._reply_again, peer)
        else:
            self._unsent -= len(replies)


def _fault(request_id: str) -> m.ErrorReply:
    return _error_reply(request_id, InternalError("a fault inside voiced; its log has the details"))


def _error_reply(request_id: str, error: VoicedError) -> m.ErrorReply:
    return m.ErrorReply(request_id=request_id, code=error.code.value, message=error.message)
