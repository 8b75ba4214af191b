"""A stand-in for the daemon: the real sockets and the real codec, no speech. Holds a status that tests may change."""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import zmq
from msgspec import structs

from tests.told import told_job, told_status
from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.endpoint import Endpoint
from voiced_ipc.errors import VoicedError


def make_job(job_id: str = "job-0123456789abcdef", **fields: Any) -> m.JobInfo:
    dropped = {"lane": m.Lane.BATCH, "name": "report.epub", "eta_s": 170.0}
    return told_job(job_id, **dropped | fields)


class DaemonStandIn:
    """Answers in a thread of its own; a context manager.

    Args:
        endpoint: Where to listen; the folder is made.
        status: What it tells at first.
        is_deaf: It listens and never answers.
    """

    def __init__(self, endpoint: Endpoint, status: m.Status | None = None, *, is_deaf: bool = False) -> None:
        self.requests: queue.Queue[m.Request] = queue.Queue()
        """What came, but for GetStatus."""
        self.refusal: VoicedError | None = None
        """Raised for every control request while set."""
        self._endpoint = endpoint
        self._status = status or told_status()
        self._is_deaf = is_deaf
        self._work: queue.Queue[Callable[[], None]] = queue.Queue()
        self._sequence = 0
        self._listens = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="stand-in")

    def __enter__(self) -> "DaemonStandIn":
        self._endpoint.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread.start()
        assert self._listens.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Vanish as a killed daemon does: without a word, the sockets' files stay."""
        self._stopping.set()
        self._thread.join(5)

    def change(self, **fields: Any) -> None:
        """Change the status that is told from now on."""
        self._work.put(lambda: self._change(fields))

    def publish(self, kind: type[m.Event], **fields: Any) -> None:
        """Tell everybody of an event."""
        self._work.put(lambda: self._publish(kind, fields))

    def skip_events(self, count: int) -> None:
        """Lose events, as a slow reader does."""
        self._work.put(lambda: self._skip(count))

    def _skip(self, count: int) -> None:
        self._sequence += count

    def _change(self, fields: dict[str, Any]) -> None:
        self._status = structs.replace(self._status, **fields)

    def _publish(self, kind: type[m.Event], fields: dict[str, Any]) -> None:
        self._sequence += 1
        self._events.send_multipart(codec.encode_event(kind(sequence=self._sequence, **fields)))

    def _serve(self) -> None:
        context = zmq.Context()
        routers = [context.socket(zmq.ROUTER) for _ in range(2)]
        self._events = context.socket(zmq.PUB)
        paths = (self._endpoint.speech, self._endpoint.control, self._endpoint.events)
        for socket_, path in zip((*routers, self._events), paths, strict=True):
            path.unlink(missing_ok=True)
            socket_.bind(f"ipc://{path}")
        self._listens.set()
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Empty):
                while True:
                    self._work.get_nowait()()
            for router in routers:
                if router.poll(5) and not self._is_deaf:
                    identity, *frames = router.recv_multipart()
                    router.send_multipart([identity, *codec.encode(self._answer(frames))])
        context.destroy(linger=0)

    def _answer(self, frames: list[bytes]) -> m.Reply:
        request = codec.decode_request(frames).request
        if isinstance(request, m.GetStatus):
            return structs.replace(self._status, request_id=request.request_id)
        self.requests.put(request)
        if self.refusal:
            error = self.refusal
            return m.ErrorReply(request_id=request.request_id, code=error.code.value, message=error.message)
        self._obey(request)
        return m.Acknowledged(request_id=request.request_id)

    def _obey(self, request: m.Request) -> None:
        if isinstance(request, m.SetDeviceLock):
            until = "2099-01-01T12:00:00+00:00" if request.for_s else None
            lock = m.LockInfo(device=request.device, until=until, pid=request.until_pid)
            self._change({"lock": lock})
            self._publish(m.DeviceLockChanged, {"lock": lock, "reason": "asked"})
        elif isinstance(request, m.Pause | m.Resume):
            is_paused = isinstance(request, m.Pause)
            self._change({"is_paused": is_paused})
            self._publish(m.PauseChanged, {"is_paused": is_paused})
