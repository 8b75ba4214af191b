"""The machine sleeps in the midst of work: nobody who slept with it is taken for hung, slow or gone.

A stopped process is the stand-in for a suspended machine, and the harder one: CLOCK_MONOTONIC runs on, so that every
timer of the daemon is late at once when it goes on.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support import Home, running_daemon, wait_for
from tests.system.frozen import frozen
from tests.units.notify_harness import NotifyHarness
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import RequestTimeout

HEARTBEAT_S = 2.0
DEADLINE_S = 4.0
ASLEEP_S = 5.5
"""Longer than a worker may be silent, and than a segment may take."""
STRICT = ("--set", f"heartbeat_s={HEARTBEAT_S}", "--set", f"segment_deadline_s={DEADLINE_S}")
SLOW = "Slow tones and slow tones and slow[[slow:0.4]]"
"""One segment, a second and a half of work, in pieces."""


@pytest.mark.parametrize("with_children", [True, False], ids=["all", "daemon"])
def test_a_sleep_in_the_midst_of_a_segment_costs_nothing(home: Home, *, with_children: bool) -> None:
    with running_daemon(home, *STRICT) as daemon, daemon.client(timeout_s=30) as client:
        expected, _ = client.synthesize(SLOW, model="tone", seed=7)
        children = set(daemon.children())
        with client.speak(SLOW, model="tone", seed=7) as stream:
            chunks = iter(stream)
            heard = next(chunks)
            with frozen(daemon.pid, with_children=with_children):
                time.sleep(ASLEEP_S)
            assert heard + b"".join(chunks) == expected
            assert stream.done is not None
            assert stream.done.job.notes == []
        assert children <= set(daemon.children())
        assert "ended:" not in daemon.log()


def test_a_worker_that_alone_stands_still_is_replaced_all_the_same(home: Home) -> None:
    """The leniency is for those who slept with the daemon."""
    with (
        running_daemon(home, *STRICT[:2]) as daemon,
        daemon.client(timeout_s=30) as client,
        client.speak("A tone.[[once:a:hang-gil]]", model="tone") as stream,
    ):
        assert b"".join(stream)
        assert stream.done is not None
        assert any("no sign of life" in note for note in stream.done.job.notes)


def test_who_asks_a_sleeping_daemon_is_told_and_then_answered(home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client(timeout_s=1.0) as client:
        client.status()
        with frozen(daemon.pid, with_children=True), pytest.raises(RequestTimeout, match="within 1 s"):
            client.status()
        wait_for(lambda: answers(client), what="an answer")
        assert client.synthesize("hello")[0]


def answers(client: Client) -> bool:
    try:
        return bool(client.status().pid)
    except RequestTimeout:
        return False


def test_the_monitor_goes_on_without_a_burst(home: Home) -> None:
    interval_s = 1.0
    with (
        running_daemon(home, "--set", f"monitor_interval_s={interval_s}") as daemon,
        daemon.client() as client,
    ):
        events = client.events(m.LoadChanged, timeout_s=20)
        first = taken(next(events))
        with frozen(daemon.pid, with_children=True):
            time.sleep(5 * interval_s)
        times = [first, *(taken(event) for event in itertools.islice(events, 4))]
    gaps_s = [(after - before).total_seconds() for before, after in itertools.pairwise(times)]
    assert max(gaps_s) >= 4 * interval_s
    assert all(gap_s > 0.5 * interval_s for gap_s in gaps_s)


def taken(event: m.Event) -> datetime:
    assert isinstance(event, m.LoadChanged)
    return datetime.fromisoformat(event.load.taken)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of its own, with a path short enough for sockets."""
    with TemporaryDirectory(prefix="v") as folder:
        yield Path(folder)


def test_the_watchdog_is_fed_again_at_once_and_in_its_rhythm(root: Path) -> None:
    limit_s = 6.0
    command = [sys.executable, "-m", "voiced", "run", "--set", "drop_enabled=false"]
    with NotifyHarness(command, root, watchdog_s=limit_s, environ=Home(root).environ) as harness:
        harness.wait_for("READY=1")
        before_s = harness.wait_for("WATCHDOG=1", limit_s).at_s
        with frozen(harness.process.pid, with_children=True):
            time.sleep(1.5 * limit_s)
        harness.drain()
        woken_s = before_s + 1.5 * limit_s
        pings_s = [harness.wait_for("WATCHDOG=1", limit_s).at_s for _ in range(3)]
        assert pings_s[0] < woken_s + 0.8 * limit_s
        gaps_s = [after - before for before, after in itertools.pairwise(pings_s)]
        assert max(gaps_s) < 0.8 * limit_s
        assert min(gaps_s) > 0.3 * limit_s
