"""A stand-in for the daemon: real sockets, real frames, answers from a table. No speech is made here."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import zmq

from tests.told import told_accepted, told_job, told_load, told_model, told_status
from voiced_ipc import Endpoint, codec
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode

RATE = 8000

Answers = list[tuple[m.Reply, bytes]]
Answer = Callable[[Any, bytes], Answers]


class StandIn:
    """Answers on the sockets of `endpoint` in a thread of its own; `answers` may be changed between requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.requests: list[m.Request] = []
        self.payloads: list[bytes] = []
        self.arrived = threading.Condition()
        self.answers: dict[type[m.Request], Answer] = {}
        self._wake, self._woken = socket.socketpair()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="stand-in")

    def __enter__(self) -> "StandIn":
        self.endpoint.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *error: object) -> None:
        self._wake.send(b"x")
        self._thread.join(5)
        assert not self._thread.is_alive()
        self._wake.close()
        self._woken.close()

    def of(self, kind: type[m.Request]) -> list[Any]:
        """Return the requests of a kind that have come."""
        return [request for request in self.requests if isinstance(request, kind)]

    def await_request(self, kind: type[m.Request]) -> Any:
        """Return the first request of a kind; waits for it."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.of(kind), 10), f"no {kind.__name__} came"
        return self.of(kind)[0]

    def _serve(self) -> None:
        context = zmq.Context()
        try:
            with contextlib.ExitStack() as stack:
                poller = zmq.Poller()
                sockets = []
                for path in (self.endpoint.speech, self.endpoint.control):
                    path.unlink(missing_ok=True)
                    made = stack.enter_context(context.socket(zmq.ROUTER))
                    made.linger = 0
                    made.bind(f"ipc://{path}")
                    poller.register(made, zmq.POLLIN)
                    sockets.append(made)
                poller.register(self._woken, zmq.POLLIN)
                self._ready.set()
                while True:
                    ready = dict(poller.poll())
                    if self._woken.fileno() in ready:
                        return
                    for one in sockets:
                        if one in ready:
                            self._answer(one)
        finally:
            context.destroy(linger=0)
            self.endpoint.speech.unlink(missing_ok=True)
            self.endpoint.control.unlink(missing_ok=True)

    def _answer(self, router: "zmq.Socket[bytes]") -> None:
        identity, *frames = router.recv_multipart()
        request, payload = codec.decode_request(frames)
        with self.arrived:
            self.requests.append(request)
            self.payloads.append(payload)
            self.arrived.notify_all()
        answer = self.answers.get(type(request)) or USUAL.get(type(request))
        if answer is None:
            return
        for reply, audio in answer(request, payload):
            router.send_multipart([identity, *codec.encode(reply, audio if audio else None)])


def refuse(code: ErrorCode, message: str) -> Answer:
    """Return an answer that is an error."""
    return lambda request, payload: [
        (m.ErrorReply(request_id=request.request_id, code=code.value, message=message), b"")
    ]


def spoken(*chunks: bytes, notes: tuple[str, ...] = ()) -> Answer:
    """Return a whole stream of these chunks."""

    def answer(request: m.Synthesize, payload: bytes) -> Answers:
        job_id = request.request_id
        done = m.Done(
            request_id=job_id, job=told_job(job_id, state=m.JobState.DONE, notes=list(notes)), samples=0
        )
        return [
            (accepted(request), b""),
            *(
                (m.AudioChunk(request_id=job_id, job_id=job_id, sequence=n), chunk)
                for n, chunk in enumerate(chunks)
            ),
            (done, b""),
        ]

    return answer


def begun(*chunks: bytes) -> Answer:
    """Return a stream that begins and does not end."""
    return lambda request, payload: spoken(*chunks)(request, payload)[:-1]


def accepted(request: m.Synthesize) -> m.Accepted:
    """Return that a job stands."""
    return told_accepted(
        request.request_id,
        output=request.output,
        model="espeak",
        voice="en",
        sample_rate_hz=RATE,
        chars=5,
        original_chars=5,
    )


def status(**changes: Any) -> m.Status:
    """Return the status of a well daemon at work, changed."""
    at_work = {"load": told_load(), "models": [model()], "queued": 1, "running": 1, "finished": 7}
    return told_status(**at_work | changes)


def model() -> m.ModelInfo:
    """Return a loaded model with a worker."""
    return told_model(workers=1, rss_bytes=12 << 20)


def statuses(**changes: Any) -> Answer:
    """Return an answer to GetStatus."""
    return lambda request, payload: [(status(request_id=request.request_id, **changes), b"")]


def jobs_of(*jobs: m.JobInfo) -> dict[type[m.Request], Answer]:
    """Return answers about these jobs, newest first."""

    def listed(request: m.ListJobs, payload: bytes) -> Answers:
        found = [one for one in jobs if not request.states or one.state in request.states]
        return [(m.Jobs(request_id=request.request_id, jobs=found[: request.limit]), b"")]

    def one(request: m.GetJob, payload: bytes) -> Answers:
        for candidate in jobs:
            if candidate.job_id == request.job_id:
                return [(m.JobReply(request_id=request.request_id, job=candidate), b"")]
        return refuse(ErrorCode.JOB_NOT_FOUND, f"no job {request.job_id}")(request, payload)

    return {m.ListJobs: listed, m.GetJob: one}


def done(message: str = "") -> Answer:
    """Return that it was done."""
    return lambda request, payload: [(m.Acknowledged(request_id=request.request_id, message=message), b"")]


def _voices(request: m.ListVoices, payload: bytes) -> Answers:
    voice = m.VoiceInfo(voice="en-gb", name="English", model="espeak", language="en-GB", languages=["en-GB"])
    return [(m.Voices(request_id=request.request_id, voices=[voice]), b"")]


def _explained(request: m.ExplainDevice, payload: bytes) -> Answers:
    decision = m.DecisionInfo(
        taken="2026-01-02T03:04:05Z",
        model="espeak",
        device="cpu",
        should_switch=False,
        rule="no-gpu",
        reason="there is no GPU",
        load=status().load,
    )
    return [
        (
            m.DeviceExplanation(
                request_id=request.request_id, lock=m.LockInfo(device="auto"), decisions=[decision]
            ),
            b"",
        )
    ]


USUAL: dict[type[m.Request], Answer] = {
    m.GetStatus: statuses(),
    m.ListModels: lambda request, payload: [(m.Models(request_id=request.request_id, models=[model()]), b"")],
    m.ListVoices: _voices,
    m.ExplainDevice: _explained,
    m.Synthesize: spoken(b"\x01\x00" * 800, b"\x02\x00" * 400),
    m.Cancel: done("cancelled"),
    m.Pause: done(),
    m.Resume: done(),
    m.RetryJob: done(),
    m.SetDeviceLock: done(),
    m.Reload: done(),
    m.Shutdown: done(),
    **jobs_of(),
}


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[StandIn]:
    """Return a stand-in that listens in `folder`."""
    with StandIn(Endpoint(folder)) as standin:
        yield standin
