"""Row 19, overload: 200 clients x 100 requests, queue bound 512.

Target: 0 lost; over the bound an immediate `busy` within 100 ms; the control channel is answered within 50 ms (p99).

The answers to those over the bound are taken at p99 too, and the slowest is told: a machine that others use stands
now and then for longer than any daemon.

Each client asks for a file, waits for the answer, and asks for the next one; who is told `busy` asks again a moment
later, as the message says. In the end every request is a job that is done, once.
"""

import time
from collections import deque

import zmq

from tests.scorecard.card import Card, quantile
from tests.scorecard.leftovers import leftovers, refused
from tests.scorecard.onlooker import Onlooker
from tests.support import Home, running_daemon, wait_for
from voiced_ipc import Client, Endpoint, codec
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode

CLIENTS = 200
BUSY_S = 0.1
CONTROL_S = 0.05
IDLE_S = 30.0
"""What is left when all are accepted fits into the queue."""
SLACK = 3.0
AGAIN_S = (0.1, 0.4)
"""Who was told to come again does so after between so long and so long."""
_POLL_MS = 20


class Caller:
    """One client: a socket, and the requests that it still has to make."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: Endpoint, texts: list[str]
    ) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(f"ipc://{endpoint.speech}")
        self._texts = deque((m.new_id(), text) for text in texts)
        self.asked_at = 0.0
        self.again_at = 0.0
        """When it asks again; 0 = it waits for an answer."""

    @property
    def is_done(self) -> bool:
        """Whether everything was accepted."""
        return not self._texts

    def ask(self) -> None:
        """Send the request that is next."""
        request_id, text = self._texts[0]
        request = m.Synthesize(request_id=request_id, output=m.Output.FILE, name=f"{request_id}.txt")
        self.asked_at, self.again_at = time.monotonic(), 0.0
        self.socket.send_multipart(codec.encode(request, text.encode()))

    def read(self) -> tuple[m.Reply, float]:
        """Return an answer, and how long it took."""
        reply, _ = codec.decode_reply(self.socket.recv_multipart())
        request_id, _ = self._texts[0]
        assert reply.request_id == request_id
        if isinstance(reply, m.Accepted):
            self._texts.popleft()
        return reply, time.monotonic() - self.asked_at


class Crowd:
    """All clients, driven by one thread."""

    def __init__(self, card: Card, endpoint: Endpoint, each: int) -> None:
        self._card = card
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._callers: dict[zmq.Socket[bytes], Caller] = {}
        self.accepted_s: list[float] = []
        self.busy_s: list[float] = []
        for number in range(CLIENTS):
            texts = [f"Caller {number}, request {i}." for i in range(each)]
            caller = Caller(self._context, endpoint, texts)
            self._callers[caller.socket] = caller
            self._poller.register(caller.socket, zmq.POLLIN)

    def run(self) -> None:
        """Return when every request was accepted."""
        for caller in self._callers.values():
            caller.ask()
        while not all(caller.is_done for caller in self._callers.values()):
            for found, _ in self._poller.poll(_POLL_MS):
                self._read(self._callers[found])
            now = time.monotonic()
            for caller in self._callers.values():
                if caller.again_at and caller.again_at <= now:
                    caller.ask()

    def _read(self, caller: Caller) -> None:
        reply, took_s = caller.read()
        if isinstance(reply, m.Accepted):
            self.accepted_s.append(took_s)
            if not caller.is_done:
                caller.ask()
            return
        if isinstance(reply, m.Progress):  # it is being taken in, slowly
            return
        assert isinstance(reply, m.ErrorReply), reply
        assert reply.code == ErrorCode.QUEUE_FULL.value, reply
        self.busy_s.append(took_s)
        caller.again_at = time.monotonic() + self._card.random.uniform(*AGAIN_S)

    def close(self) -> None:
        self._context.destroy(linger=0)


def is_idle(client: Client) -> bool:
    status = client.status()
    return status.queued + status.running == 0


def test_more_requests_than_there_is_room_for(card: Card, home: Home) -> None:
    each, bound = card.count(2, 100), card.count(64, 512)
    count, slack = CLIENTS * each, 1 if card.is_full else SLACK
    with running_daemon(home, "--set", f"queue_limit={bound}") as daemon, daemon.client(60.0) as client:
        client.synthesize("hello")
        crowd = Crowd(card, home.endpoint, each)
        began = time.monotonic()
        try:
            with Onlooker(daemon, on_control=True) as onlooker:
                crowd.run()
                accepted_in_s = time.monotonic() - began
        finally:
            crowd.close()
        wait_for(lambda: is_idle(client), IDLE_S * slack, "the end of all jobs")
        took_s = time.monotonic() - began
        jobs = list(client.jobs())
        done = [job for job in jobs if job.state is m.JobState.DONE]
        busy_s, accepted_s = crowd.busy_s, crowd.accepted_s
        card.tell(
            requests=count,
            bound=bound,
            done=len(done),
            busy=len(busy_s),
            all_accepted_s=accepted_in_s,
            took_s=took_s,
        )
        card.tell(busy_p50_ms=quantile(busy_s, 0.5) * 1000, busy_p99_ms=quantile(busy_s, 0.99) * 1000)
        card.tell(accepted_p99_ms=quantile(accepted_s, 0.99) * 1000, busy_worst_ms=max(busy_s) * 1000)
        card.tell(control=len(onlooker.answered_s), control_p99_ms=onlooker.p99_s * 1000)
        assert (len(done), len(jobs)) == (count, count), refused(home)
        assert len({job.job_id for job in done}) == count
        assert len([path for path in home.audio.iterdir() if path.suffix == ".wav"]) == count
        assert quantile(busy_s, 0.99) <= BUSY_S * slack
        assert onlooker.p99_s <= CONTROL_S * slack
        assert onlooker.asked_again == 0
        assert daemon.stop() == 0
        assert leftovers(home) == []
