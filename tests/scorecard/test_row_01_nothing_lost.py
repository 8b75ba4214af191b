"""Row 1, nothing lost: 1,000 requests + 1,000 dropped files, >= 200 SIGKILLs of daemon and engine at random.

Target: 2,000 outputs, each byte-exact equal to what an undisturbed daemon makes of the same texts, 0 missing,
0 duplicates, 0 stray temporary, claim, part, spool or incoming files.

The clients do what a careful client does: they make the id themselves and send again until they are told that the job
was accepted. Work is let in a little with each kill, so that every kill finds some at every stage.

Where the same segment was killed three times the daemon stops that job as failed and keeps its spool, as it should; the
test does what the message says and has it go on. How many there were is told, and must stay few.
"""

import contextlib
import queue
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.corpus import make_text, sentences
from tests.scorecard.leftovers import leftovers, refused
from tests.scorecard.sounds import digests
from tests.support import DaemonProcess, Home, running_daemon, temporary_home, wait_for
from voiced_ipc import Client
from voiced_ipc.errors import DaemonUnavailable, QueueFull, RequestTimeout, ShuttingDown, VoicedError
from voiced_ipc.messages import JobState, new_id

CLIENTS = 4
ANSWER_S = 2.0
ATTEMPTS_USED = ("engine-crashed", "internal-error")
"""What a job fails with whose worker, or whose encoder, was killed three times."""
WAIT_S = 300.0
"""Greatest time for everything to end after the last kill."""


class Order(NamedTuple):
    """One text to be spoken, as a request or as a file."""

    name: str
    text: str
    format: str
    is_request: bool

    @property
    def output(self) -> str:
        return f"{Path(self.name).stem}.{self.format}"


def make_orders(source: Random, requests: int, files: int) -> list[Order]:
    orders = [
        Order(
            f"r{i}.txt",
            make_text(source, f"request {i}", sentences(source)),
            "flac" if i % 4 == 0 else "wav",
            True,
        )
        for i in range(requests)
    ]
    orders += [
        Order(f"d{i}.txt", make_text(source, f"file {i}", sentences(source)), "wav", False)
        for i in range(files)
    ]
    source.shuffle(orders)
    return orders


class Senders:
    """Threads that hand in every order, each as soon as the gate lets it."""

    def __init__(self, home: Home, orders: list[Order]) -> None:
        self._home = home
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        for order in [*orders, *[None] * CLIENTS]:
            self._orders.put(order)
        self._gate = threading.Semaphore(0)
        self._is_over = False
        self.tally: Counter[str] = Counter()
        self.refusals: list[str] = []
        self._threads = [threading.Thread(target=self._send_all, name=f"client-{i}") for i in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def let_in(self, count: int) -> None:
        self._gate.release(count)

    def join(self, timeout_s: float) -> None:
        """Wait until everything was handed in, then end the threads in any case."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._is_over = True
        self._gate.release(CLIENTS)
        for thread in self._threads:
            thread.join(2 * ANSWER_S)

    def _send_all(self) -> None:
        while not self._is_over and (order := self._orders.get()) is not None:
            self._gate.acquire()
            if order.is_request:
                self._request(order)
            else:
                self._drop(order)

    def _drop(self, order: Order) -> None:
        if order.name[-5] in "02468":
            self._home.put(order.name, order.text)
        else:
            (self._home.drop / order.name).write_text(order.text)
        self.tally["dropped"] += 1

    def _request(self, order: Order) -> None:
        request_id = new_id()
        while not self._is_over:
            try:
                with Client(self._home.endpoint, timeout_s=ANSWER_S) as client:
                    job_id = client.submit_text(
                        order.text, request_id=request_id, name=order.name, format=order.format
                    ).job_id
                    assert job_id == request_id
                self.tally["accepted"] += 1
                return
            except (DaemonUnavailable, RequestTimeout, QueueFull, ShuttingDown) as error:
                self.tally[f"again: {type(error).__name__}"] += 1
                time.sleep(0.02)
            except VoicedError as error:
                self.refusals.append(f"{order.name}: {type(error).__name__}: {error.message}")
                return


class Killer:
    """Ends the daemon or one of its children, and starts what nobody else would start again."""

    def __init__(self, daemon: DaemonProcess, source: Random) -> None:
        self._daemon = daemon
        self._source = source
        self.tally: Counter[str] = Counter()
        self.unprovoked: list[str] = []
        """Daemons that ended without having been killed."""

    def kill(self) -> None:
        if self._source.random() < 0.5 or not self._kill_child():
            self._kill_daemon()

    def _kill_child(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._daemon.pid).children(recursive=True)
            if children:
                victim = self._source.choice(children)
                kind = "scribe" if "voiced.child.scribe" in victim.cmdline() else "engine"
                victim.send_signal(signal.SIGKILL)
                self.tally[kind] += 1
                return True
        return False

    def _kill_daemon(self) -> None:
        assert self._daemon.process is not None
        code = self._daemon.process.poll()
        if code is not None:
            self.unprovoked.append(f"exit {code}: {self._daemon.log()[-1500:]}")
        self._daemon.kill()
        self.tally["daemon"] += 1
        time.sleep(self._source.uniform(0.0, 0.05))
        self._daemon.start(is_ready=False)
        if self._source.random() < 0.75:  # else the next one may come before it is ready
            self._daemon.wait_ready()


def undisturbed(orders: list[Order]) -> dict[str, str]:
    """Return the digests of what a daemon makes whom nobody disturbs."""
    with temporary_home() as home, running_daemon(home) as daemon:
        senders = Senders(home, orders)
        senders.start()
        senders.let_in(len(orders))
        senders.join(WAIT_S)
        jobs = daemon.wait_jobs(len(orders), WAIT_S)
        assert {job.state for job in jobs} == {JobState.DONE}
        assert senders.refusals == []
        return digests(home.audio)


def retry_stopped(daemon: DaemonProcess) -> Counter[str]:
    """Have the jobs go on that were stopped after three attempts; return how many there were of each kind."""
    with daemon.client() as client:
        stopped = list(client.jobs([JobState.FAILED]))
        for job in stopped:
            assert job.error_code in ATTEMPTS_USED, job.error
            client.retry(job.job_id)
    return Counter(job.error_code for job in stopped)


def wait_over(daemon: DaemonProcess, home: Home, count: int) -> None:
    with contextlib.suppress(AssertionError):  # what is left is told with the figures
        wait_for(lambda: is_over(daemon, home, count), WAIT_S)


def is_over(daemon: DaemonProcess, home: Home, count: int) -> bool:
    """Return whether nothing more will happen; what failed keeps its files, and is not waited for."""
    states = Counter(job.state for job in daemon.jobs())
    if sum(states[state] for state in JobState if state.is_final) < count:
        return False
    return states[JobState.FAILED] > 0 or not leftovers(home)


def test_every_request_and_every_file_becomes_one_output(card: Card, home: Home) -> None:
    count, kills = card.count(30, 1000), card.count(8, 200)
    orders = make_orders(card.random, count, count)
    expected = undisturbed(orders)
    assert sorted(expected) == sorted(order.output for order in orders)

    began = time.monotonic()
    with running_daemon(home) as daemon:
        wait_for(home.drop.exists, what="the drop folder")
        senders, killer = Senders(home, orders), Killer(daemon, card.random)
        senders.start()
        try:
            for _ in range(kills):
                senders.let_in(-(-len(orders) // kills))
                time.sleep(card.random.uniform(0.0, 0.3))
                killer.kill()
            daemon.wait_ready()
        finally:
            senders.let_in(len(orders))
            senders.join(WAIT_S)
        wait_over(daemon, home, len(orders))
        stopped = retry_stopped(daemon)
        wait_over(daemon, home, len(orders))
        left = leftovers(home)
        jobs, daemon_log = daemon.jobs(), daemon.log()
        failed = [
            f"{job.name} {job.state.value}: {job.error}" for job in jobs if job.state is not JobState.DONE
        ]
    made = digests(home.audio)
    done = {path.name: path.read_text() for path in (home.paths.home / "Done").rglob("*.txt")}
    missing, extra = sorted(set(expected) - set(made)), sorted(set(made) - set(expected))
    wrong = [name for name in expected if name in made and made[name] != expected[name]]
    card.tell(
        requests=count,
        files=count,
        kills=dict(killer.tally),
        outputs=len(made),
        missing=len(missing),
        extra=len(extra),
        wrong=len(wrong),
        strays=len(left),
        stopped_and_retried=dict(stopped),
        failed=len(failed) + len(refused(home)),
        senders=dict(senders.tally),
        seconds=time.monotonic() - began,
    )
    if failed or missing or left:
        print(daemon_log[-20_000:])
    assert killer.unprovoked == []
    assert sum(killer.tally.values()) >= kills
    assert senders.refusals == []
    assert failed == []
    assert stopped.total() <= max(1, kills // 20)
    assert refused(home) == []
    assert (missing, extra, wrong) == ([], [], [])
    assert left == []
    assert len(jobs) == len(orders)
    assert done == {order.name: order.text for order in orders if not order.is_request}


@pytest.mark.parametrize("times", [3])
def test_an_accepted_request_sent_again_after_a_kill_is_the_same_job(home: Home, times: int) -> None:
    request_id = new_id()
    with running_daemon(home) as daemon:
        for _ in range(times):
            with daemon.client() as client:
                assert client.submit_text("Only once.", request_id=request_id).job_id == request_id
            daemon.kill()
            daemon.restart()
        daemon.wait_jobs(1)
        assert [job.job_id for job in daemon.jobs()] == [request_id]
    assert len(digests(home.audio)) == 1
