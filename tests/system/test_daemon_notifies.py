"""What the real daemon tells its service manager, and the sockets that it takes from one."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.units.notify_harness import NotifyHarness
from voiced_ipc import Client, Endpoint

RUN = [sys.executable, "-m", "voiced", "run", "--set", "drop_enabled=false"]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder of its own, with a path short enough for sockets."""
    with TemporaryDirectory(prefix="v") as folder:
        yield Path(folder)


def environ(root: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VOICED_")}
    return clean | {"VOICED_ROOT": str(root / "r"), "VOICED_ENDPOINT": str(root / "e")}


def test_ready_means_that_it_answers(root: Path) -> None:
    with NotifyHarness(RUN, root, environ=environ(root)) as harness:
        ready = harness.wait_for("READY=1")
        assert ready.pid == harness.process.pid
        with Client(Endpoint(root / "e"), timeout_s=5) as client:
            assert client.status().pid == harness.process.pid
        assert [one.line for one in harness.drain() if one.line.startswith("STATUS=")] != []


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_stopping_is_said_before_the_end(root: Path, stop_signal: int) -> None:
    with NotifyHarness(RUN, root, environ=environ(root)) as harness:
        harness.wait_for("READY=1")
        began = time.monotonic()
        assert harness.stop(stop_signal) == 0
        assert time.monotonic() - began < 5
        harness.wait_for("STOPPING=1", 1)
        assert list((root / "e").glob("*.sock")) == []


def test_hangup_is_answered_as_systemd_asks(root: Path) -> None:
    with NotifyHarness(RUN, root, environ=environ(root)) as harness:
        harness.wait_for("READY=1")
        before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        harness.process.send_signal(signal.SIGHUP)
        harness.wait_for("RELOADING=1")
        stamp = harness.wait_for("MONOTONIC_USEC=", 1)
        assert int(stamp.line.partition("=")[2]) > before_us
        harness.wait_for("READY=1")
        assert harness.process.poll() is None


def test_the_watchdog_is_fed_in_time(root: Path) -> None:
    # The idle pool's supervisor turns every 2.5 s, and must have turned between two pings.
    limit_s = 6.0
    with NotifyHarness(RUN, root, environ=environ(root), watchdog_s=limit_s) as harness:
        ready_s = harness.wait_for("READY=1").at_s
        times_s = [ready_s, *(harness.wait_for("WATCHDOG=1", limit_s).at_s for _ in range(2))]
        assert max(after - before for before, after in itertools.pairwise(times_s)) < 0.8 * limit_s


def test_nobody_watches(root: Path) -> None:
    with NotifyHarness(RUN, root, environ=environ(root)) as harness:
        harness.wait_for("READY=1")
        with pytest.raises(TimeoutError):
            harness.wait_for("WATCHDOG=1", 1)


def test_passed_sockets_are_used_and_left_in_place(root: Path) -> None:
    endpoint = Endpoint(root / "e")
    paths = [endpoint.speech, endpoint.control, endpoint.events]
    with NotifyHarness(RUN, root, environ=environ(root), listen=paths) as harness:
        before = [path.stat().st_ino for path in paths]
        # Sent before anybody reads: it waits in the socket.
        with Client(endpoint, timeout_s=10) as client:
            assert client.status().pid == harness.process.pid
        harness.wait_for("READY=1")
        with Client(endpoint, timeout_s=10) as client:
            client.shutdown()
        assert harness.process.wait(10) == 0
        assert [path.stat().st_ino for path in paths] == before
