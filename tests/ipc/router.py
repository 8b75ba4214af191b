"""A small daemon's end: real sockets on a thread, answering as the test says."""

import threading
from collections.abc import Callable
from pathlib import Path

import zmq

from voiced_ipc import Endpoint, codec
from voiced_ipc import messages as m

Answer = Callable[[m.Request, bytes, "Router", list[bytes]], None]


class Router:
    """Both ROUTERs and the PUB of an endpoint; `answer(request, payload, router, to)` serves each request."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        folder.mkdir(exist_ok=True)
        self.endpoint = Endpoint(folder)
        self._answer = answer
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._stop = self._context.socket(zmq.PAIR)
        self._stop.bind("inproc://stop")
        self.telling: list[list[bytes]] = []
        """Frames of events that are told again and again, as nobody knows when a subscription arrives."""
        self._events = self._bound(zmq.PUB, self.endpoint.events)
        self.requests: list[m.Request] = []
        self.sockets: list[Path] = []
        """Over which socket each request came."""
        self._routers = {
            path: self._bound(zmq.ROUTER, path) for path in (self.endpoint.speech, self.endpoint.control)
        }
        self._current = self._routers[self.endpoint.speech]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _bound(self, kind: int, path: Path) -> "zmq.Socket[bytes]":
        made = self._context.socket(kind)
        made.linger = 0
        made.bind(f"ipc://{path}")
        return made

    def reply(self, to: list[bytes], reply: m.Reply, payload: bytes | None = None) -> None:
        """Send a reply to whom `to` names; only inside `answer`."""
        self._current.send_multipart([*to, *codec.encode(reply, payload)])

    def raw(self, to: list[bytes], *frames: bytes) -> None:
        """Send frames as they are; only inside `answer`."""
        self._current.send_multipart([*to, *frames])

    def _run(self) -> None:
        stop = self._context.socket(zmq.PAIR)
        stop.connect("inproc://stop")
        poller = zmq.Poller()
        for socket in (stop, *self._routers.values()):
            poller.register(socket, zmq.POLLIN)
        while stop not in (ready := dict(poller.poll(5))):
            for frames in self.telling:
                self._events.send_multipart(frames)
            for path, socket in self._routers.items():
                if socket in ready:
                    self._serve(path, socket)
        stop.close(linger=0)

    def _serve(self, path: Path, socket: "zmq.Socket[bytes]") -> None:
        identity, *frames = socket.recv_multipart()
        request, payload = codec.decode_request(frames)
        self._current = socket
        self.requests.append(request)
        self.sockets.append(path)
        self._answer(request, payload, self, [identity])

    def of(self, kind: type[m.Request]) -> list[m.Request]:
        """Requests of one kind so far."""
        return [request for request in self.requests if isinstance(request, kind)]

    def close(self) -> None:
        self._stop.send(b"")
        self._thread.join(10.0)
        self._context.destroy(linger=0)
