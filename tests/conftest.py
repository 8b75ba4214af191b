"""Fixtures for all tests: a clean environment, no leaked threads, a daemon that answers."""

import os
import threading
from collections.abc import Iterator

import pytest
import zmq
from hypothesis import settings

from tests.scorecard.card import SCORECARD
from tests.support import DaemonProcess, Home, running_daemon, temporary_home

# A shared machine stops for a moment now and then: that is no fault of a rule.
settings.register_profile("voiced", deadline=None)
settings.load_profile("voiced")

_OURS = ("VOICED_", "DEVICE", "OMP_NUM_THREADS", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "QUANTIZATION")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of the scorecard; they come with the reports, whichever process ran the tests."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = [
        line
        for report in reports
        if getattr(report, "when", "") == "teardown"  # the last of a test's three has them all
        for name, line in report.user_properties
        if name == SCORECARD
    ]
    if lines:
        terminalreporter.section("scorecard")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests reaches them."""
    for name in os.environ:
        if name.startswith(_OURS) and name not in ("VOICED_REQUIRE", "VOICED_TEST_ENGINES"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Commands that run within the tests' own process close their files to others: the next test is not theirs."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    """A test leaves no thread behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(5.0)
    alive = [thread.name for thread in left if thread.is_alive() and not thread.name.startswith("asyncio")]
    assert not alive, f"threads left behind: {alive}"


@pytest.fixture
def zmq_context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """A ZeroMQ context that must be able to end: a socket left open makes the test fail."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    ender = threading.Thread(target=context.term)
    ender.start()
    ender.join(10.0)
    if ender.is_alive():
        context.destroy(linger=0)
        ender.join(10.0)
        pytest.fail("a socket was left open")


@pytest.fixture
def home() -> Iterator[Home]:
    """A place of its own for a daemon."""
    with temporary_home() as made:
        yield made


@pytest.fixture
def daemon(home: Home) -> Iterator[DaemonProcess]:
    """A real daemon that answers."""
    with running_daemon(home) as running:
        yield running


@pytest.fixture(scope="module")
def shared_daemon() -> Iterator[DaemonProcess]:
    """One daemon for the tests of a module that leave it as it was."""
    with temporary_home() as home, running_daemon(home) as running:
        yield running
