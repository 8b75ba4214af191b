"""A stream of speech as the client reads it: an iterator of PCM that grants credit as it goes."""

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from voiced_ipc import messages as m
from voiced_ipc.connection import Connection
from voiced_ipc.errors import ProtocolError, RequestTimeout, VoicedError

if TYPE_CHECKING:
    from voiced_ipc.client import Client


class SpeechStream:
    """The audio of one `Synthesize` request, chunk by chunk; a context manager.

    Iterating yields PCM s16le, mono, at `accepted.sample_rate_hz`. Leaving the context before the end cancels
    the job. Credit is granted again whenever half of what was allowed has been read, so the daemon never
    sends more than `Synthesize.credit_bytes` ahead of the reader.
    """

    def __init__(
        self, client: "Client", request: m.Synthesize, connection: Connection, timeout_s: float
    ) -> None:
        self._client = client
        self._request = request
        self._connection = connection
        self._timeout_s = timeout_s
        self._accepted: m.Accepted | None = None
        self._done: m.Done | None = None
        self._is_over = False
        self._read_bytes = 0
        self.progress: m.Progress | None = None
        """The last progress that came; None before the first."""

    def __enter__(self) -> "SpeechStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    @property
    def accepted(self) -> m.Accepted:
        """What the daemon accepted; waits for it.

        Raises:
            VoicedError: If the request was refused.
        """
        while self._accepted is None:
            reply, _ = self._receive()
            if isinstance(reply, m.Progress):
                self.progress = reply
            elif isinstance(reply, m.Accepted):
                self._accepted = reply
            else:
                raise ProtocolError(f"{type(reply).__name__} came before Accepted")
        return self._accepted

    @property
    def job_id(self) -> str:
        """Of the job, known before it is accepted: `Client.cancel` takes it at any time."""
        return self._request.request_id

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes: it has ended, failed or was left."""
        return self._is_over

    @property
    def done(self) -> m.Done | None:
        """The last message of the stream; None before its end."""
        return self._done

    def __iter__(self) -> Iterator[bytes]:
        _ = self.accepted
        while not self._is_over:
            reply, payload = self._receive()
            if isinstance(reply, m.AudioChunk):
                yield payload
                self._grant(len(payload))
            elif isinstance(reply, m.Progress):
                self.progress = reply
            elif isinstance(reply, m.Done):
                self._done = reply
                self._end()

    def cancel(self) -> None:
        """Stop the stream; does nothing after its end."""
        if self._is_over:
            return
        self._end()
        cancel = m.Cancel(request_id=m.new_id(), job_id=self._request.request_id)
        self._client.transmit(self._connection, cancel)

    def _receive(self) -> tuple[m.Reply, bytes]:
        try:
            return self._client.receive(self._connection, self._request.request_id, self._timeout_s)
        except RequestTimeout:
            self.cancel()
            raise
        except VoicedError:
            self._end()
            raise

    def _end(self) -> None:
        self._is_over = True
        self._client.forget(self._request.request_id)

    def _grant(self, read_bytes: int) -> None:
        self._read_bytes += read_bytes
        if self._read_bytes * 2 >= self._request.credit_bytes:
            job_id = self._request.request_id
            self._client.transmit(
                self._connection,
                m.Credit(request_id=m.new_id(), job_id=job_id, credit_bytes=self._read_bytes),
            )
            self._read_bytes = 0
