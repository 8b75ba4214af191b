"""A stream as its reader sees it: audio, credit, progress, the end; left early it is cancelled."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.daemon.jobs.made import make_job
from tests.ipc.router import Answer, Router
from tests.support import wait_for
from tests.told import told_accepted
from voiced.jobs.run import describe_job
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import EngineCrashed, ProtocolError, RequestTimeout, UnknownVoice

Connect = Callable[..., tuple[Client, Router]]
INFO = describe_job(make_job())


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[tuple[Client, Router]] = []

    def start(answer: Answer, timeout_s: float = 5.0) -> tuple[Client, Router]:
        router = Router(Path(folder) / "run", answer)
        opened.append((Client(router.endpoint, timeout_s=timeout_s), router))
        return opened[-1]

    with TemporaryDirectory(prefix="vc-", dir="/tmp") as folder:
        yield start
        for client, router in opened:
            client.close()
            router.close()


class Speaker:
    """Sends `total` bytes as credit allows, then the end."""

    def __init__(self, total: int, chunk: int = 10) -> None:
        self._left = total
        self._chunk = chunk
        self._credit = 0
        self._sequence = 0
        self.greatest_ahead = 0

    def __call__(self, request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        if isinstance(request, m.Synthesize):
            self._id = request.request_id
            router.reply(to, told_accepted(self._id))
            router.reply(
                to, m.Progress(request_id=self._id, job_id=self._id, segments=3, segments_done=1, audio_s=0.5)
            )
            self._credit = request.credit_bytes
        elif isinstance(request, m.Credit):
            assert request.job_id == self._id
            self._credit += request.credit_bytes
        else:
            return
        self.greatest_ahead = max(self.greatest_ahead, self._credit)
        while self._left and self._credit >= self._chunk:
            self._left -= self._chunk
            self._credit -= self._chunk
            reply = m.AudioChunk(request_id=self._id, job_id=self._id, sequence=self._sequence)
            router.reply(to, reply, bytes([self._sequence % 251]) * self._chunk)
            self._sequence += 1
            if not self._left:
                router.reply(to, m.Done(request_id=self._id, job=INFO, samples=self._sequence * 5))


def test_the_whole_audio_comes_in_order(connect: Connect) -> None:
    client, router = connect(Speaker(300))
    with client.speak("hello", voice="v") as stream:
        assert stream.accepted.sample_rate_hz == 1000
        audio = list(stream)
        assert audio == [bytes([n]) * 10 for n in range(30)]
        assert stream.done is not None
        assert stream.done.samples == 150
        assert stream.progress is not None
        assert stream.progress.segments == 3
    assert router.of(m.Cancel) == []
    assert client._open == {}


def test_credit_is_granted_again_and_never_more_than_was_read(connect: Connect) -> None:
    speaker = Speaker(1000)
    client, router = connect(speaker)
    audio, _ = client.synthesize("hello", credit_bytes=40)
    assert len(audio) == 1000
    assert speaker.greatest_ahead <= 40
    # A grant for each half of it, not for each chunk.
    assert 40 <= len(router.of(m.Credit)) <= 50


def test_leaving_early_cancels(connect: Connect) -> None:
    client, router = connect(Speaker(10_000))
    with client.speak("hello", credit_bytes=100) as stream:
        for _ in stream:
            break
    wait_for(lambda: router.of(m.Cancel), what="the cancel")
    cancel = router.of(m.Cancel)[0]
    assert isinstance(cancel, m.Cancel)
    assert cancel.job_id == router.requests[0].request_id
    stream.cancel()
    assert client._open == {}


def test_closing_the_client_right_after_a_cancel_still_sends_it(connect: Connect) -> None:
    client, router = connect(Speaker(10_000))
    with client, client.speak("hello", credit_bytes=100) as stream:
        _ = stream.accepted
    wait_for(lambda: router.of(m.Cancel), what="the cancel")


def refuse(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
    router.reply(to, m.ErrorReply(request_id=request.request_id, code="unknown-voice", message="no voice"))


def test_a_refused_stream(connect: Connect) -> None:
    client, router = connect(refuse)
    with client.speak("hello") as stream, pytest.raises(UnknownVoice):
        _ = stream.accepted
    assert router.of(m.Cancel) == []


def test_an_error_in_the_midst_comes_after_the_audio_before_it(connect: Connect) -> None:
    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        job = request.request_id
        router.reply(to, told_accepted(job))
        router.reply(to, m.AudioChunk(request_id=job, job_id=job, sequence=0), b"ab")
        router.reply(to, m.ErrorReply(request_id=job, code="engine-crashed", message="gone"))

    client, _ = connect(answer)
    with client.speak("hello") as stream:
        chunks = iter(stream)
        assert next(chunks) == b"ab"
        with pytest.raises(EngineCrashed):
            next(chunks)


def test_audio_before_accepted_is_a_protocol_error(connect: Connect) -> None:
    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        job = request.request_id
        if isinstance(request, m.Synthesize):
            router.reply(to, m.AudioChunk(request_id=job, job_id=job, sequence=0), b"ab")

    client, _ = connect(answer)
    with client.speak("hello") as stream, pytest.raises(ProtocolError, match="before Accepted"):
        _ = stream.accepted


def test_a_daemon_that_says_nothing_more(connect: Connect) -> None:
    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        if isinstance(request, m.Synthesize):
            router.reply(to, told_accepted(request.request_id))

    client, _ = connect(answer)
    with client.speak("hello", timeout_s=0.05) as stream, pytest.raises(RequestTimeout):
        list(stream)


def test_two_streams_and_a_question_over_one_socket(connect: Connect) -> None:
    speakers: dict[str, Speaker] = {}

    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        if isinstance(request, m.ListModels):
            router.reply(to, m.Models(request_id=request.request_id, models=[]))
            return
        job = request.job_id if isinstance(request, m.Credit) else request.request_id
        speakers.setdefault(job, Speaker(200))(request, payload, router, to)

    client, _ = connect(answer)
    with client.speak("one", credit_bytes=50) as first, client.speak("two", credit_bytes=50) as second:
        ones, twos = iter(first), iter(second)
        audio = [b"", b""]
        for _ in range(20):
            audio[0] += next(ones)
            assert client.models() == []
            audio[1] += next(twos)
        assert next(ones, None) is None
        assert next(twos, None) is None
    assert audio[0] == audio[1]
    assert len(audio[0]) == 200
    assert client._open == {}
