"""The tray's one connection to the daemon, kept by one thread.

While connected it asks for the status every two seconds and takes events in between; while not, it tries again with
growing pauses. What the menu asks for waits in a bounded queue and is sent from here, so that a click never blocks
the menu. Everything learnt goes to `deliver` as an input of `state.reduce`.
"""

import contextlib
import importlib.metadata
import logging
import queue
import select
import socket
import threading
import time
from collections.abc import Callable

import zmq

from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.client import Client
from voiced_ipc.endpoint import EVENTS, Endpoint
from voiced_ipc.errors import DaemonUnavailable, ProtocolError, RequestTimeout, VoicedError
from voiced_tray.state import Input, Link, LinkLost, RequestDone, RequestFailed, StatusSeen

logger = logging.getLogger(__name__)

STATUS_INTERVAL_S = 2.0
ANSWER_TIMEOUT_S = 3.0
"""The daemon answers within milliseconds; longer than this and something is wrong with it."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Looking for the daemon costs one connect."""
VERSION_INTERVAL_S = 60.0
QUEUE_LIMIT = 32


class EventClient(Client):
    """A client whose wait for events ends as soon as another thread has something to send."""

    def next_event(self, wake: socket.socket, timeout_s: float) -> m.Event | None:
        """Return the next event; None after `timeout_s`, or when `wake` becomes readable."""
        is_new = self._endpoint.socket(EVENTS) not in self._sockets
        subscriber = self._socket(self._endpoint.socket(EVENTS), zmq.SUB)
        if is_new:
            subscriber.subscribe(b"")
        poller = zmq.Poller()
        poller.register(subscriber, zmq.POLLIN)
        poller.register(wake.fileno(), zmq.POLLIN)
        ready = dict(poller.poll(max(0, int(timeout_s * 1000))))
        if subscriber in ready:
            with contextlib.suppress(ProtocolError):  # an event of a newer daemon
                return codec.decode_event(subscriber.recv_multipart())
        return None


def installed_version() -> str:
    """Return the version of the installed package, read anew; empty where it is not installed."""
    try:
        return importlib.metadata.version("voiced")
    except importlib.metadata.PackageNotFoundError:
        return ""


class Poller:
    """The thread that talks to the daemon.

    Args:
        endpoint: Where the daemon listens.
        deliver: Called from the thread with every input; must not block.
        installed: Tells the installed version.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        deliver: Callable[[Input], None],
        installed: Callable[[], str] = installed_version,
    ) -> None:
        self._endpoint = endpoint
        self._deliver = deliver
        self._installed = installed
        self._version = ""
        self._version_due = 0.0
        self._was_online = False
        self._requests: queue.Queue[m.Request] = queue.Queue(QUEUE_LIMIT)
        self._stopping = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)

    def start(self) -> None:
        """Begin to look for the daemon."""
        self._thread.start()

    def send(self, request: m.Request) -> None:
        """Have `request` sent; its outcome is delivered."""
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            self._deliver(RequestFailed("too many clicks wait for the daemon: try again in a moment"))
        self.hurry()

    def hurry(self) -> None:
        """Look at the daemon now."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it wakes anyway; closed: it has ended
            self._wake_write.send(b"\0")

    def stop(self, timeout_s: float) -> bool:
        """End the thread; return whether it ended within `timeout_s`."""
        self._stopping.set()
        self.hurry()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._wake_read.close()
        self._wake_write.close()
        return True

    def _run(self) -> None:
        try:
            self._keep_connected()
        except Exception:
            logger.exception("the tray's connection to the daemon has ended")
            self._deliver(LinkLost(Link.SILENT, "the tray itself has failed: quit it and start it again"))

    def _keep_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._was_online = False
            lost = self._connection()
            if self._was_online:
                pause_s = FIRST_PAUSE_S
                if lost.link is Link.SILENT:
                    continue  # a daemon that was killed does not answer either: a new connection tells which
            if self._stopping.is_set():
                return
            self._deliver(lost)
            self._refuse_requests(lost.detail)
            self._rest(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _connection(self) -> LinkLost:
        """Keep one connection until it breaks; return why."""
        try:
            with contextlib.closing(EventClient(self._endpoint, timeout_s=ANSWER_TIMEOUT_S)) as client:
                self._attend(client)
        except DaemonUnavailable as error:
            return LinkLost(Link.OFFLINE, error.message)
        except VoicedError as error:
            return LinkLost(Link.SILENT, error.message)
        return LinkLost(Link.OFFLINE, "the daemon has stopped")

    def _attend(self, client: EventClient) -> None:
        """Ask, listen and send until the daemon stops or the tray does.

        Raises:
            VoicedError: If the daemon is gone or does not answer.
        """
        status_due = 0.0
        sequence: int | None = None
        while not self._stopping.is_set():
            if self._send_waiting(client):
                status_due = 0.0
            if time.monotonic() >= status_due:
                self._deliver(StatusSeen(client.status(), self._installed_now()))
                self._was_online = True
                status_due = time.monotonic() + STATUS_INTERVAL_S
            event = client.next_event(self._wake_read, status_due - time.monotonic())
            self._drain_wake()
            if event is None:
                continue
            if sequence is not None and event.sequence != sequence + 1:
                status_due = 0.0  # some were lost
            sequence = event.sequence
            self._deliver(event)
            if isinstance(event, m.Stopping):
                return

    def _send_waiting(self, client: EventClient) -> bool:
        is_sent = False
        while (request := self._next_request()) is not None:
            is_sent = True
            try:
                client.control(request)
            except (DaemonUnavailable, RequestTimeout) as error:
                self._deliver(RequestFailed(error.message))
                raise
            except VoicedError as error:
                self._deliver(RequestFailed(error.message))
            else:
                self._deliver(RequestDone())
        return is_sent

    def _refuse_requests(self, reason: str) -> None:
        while self._next_request() is not None:
            self._deliver(RequestFailed(reason))

    def _next_request(self) -> m.Request | None:
        try:
            return self._requests.get_nowait()
        except queue.Empty:
            return None

    def _installed_now(self) -> str:
        if time.monotonic() >= self._version_due:
            self._version = self._installed()
            self._version_due = time.monotonic() + VERSION_INTERVAL_S
        return self._version

    def _rest(self, pause_s: float) -> None:
        select.select([self._wake_read], [], [], pause_s)
        self._drain_wake()

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_read.recv(64):
                pass
