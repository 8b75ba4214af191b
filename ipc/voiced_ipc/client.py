"""The blocking client: what programs, the command line and the tray use to talk to the daemon.

One `Client` belongs to one thread. It speaks over up to three sockets: speech, control and events, each opened
when first needed. Every call has a limit in time, and a missing daemon is an error at once, not a wait.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import zmq

from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.connection import LINGER_MS, Connection, ConnectionLost, probe
from voiced_ipc.endpoint import CONTROL, EVENTS, SPEECH, Endpoint, find_endpoint
from voiced_ipc.errors import (
    InvalidRequest,
    JobCancelled,
    ProtocolError,
    RequestRejected,
    RequestTimeout,
    error_for,
)
from voiced_ipc.messages import new_id
from voiced_ipc.stream import SpeechStream

if TYPE_CHECKING:
    from pathlib import Path

_Reply = TypeVar("_Reply", bound=m.Reply)

DEFAULT_TIMEOUT_S = 10.0
_ATTEMPTS = 3
"""Times that a request is sent when the connection is lost and the daemon lives, or lives again."""


class Client:
    """A connection to the daemon of this user; a context manager.

    Args:
        endpoint: Where the daemon listens; None = this user's place.
        timeout_s: Greatest wait for one answer, in seconds.

    Raises (every call):
        DaemonUnavailable: If nothing listens.
        RequestTimeout: If no answer came in time.
        VoicedError: The error that the daemon answered, as its own class.
    """

    def __init__(self, endpoint: Endpoint | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._endpoint = endpoint or find_endpoint()
        self._timeout_s = timeout_s
        self._context = zmq.Context()
        self._context.set(zmq.BLOCKY, 0)
        self._connections: dict[str, Connection] = {}
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        # Requests that somebody still reads, with what came for them meanwhile; the rest is dropped.
        self._open: dict[str, list[tuple[m.Reply, bytes]]] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all sockets; running streams end."""
        self._context.destroy(linger=LINGER_MS)
        self._connections.clear()
        self._sockets.clear()

    # -- speech ---------------------------------------------------------------------------------------

    def speak(
        self, text: str, *, request_id: str = "", timeout_s: float | None = None, **options: Any
    ) -> SpeechStream:
        """Return the stream of `text`: iterate over it for PCM, leave it early to cancel.

        Args:
            text: What to say; at most `MAX_TEXT_BYTES` in UTF-8.
            request_id: Of `new_id`: to know the job's id before it is asked for.
            timeout_s: Greatest wait for one message of the stream.
            options: Fields of `Synthesize`: voice, language, model, speed ...
        """
        payload = _text_payload(text)
        request = m.Synthesize(request_id=request_id or new_id(), output=m.Output.STREAM, **options)
        connection = self._send(request, payload)
        return SpeechStream(self, request, connection, timeout_s or self._timeout_s)

    def synthesize(self, text: str, **options: Any) -> tuple[bytes, m.Accepted]:
        """Return the whole audio of `text` as PCM s16le, and what was accepted."""
        with self.speak(text, **options) as stream:
            audio = b"".join(stream)
            return audio, stream.accepted

    def submit_text(self, text: str, *, request_id: str = "", **options: Any) -> m.Accepted:
        """Return the durable job that makes a file of `text`; the same `request_id` gives the same job."""
        payload = _text_payload(text)
        request = m.Synthesize(request_id=request_id or new_id(), output=m.Output.FILE, **options)
        return self._ask(request, m.Accepted, payload)

    def submit_file(
        self, path: "Path", incoming: "Path", *, request_id: str = "", **options: Any
    ) -> m.Accepted:
        """Return the durable job that makes audio of a document; it is copied, the original stays.

        Args:
            path: The document.
            incoming: The daemon's incoming folder, as `Status.incoming_folder` tells.
            request_id: Of the job: `cancel` ends it even before it is accepted; empty = a new one.
            options: Fields of `Synthesize`.

        Raises:
            JobCancelled: If it was cancelled meanwhile.
            VoicedError: If it is refused.
        """
        request_id = request_id or new_id()
        target = incoming / request_id
        _copy(path, target)
        fields = {"name": path.name, **options}
        request = m.Synthesize(request_id=request_id, output=m.Output.FILE, incoming=request_id, **fields)
        try:
            return self._ask(request, m.Accepted)
        except (RequestRejected, JobCancelled):
            target.unlink(missing_ok=True)
            raise

    def cancel(self, job_id: str) -> str:
        """Cancel a job and return what the daemon said."""
        return self._ask(m.Cancel(request_id=new_id(), job_id=job_id), m.Acknowledged).message

    # -- reading --------------------------------------------------------------------------------------

    def status(self) -> m.Status:
        """Return the whole truth in one document."""
        return self._ask(m.GetStatus(request_id=new_id()), m.Status)

    def job(self, job_id: str) -> m.JobInfo:
        """Return one job."""
        return self._ask(m.GetJob(request_id=new_id(), job_id=job_id), m.JobReply).job

    def jobs(
        self, states: list[m.JobState] | None = None, *, limit: int | None = None
    ) -> Iterator[m.JobInfo]:
        """Return jobs, newest first, read a page at a time."""
        before, left = "", limit
        while left is None or left > 0:
            size = 200 if left is None else min(left, 200)
            page = self._ask(
                m.ListJobs(request_id=new_id(), states=states or [], before=before, limit=size), m.Jobs
            )
            yield from page.jobs
            before = page.next
            if not before:
                return
            if left is not None:
                left -= len(page.jobs)

    def voices(self, model: str = "", language: str = "") -> Iterator[m.VoiceInfo]:
        """Return the voices, read a page at a time."""
        after = ""
        while True:
            page = self._ask(
                m.ListVoices(request_id=new_id(), model=model, language=language, after=after, limit=200),
                m.Voices,
            )
            yield from page.voices
            after = page.next
            if not after:
                return

    def estimate_memory(self, model: str = "", *, chars: int = 1000) -> m.MemoryEstimate:
        """Return whether a text of this length fits into memory."""
        return self._ask(m.EstimateMemory(request_id=new_id(), model=model, chars=chars), m.MemoryEstimate)

    def tips(self) -> list[m.TipInfo]:
        """Return what helps on the daemon's machine, topic by topic."""
        return self._ask(m.GetTips(request_id=new_id()), m.Tips).tips

    def cache_stats(self) -> list[m.CacheInfo]:
        """Return the caches with their statistics."""
        return self._ask(m.GetCacheStats(request_id=new_id()), m.Caches).caches

    def cache_entries(self, cache: str = "") -> Iterator[m.CacheEntry]:
        """Return the entries of a cache, or of all, last used first, read a page at a time."""
        after = ""
        while True:
            request = m.ListCache(request_id=new_id(), cache=cache, after=after, limit=200)
            page = self._ask(request, m.CacheEntries)
            yield from page.entries
            after = page.next
            if not after:
                return

    def models(self) -> list[m.ModelInfo]:
        """Return the models."""
        return self._ask(m.ListModels(request_id=new_id()), m.Models).models

    def explain_device(self, limit: int = 20) -> m.DeviceExplanation:
        """Return the device lock and the last decisions."""
        return self._ask(m.ExplainDevice(request_id=new_id(), limit=limit), m.DeviceExplanation)

    # -- changing the daemon --------------------------------------------------------------------------

    def control(self, request: m.Request) -> m.Acknowledged:
        """Send a request that changes the daemon (see `messages`) over the control socket."""
        return self._ask(request, m.Acknowledged)

    def pause(self, job_id: str | None = None, *, is_drop: bool = False) -> m.Acknowledged:
        """Hold one job, the drop folder, or the whole daemon."""
        return self.control(m.Pause(request_id=new_id(), job_id=job_id, is_drop=is_drop))

    def resume(self, job_id: str | None = None, *, is_drop: bool = False) -> m.Acknowledged:
        """Go on with one job, with the drop folder, or with the whole daemon."""
        return self.control(m.Resume(request_id=new_id(), job_id=job_id, is_drop=is_drop))

    def retry(self, job_id: str) -> m.Acknowledged:
        """Go on with a failed job where it stopped."""
        return self.control(m.RetryJob(request_id=new_id(), job_id=job_id))

    def lock_device(
        self, device: str, *, for_s: float | None = None, until_pid: int | None = None
    ) -> m.Acknowledged:
        """Say on which device everything runs."""
        return self.control(
            m.SetDeviceLock(request_id=new_id(), device=device, for_s=for_s, until_pid=until_pid)
        )

    def add_voice(
        self, voice: str, recordings: "Sequence[tuple[Path, str]]" = (), **options: Any
    ) -> m.VoiceReply:
        """Return the voice made of recordings, or of a description; they are copied, the originals stay.

        Args:
            voice: Its name.
            recordings: Each with what is said in it; an empty transcript = not known.
            options: Fields of `AddVoice`: description, language, replace.
        """
        from pathlib import Path

        incoming = Path(self.status().incoming_folder)
        copies: list[Path] = []
        try:
            references = []
            for path, transcript in recordings:
                copy = incoming / new_id()
                _copy(path, copy)
                copies.append(copy)
                references.append(m.VoiceReference(incoming=copy.name, transcript=transcript))
            request = m.AddVoice(request_id=new_id(), voice=voice, references=references, **options)
            return self._ask(request, m.VoiceReply)
        finally:
            for copy in copies:  # gone where the daemon took it
                copy.unlink(missing_ok=True)

    def remove_voice(self, voice: str) -> m.Acknowledged:
        """Remove a voice that was added."""
        return self.control(m.RemoveVoice(request_id=new_id(), voice=voice))

    def clear_cache(self, cache: str = "") -> m.Acknowledged:
        """Empty a cache, or all; what is needed again is made again."""
        return self.control(m.ClearCache(request_id=new_id(), cache=cache))

    def reload(self) -> m.Acknowledged:
        """Make the daemon read its configuration again."""
        return self.control(m.Reload(request_id=new_id()))

    def shutdown(self, *, restart: bool = False) -> m.Acknowledged:
        """Stop the daemon."""
        return self.control(m.Shutdown(request_id=new_id(), restart=restart))

    # -- events ---------------------------------------------------------------------------------------

    def events(self, *kinds: type[m.Event], timeout_s: float | None = None) -> Iterator[m.Event]:
        """Return events as they happen; ends after `timeout_s` without one. None waits for ever.

        Args:
            kinds: Only these; none = all.
            timeout_s: Greatest silence, in seconds.
        """
        subscriber = self._socket(self._endpoint.socket(EVENTS), zmq.SUB)
        for kind in kinds or m.EVENTS:
            subscriber.subscribe(m.tag_of(kind).encode())
        while subscriber.poll(None if timeout_s is None else max(0, int(timeout_s * 1000))):
            with contextlib.suppress(ProtocolError):  # an event of a newer daemon
                event = codec.decode_event(subscriber.recv_multipart())
                if not kinds or isinstance(event, kinds):  # an earlier call may have asked for others
                    yield event

    # -- the wire -------------------------------------------------------------------------------------

    def _ask(self, request: m.Request, kind: type[_Reply], payload: bytes | None = None) -> _Reply:
        """Every request but a stream may be repeated: the daemon knows it by its id, or it changes nothing twice."""
        connection = self._send(request, payload)
        try:
            for attempt in range(_ATTEMPTS):
                try:
                    reply, _ = self.receive(connection, request.request_id, self._timeout_s)
                    while isinstance(reply, m.Progress):  # a model is loaded first: it is being worked on
                        reply, _ = self.receive(connection, request.request_id, self._timeout_s)
                    break
                except ConnectionLost:
                    probe(connection.path)
                    if attempt == _ATTEMPTS - 1:
                        raise
                    self.transmit(connection, request, payload)
        finally:
            self.forget(request.request_id)
        if isinstance(reply, kind):
            return reply
        raise ProtocolError(f"the daemon answered {type(reply).__name__} to {type(request).__name__}")

    def _send(self, request: m.Request, payload: bytes | None = None) -> Connection:
        path = self._endpoint.socket(SPEECH if request.on_speech else CONTROL)
        connection = self._connections.get(path)
        if connection is None:
            connection = self._connections[path] = Connection(self._context, path, self._timeout_s)
        elif not self._open:
            connection.forget_losses()
        self._open[request.request_id] = []
        self.transmit(connection, request, payload)
        return connection

    def transmit(self, connection: Connection, request: m.Request, payload: bytes | None = None) -> None:
        """Send one request without waiting for an answer (the credit and the cancel of a stream)."""
        connection.send(codec.encode(request, payload))

    def receive(self, connection: Connection, request_id: str, timeout_s: float) -> tuple[m.Reply, bytes]:
        """Return the next reply to `request_id`; replies to others wait for their own reader.

        Raises:
            VoicedError: What the daemon answered, RequestTimeout, or ConnectionLost.
        """
        reply, payload = self._next_reply(connection, request_id, timeout_s)
        if isinstance(reply, m.ErrorReply):
            raise error_for(reply.code, reply.message)
        return reply, payload

    def _next_reply(self, connection: Connection, request_id: str, timeout_s: float) -> tuple[m.Reply, bytes]:
        waiting = self._open.get(request_id)
        if waiting:
            return waiting.pop(0)
        end = time.monotonic() + timeout_s
        while (frames := connection.receive(end - time.monotonic())) is not None:
            reply, payload = codec.decode_reply(frames)
            if reply.request_id in (request_id, ""):
                return reply, payload
            if reply.request_id in self._open:
                self._open[reply.request_id].append((reply, payload))
        raise RequestTimeout(
            f"no answer from the daemon within {timeout_s:g} s; `voiced status` tells whether it lives"
        )

    def forget(self, request_id: str) -> None:
        """Drop what still waits for a request that nobody reads any more."""
        self._open.pop(request_id, None)

    def _socket(self, path: str, kind: int) -> "zmq.Socket[bytes]":
        """A socket for events; those for requests are `Connection`s."""
        found = self._sockets.get(path)
        if found is not None:
            return found
        probe(path)
        made: zmq.Socket[bytes] = self._context.socket(kind)
        made.linger = LINGER_MS
        made.connect(f"ipc://{path}")
        self._sockets[path] = made
        return made


def _copy(source: "Path", target: "Path") -> None:
    """Copy a document where the daemon finds it; nothing is left behind when that fails."""
    import shutil

    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as writer, source.open("rb") as reader:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _text_payload(text: str) -> bytes:
    payload = text.encode()
    if len(payload) > m.MAX_TEXT_BYTES:
        raise InvalidRequest(
            f"the text has {len(payload)} bytes; one request takes {m.MAX_TEXT_BYTES}: "
            "drop it as a file instead (`voiced drop FILE`)"
        )
    return payload
