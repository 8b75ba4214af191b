"""Row 23, soak: 20,000 jobs, 200 loads and unloads, 50 swaps of the engine.

Target: the daemon's memory grows by at most 1 MB in 1,000 jobs; descriptors, threads and children constant; a worker's
memory is given back, which for a process means that it is gone. GPU memory needs a GPU: not run here.

MMS is tiny and runs in a torch worker; the jobs are mostly espeak's, so that 20,000 of them can be.
"""

import itertools
import threading
from typing import NamedTuple

import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.leftovers import leftovers
from tests.scorecard.torch_models import (
    MMS,
    MMS_ENGLISH,
    MMS_GERMAN,
    Stock,
    load,
    the_worker,
    unload,
    workers,
)
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError

pytestmark = pytest.mark.timeout(300)
"""A torch worker loads for seconds, on a busy machine for many."""

SLOPE_BYTES = 1_000_000
"""In 1,000 jobs."""
NOISE_BYTES = 1_500_000
"""What a few more pages of the allocator are, where too few jobs were done to tell them from a leak."""
WARM = 2
"""Cycles after which every path was walked."""
CYCLE_BYTES = 20_000
"""Of growth in a load and an unload: 4 MB in 200."""
REST = 5
"""Looks in a row that see the same counts."""
LATE_THREADS = 3
"""The loop's own pool starts a thread when its others are busy, up to a bound: some come late."""
GERMAN = "mms:deu"
SEED = 23
TEXT = "A word."


class Size(NamedTuple):
    """How large a daemon is."""

    rss_bytes: int
    descriptors: int
    threads: int
    children: int

    def has_grown(self, first: "Size") -> bool:
        """Whether something was kept that should have been let go."""
        late = max(0, self.threads - first.threads - LATE_THREADS)
        return self.descriptors > first.descriptors or self.children > first.children or late > 0


def size_of(daemon: DaemonProcess) -> Size:
    """Return the size of a daemon once it rests: what it holds for a moment is of no interest."""
    process = psutil.Process(daemon.pid)
    seen: list[Size] = []

    def look() -> Size | None:
        with process.oneshot():
            rss, threads = process.memory_info().rss, process.num_threads()
        seen.append(Size(rss, process.num_fds(), threads, len(process.children())))
        is_at_rest = len(seen) >= REST and len({size[1:] for size in seen[-REST:]}) == 1
        return seen[-1] if is_at_rest else None

    return wait_for(look, what="a moment of rest")


def slope(values: list[int]) -> float:
    """Return by how much values grow from one to the next: the line of least squares."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    above = sum((i - middle) * (value - mean) for i, value in enumerate(values))
    return above / sum((i - middle) ** 2 for i in range(len(values)))


def test_loads_and_unloads(card: Card, stock: Stock, home: Home) -> None:
    cycles = card.count(8, 200)
    stock.put(home, MMS_ENGLISH)
    sizes: list[Size] = []
    held = []
    with running_daemon(home) as daemon, daemon.client(60.0) as client:
        expected = client.synthesize("First of all.", model=MMS, seed=SEED)[0]
        unload(client, MMS)
        for i in range(WARM + cycles):
            load(client, MMS)
            worker = the_worker(daemon)
            assert client.synthesize("First of all.", model=MMS, seed=SEED)[0] == expected
            held.append(worker.memory_info().rss)
            unload(client, MMS)
            assert not psutil.pid_exists(worker.pid)
            assert workers(daemon) == []
            if i >= WARM:
                sizes.append(size_of(daemon))
        assert leftovers(home) == []
    grown = sizes[-1].rss_bytes - sizes[0].rss_bytes
    per_cycle = slope([size.rss_bytes for size in sizes])
    card.tell(
        cycles=cycles,
        grown_kb=grown // 1000,
        kb_per_cycle=per_cycle / 1000,
        rss_mb=sizes[-1].rss_bytes // 1_000_000,
        given_back_mb=min(held) // 1_000_000,
        descriptors=sizes[-1].descriptors,
        threads=sizes[-1].threads,
        children=sizes[-1].children,
    )
    assert not sizes[-1].has_grown(sizes[0]), (sizes[0], sizes[-1])
    assert per_cycle <= CYCLE_BYTES or grown <= NOISE_BYTES
    assert max(held) <= 1.1 * min(held)


def test_many_jobs(card: Card, stock: Stock, home: Home) -> None:
    jobs, warm = card.count(240, 20_000), card.count(120, 1000)
    every = card.count(40, 250)
    stock.put(home, MMS_ENGLISH)
    sizes: list[Size] = []
    with running_daemon(home, "--set", "keep_alive_s=-1") as daemon, daemon.client(60.0) as client:
        load(client, MMS)
        for i in range(warm + jobs):
            model = MMS if i % 4 == 0 else "espeak"
            if i % 10 == 0:
                name = f"job-{i}.txt"
                daemon.wait_job(client.submit_text(f"File {i}.", model=model, seed=i, name=name).job_id)
            else:
                assert client.synthesize(f"Job {i}.", model=model, seed=i)[0]
            if i >= warm and i % every == 0:
                sizes.append(size_of(daemon))
        done = client.status().finished
        sizes.append(size_of(daemon))
        assert leftovers(home) == []
    per_job = slope([size.rss_bytes for size in sizes]) / every
    grown = sizes[-1].rss_bytes - sizes[0].rss_bytes
    card.tell(
        jobs=jobs,
        grown_kb=grown // 1000,
        mb_per_1000_jobs=per_job * 1000 / 1_000_000,
        rss_mb=sizes[-1].rss_bytes // 1_000_000,
        descriptors=sizes[-1].descriptors,
        threads=sizes[-1].threads,
        children=sizes[-1].children,
    )
    assert done == warm + jobs
    assert not sizes[-1].has_grown(sizes[0]), (sizes[0], sizes[-1])
    assert per_job * 1000 <= SLOPE_BYTES or (grown <= NOISE_BYTES and not card.is_full)


class Trickle:
    """Somebody who goes on asking, mostly for the model of the moment, at times for the other.

    Args:
        daemon: Who is asked.
        expected: What each model says.
    """

    def __init__(self, daemon: DaemonProcess, expected: dict[str, bytes]) -> None:
        self._daemon = daemon
        self._expected = expected
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="trickle")
        self.model = MMS
        self.asked = 0
        self.faults: list[str] = []

    def __enter__(self) -> "Trickle":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(60.0)

    def _ask(self) -> None:
        with self._daemon.client(60.0) as client:
            for i in itertools.count():
                if self._is_over.wait(0.05):
                    return
                model = self.model if i % 10 else next(one for one in self._expected if one != self.model)
                self.asked += 1
                try:
                    audio = client.synthesize(TEXT, model=model, seed=SEED)[0]
                except VoicedError as error:
                    self.faults.append(f"{model}: {error}")
                else:
                    self.faults += [] if audio == self._expected[model] else [f"{model}: another sound"]


def test_swaps_under_requests(card: Card, stock: Stock, home: Home) -> None:
    swaps = card.count(4, 50)
    stock.put(home, MMS_ENGLISH, MMS_GERMAN)
    with running_daemon(home) as daemon, daemon.client(60.0) as client:
        expected = {model: client.synthesize(TEXT, model=model, seed=SEED)[0] for model in (MMS, GERMAN)}
        with Trickle(daemon, expected) as trickle:
            for i in range(swaps):
                old, new = (MMS, GERMAN) if i % 2 == 0 else (GERMAN, MMS)
                load(client, new)
                trickle.model = new
                before = trickle.asked
                # Somebody may be listening to it: what he hears is spoken anew by another worker.
                client.control(m.UnloadModel(request_id=m.new_id(), model=old))
                wait_for(lambda before=before: trickle.asked > before + 2, 60.0, "more requests")  # type: ignore[misc]
        assert trickle.faults == []
        assert len(workers(daemon)) <= 2
        for model in (MMS, GERMAN):
            unload(client, model)
        wait_for(lambda: workers(daemon) == [], what="the end of the workers")
    card.tell(swaps=swaps, asked=trickle.asked, failed=len(trickle.faults))
