"""Fixtures for all tests: a clean environment, no leaked threads, a daemon that answers."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import zmq
from hypothesis import settings

from tests.scorecard.card import SCORECARD
from tests.support import DaemonProcess, Home, running_daemon, temporary_home

# A shared machine stops for a moment now and then: that is no fault of a rule.
settings.register_profile("voiced", deadline=None)
settings.load_profile("voiced")

_OURS = ("VOICED_", "DEVICE", "OMP_NUM_THREADS", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "QUANTIZATION")


_HERE = Path(__file__).parent
_OF_PROCESSES = (_HERE / "system", _HERE / "scorecard", _HERE / "bench", _HERE / "gpu")
_STARTED_BY = frozenset({"child", "display", "overlay", "scribe", "shared_daemon", "voiced"})
"""Fixtures that are processes, or what only a process reads."""
_STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty"})
"""Audit events of a process that begins."""
_started: list[str] = []


def _note_start(event: str, _: tuple[object, ...]) -> None:
    if event in _STARTS:
        _started.append(event)


sys.addaudithook(_note_start)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of folders and fixtures that are about processes."""
    for item in items:
        fixtures: Sequence[str] = getattr(item, "fixturenames", ())
        if _STARTED_BY.intersection(fixtures) or any(one in item.path.parents for one in _OF_PROCESSES):
            item.add_marker(pytest.mark.process)


def pytest_configure() -> None:
    """Hear Ctrl+C: what a shell without job control runs in the background is deaf to it, and so are its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Count anew: a fixture of a whole module starts its process before those of the test."""
    _started.clear()


@pytest.fixture(autouse=True)
def marked_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Only tests that say so start processes: those without are the fast ones."""
    yield
    is_marked = request.node.get_closest_marker("process") is not None
    assert is_marked or not _started, f"not marked with process, but: {', '.join(_started)}"


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
