"""The blocking client against a small daemon's end: limits of time, strays, pages, errors."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ipc.router import Answer, Router
from tests.told import told_accepted
from voiced_ipc import Client, Endpoint, codec
from voiced_ipc import messages as m
from voiced_ipc.errors import (
    ERROR_CLASSES,
    DaemonUnavailable,
    InvalidRequest,
    MalformedMessage,
    ProtocolError,
    QueueFull,
    RequestTimeout,
    VoicedError,
)

Connect = Callable[..., tuple[Client, Router]]


@pytest.fixture
def folder() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="vc-", dir="/tmp") as made:
        yield Path(made) / "run"


@pytest.fixture
def connect(folder: Path) -> Iterator[Connect]:
    opened: list[tuple[Client, Router]] = []

    def start(answer: Answer, timeout_s: float = 5.0) -> tuple[Client, Router]:
        router = Router(folder, answer)
        opened.append((Client(router.endpoint, timeout_s=timeout_s), router))
        return opened[-1]

    yield start
    for client, router in opened:
        client.close()
        router.close()


def acknowledge(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
    router.reply(to, m.Acknowledged(request_id=request.request_id, message="done"))


def never(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
    """No answer."""


def test_nothing_listens(folder: Path) -> None:
    began = time.monotonic()
    with Client(Endpoint(folder), timeout_s=30.0) as client:
        with pytest.raises(DaemonUnavailable, match="voiced run"):
            client.status()
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "voiced.sock"))
        with pytest.raises(DaemonUnavailable, match="dead socket"):
            client.status()
        with pytest.raises(DaemonUnavailable):
            client.shutdown()
        with pytest.raises(DaemonUnavailable):
            next(client.events())
    assert time.monotonic() - began < 5.0


def test_a_daemon_that_ends_while_it_is_asked_again(folder: Path) -> None:
    """Its connection goes before its listener: the next one is never made, and nothing would tell of its loss."""
    folder.mkdir(mode=0o700)
    endpoint = Endpoint(folder)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(endpoint.speech))
    listener.listen(8)

    def end() -> None:
        for _ in range(3):  # the look, the connection, and the look after its loss
            listener.accept()[0].close()
        listener.close()

    ending = threading.Thread(target=end)
    ending.start()
    began = time.monotonic()
    with Client(endpoint, timeout_s=20.0) as client, pytest.raises(DaemonUnavailable):
        client.status()
    assert time.monotonic() - began < 5.0
    ending.join()


def test_no_answer_in_time(connect: Connect) -> None:
    client, _ = connect(never, timeout_s=0.05)
    with pytest.raises(RequestTimeout, match=r"0\.05 s"):
        client.status()
    assert client._open == {}


def test_each_request_goes_to_its_socket(connect: Connect) -> None:
    client, router = connect(acknowledge)
    assert client.cancel("a" * 22) == "done"
    for call in (client.pause, client.resume, client.reload, client.shutdown):
        assert call().message == "done"
    client.retry("a" * 22)
    client.lock_device("cpu", for_s=5.0)
    assert router.sockets == [router.endpoint.speech] + [router.endpoint.control] * 6
    assert len({request.request_id for request in router.requests}) == 7


def test_answers_to_others_are_passed_over(connect: Connect) -> None:
    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        router.reply(to, m.Acknowledged(request_id="b" * 22, message="stray"))
        router.reply(to, m.Acknowledged(request_id=request.request_id, message="ours"))

    client, _ = connect(answer)
    assert client.cancel("a" * 22) == "ours"
    assert client._open == {}


def test_a_late_answer_is_not_taken_for_the_next(connect: Connect) -> None:
    kept: list[m.Request] = []

    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        kept.append(request)
        if len(kept) == 2:
            for late in kept:
                router.reply(to, m.Acknowledged(request_id=late.request_id, message=late.request_id))

    client, _ = connect(answer, timeout_s=0.2)
    with pytest.raises(RequestTimeout):
        client.cancel("a" * 22)
    assert client.cancel("b" * 22) == kept[1].request_id


@pytest.mark.parametrize("code", list(ERROR_CLASSES))
def test_an_error_comes_back_as_its_class(connect: Connect, code: object) -> None:
    kind = next(cls for cls in ERROR_CLASSES.values() if cls.code is code)

    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        router.reply(to, m.ErrorReply(request_id=request.request_id, code=kind.code.value, message="why"))

    client, _ = connect(answer)
    with pytest.raises(kind, match="why") as raised:
        client.status()
    assert type(raised.value) is kind


def test_an_error_without_an_id_is_ours(connect: Connect) -> None:
    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        router.reply(to, m.ErrorReply(request_id="", code="malformed-message", message="what?"))

    client, _ = connect(answer)
    with pytest.raises(MalformedMessage):
        client.status()


def test_an_error_of_a_newer_daemon(connect: Connect) -> None:
    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        router.reply(to, m.ErrorReply(request_id=request.request_id, code="moon-is-full", message="why"))

    client, _ = connect(answer)
    with pytest.raises(VoicedError, match=r"why \(moon-is-full\)"):
        client.status()


@pytest.mark.parametrize("frames", [(b"nonsense",), (m.PROTOCOL_TAG, b"\xc1"), (b"voiced/99", b"\x80")])
def test_nonsense_is_a_protocol_error(connect: Connect, frames: tuple[bytes, ...]) -> None:
    client, _ = connect(lambda request, payload, router, to: router.raw(to, *frames))
    with pytest.raises(ProtocolError):
        client.status()


def test_the_wrong_kind_of_answer(connect: Connect) -> None:
    client, _ = connect(acknowledge)
    with pytest.raises(ProtocolError, match="answered Acknowledged to GetStatus"):
        client.status()


def test_lists_are_read_page_by_page(connect: Connect) -> None:
    voices = [m.VoiceInfo(voice=f"v{n:03}", name="", model="tone", language="en") for n in range(450)]

    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        assert isinstance(request, m.ListVoices)
        start = next((n + 1 for n, voice in enumerate(voices) if voice.voice == request.after), 0)
        page = voices[start : start + request.limit]
        end = page[-1].voice if start + request.limit < len(voices) else ""
        router.reply(to, m.Voices(request_id=request.request_id, voices=page, next=end))

    client, router = connect(answer)
    assert list(client.voices("tone", "en")) == voices
    assert len(router.requests) == 3


@pytest.mark.parametrize(("limit", "asked"), [(None, [200, 200, 200]), (250, [200, 50]), (0, []), (3, [3])])
def test_jobs_are_read_up_to_a_limit(connect: Connect, limit: int | None, asked: list[int]) -> None:
    from tests.daemon.jobs.made import make_job
    from voiced.jobs.run import describe_job

    info = describe_job(make_job())

    def answer(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
        assert isinstance(request, m.ListJobs)
        before = int(request.before or 450)
        count = min(request.limit, before)
        end = str(before - count) if before > count else ""
        router.reply(to, m.Jobs(request_id=request.request_id, jobs=[info] * count, next=end))

    client, router = connect(answer)
    assert len(list(client.jobs(limit=limit))) == (450 if limit is None else limit)
    sizes = [request.limit for request in router.requests if isinstance(request, m.ListJobs)]
    assert sizes == asked


def test_a_text_that_is_too_long_is_not_sent(connect: Connect) -> None:
    client, router = connect(never)
    with pytest.raises(InvalidRequest, match="voiced drop"):
        client.speak("ä" * (m.MAX_TEXT_BYTES // 2 + 1))
    assert router.requests == []


def accept_file(request: m.Request, payload: bytes, router: Router, to: list[bytes]) -> None:
    assert isinstance(request, m.Synthesize)
    if request.voice == "refused":
        router.reply(to, m.ErrorReply(request_id=request.request_id, code="queue-full", message="later"))
    elif request.voice != "silent":
        router.reply(to, told_accepted(request.request_id))


def test_a_document_is_copied_and_named_by_its_request(connect: Connect, tmp_path: Path) -> None:
    incoming, document = tmp_path / "incoming", tmp_path / "bäch.txt"
    incoming.mkdir()
    document.write_bytes(b"the text")
    client, router = connect(accept_file)
    job = client.submit_file(document, incoming, voice="v")
    sent = router.requests[0]
    assert isinstance(sent, m.Synthesize)
    assert (sent.name, sent.voice, sent.incoming, sent.output) == (
        "bäch.txt",
        "v",
        sent.request_id,
        m.Output.FILE,
    )
    copy = incoming / job.job_id
    assert copy.read_bytes() == b"the text"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert document.exists()


def test_a_refused_document_is_taken_back(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    client, _ = connect(accept_file, timeout_s=0.1)
    with pytest.raises(QueueFull):
        client.submit_file(tmp_path / "a.txt", tmp_path, voice="refused")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(RequestTimeout):  # it may have been accepted: the copy stays
        client.submit_file(tmp_path / "a.txt", tmp_path, voice="silent")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_document_that_cannot_be_read_leaves_nothing(connect: Connect, tmp_path: Path) -> None:
    client, router = connect(accept_file)
    with pytest.raises(OSError, match="nothing"):
        client.submit_file(tmp_path / "nothing.txt", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert router.requests == []


def test_a_text_becomes_a_durable_job_under_its_id(connect: Connect) -> None:
    client, router = connect(accept_file)
    assert client.submit_text("text", request_id="c" * 22).job_id == "c" * 22
    assert isinstance(router.requests[0], m.Synthesize)
    assert router.requests[0].output is m.Output.FILE


def test_events_only_those_that_were_asked_for(connect: Connect) -> None:
    client, router = connect(never)
    told = (m.PauseChanged(sequence=1, is_paused=True), m.Stopping(sequence=2, reason="x"))
    # What we do not understand is passed over.
    router.telling = [*map(codec.encode_event, told), [b"stopping", m.PROTOCOL_TAG, b"\xc1"]]
    for kind in (m.Stopping, m.PauseChanged):  # the second call finds the first one's subscription
        events = client.events(kind, timeout_s=5.0)
        assert {type(next(events)) for _ in range(4)} == {kind}
    every = client.events(timeout_s=5.0)
    assert {type(next(every)) for _ in range(8)} == {m.Stopping, m.PauseChanged}


def test_events_end_after_a_silence(connect: Connect) -> None:
    client, _ = connect(never)
    assert list(client.events(timeout_s=0.02)) == []


def test_a_client_can_be_closed_twice(connect: Connect) -> None:
    client, _ = connect(acknowledge)
    client.pause()
    client.close()
    client.close()
