"""Row 20, client manners: daemon absent, stale socket, killed mid-request, older or newer protocol version.

Target: an error within 1 s with an exit code; 0 hangs at exit; a version mismatch names both versions. Through
`Client`, through a program that never closes it, and through the command `voiced` (told not to start a daemon).
"""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.scorecard.card import Card
from tests.support import DaemonProcess, Home, running_daemon, temporary_home, wait_for
from voiced.cli.exits import Exit
from voiced.scheduler import CANCEL_S
from voiced_ipc import Client, codec
from voiced_ipc.errors import DaemonUnavailable, JobCancelled, VersionMismatch, VoicedError
from voiced_ipc.messages import PROTOCOL_TAG, PROTOCOL_VERSION

ERROR_S = 1.0
START_S = 1.0
"""A Python process starts and ends besides, on a busy machine."""
LONG_TEXT = "A sentence that is said again. " * 2000
CALLS: dict[str, Callable[[Client], object]] = {
    "status": lambda client: client.status(),
    "control": lambda client: client.pause(),
    "stream": lambda client: client.synthesize("hello"),
    "file": lambda client: client.submit_text("hello"),
}
COMMANDS = (["status"], ["jobs"], ["pause"], ["say", "-o", "out.wav", "hello"], ["stop"])
_CARELESS = """
import sys
from voiced_ipc import Client
from voiced_ipc.errors import VoicedError
client = Client()
try:
    client.synthesize("hello")
except VoicedError as error:
    print(type(error).__name__)
    sys.exit(9)
"""
_OTHER_VERSION = """
import sys
import voiced_ipc.codec
voiced_ipc.codec.PROTOCOL_TAG = sys.argv.pop(1).encode()
from voiced.__main__ import main
sys.exit(main())
"""


class Ended:
    """A command that has ended."""

    def __init__(self, home: Home, *arguments: str) -> None:
        began = time.monotonic()
        ended = subprocess.run(
            [sys.executable, *arguments],
            env=home.environ | {"VOICED_NO_START": "1"},
            cwd=home.root,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
        self.took_s = time.monotonic() - began
        self.code = ended.returncode
        self.output = ended.stdout
        self.errors = ended.stderr


def refused_after(home: Home, call: Callable[[Client], object]) -> tuple[VoicedError, float]:
    """Return the error of a call, and the seconds until the client was closed after it."""
    began = time.monotonic()
    with pytest.raises(VoicedError) as caught, Client(home.endpoint) as client:
        call(client)
    return caught.value, time.monotonic() - began


def check_refused(home: Home, commands: tuple[list[str], ...]) -> tuple[float, float]:
    """Everybody is told that there is no daemon, soon; return the slowest call and the slowest command."""
    calls_s, commands_s = [], []
    for call in CALLS.values():
        error, took_s = refused_after(home, call)
        assert isinstance(error, DaemonUnavailable)
        assert "voiced run" in error.message
        calls_s.append(took_s)
    for command in commands:
        ended = Ended(home, "-m", "voiced", *command)
        assert ended.code == Exit.UNAVAILABLE, (command, ended.errors)
        assert "Traceback" not in ended.errors
        assert ended.errors.strip()
        commands_s.append(ended.took_s)
    careless = Ended(home, "-c", _CARELESS)
    assert (careless.code, careless.output.strip()) == (9, "DaemonUnavailable")
    commands_s.append(careless.took_s)
    assert max(calls_s) < ERROR_S
    assert max(commands_s) < ERROR_S + START_S
    return max(calls_s), max(commands_s)


def test_no_daemon(card: Card, home: Home) -> None:
    calls_s, commands_s = check_refused(home, COMMANDS)
    card.tell(case="absent", slowest_call_s=calls_s, slowest_command_s=commands_s)


def test_a_stale_socket(card: Card, home: Home) -> None:
    with running_daemon(home) as daemon:
        daemon.kill()
    assert home.endpoint.speech.exists()
    calls_s, commands_s = check_refused(home, COMMANDS)
    card.tell(case="stale socket", slowest_call_s=calls_s, slowest_command_s=commands_s)


def kill_in_a_moment(daemon: DaemonProcess, delay_s: float) -> threading.Timer:
    """Kill a stopped daemon a little later."""
    timer = threading.Timer(delay_s, daemon.signal, [signal.SIGKILL])
    timer.start()
    return timer


@pytest.mark.parametrize("name", CALLS)
def test_killed_in_the_middle_of_a_request(card: Card, name: str) -> None:
    rounds, delay_s, slowest_s = card.count(1, 10), 0.3, 0.0
    for _ in range(rounds):
        with temporary_home() as home, running_daemon(home) as daemon:
            with daemon.client() as client:
                client.status()
            daemon.signal(signal.SIGSTOP)  # the request is on its way and nobody reads it
            timer = kill_in_a_moment(daemon, delay_s)
            error, took_s = refused_after(home, CALLS[name])
            timer.join()
            assert isinstance(error, VoicedError)
            slowest_s = max(slowest_s, took_s - delay_s)
    card.tell(case=f"killed mid-{name}", rounds=rounds, slowest_s=slowest_s)
    assert slowest_s < ERROR_S


def test_a_stream_whose_daemon_is_killed(card: Card, home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client() as client:
        stream = client.speak(LONG_TEXT)
        chunks = iter(stream)
        next(chunks)
        daemon.kill()
        began = time.monotonic()
        with pytest.raises(VoicedError):
            b"".join(chunks)
        took_s = time.monotonic() - began
    card.tell(case="killed mid-stream", error_s=took_s)
    assert took_s < ERROR_S


def test_a_command_whose_daemon_is_killed(card: Card, home: Home) -> None:
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            client.status()
        daemon.signal(signal.SIGSTOP)
        command = subprocess.Popen(
            [sys.executable, "-m", "voiced", "status"],
            env=home.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: has_connected(command.pid), what="the command's request")
        began = time.monotonic()
        daemon.kill()
        _, errors = command.communicate(timeout=30)
        took_s = time.monotonic() - began
    card.tell(case="command, killed mid-request", error_s=took_s, exit_code=command.returncode)
    assert command.returncode in (Exit.UNAVAILABLE, Exit.BUSY)
    assert errors.strip()
    assert "Traceback" not in errors
    assert took_s < ERROR_S + START_S


def has_connected(pid: int) -> bool:
    """Whether a process holds a socket of ZeroMQ: its own connection, after the probe was closed."""
    found = []
    with contextlib.suppress(OSError):  # descriptors come and go
        found = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return any(name.startswith("socket:") for name in found) and any("eventpoll" in name for name in found)


def workers_of(daemon: DaemonProcess) -> set[int]:
    """Return the pids of the daemon's own children; what a worker forks for a text comes and goes."""
    return {child.pid for child in psutil.Process(daemon.pid).children()}


def test_clients_that_leave_their_streams_early_cost_no_worker(card: Card, home: Home) -> None:
    """Short texts end while they are being cancelled: both halves of that race must leave the worker free."""
    rounds = card.count(60, 500)
    with running_daemon(home) as daemon, daemon.client() as client:
        client.synthesize("hello")
        workers = workers_of(daemon)
        for i in range(rounds):
            with client.speak("hello" if i % 2 else LONG_TEXT, voice="en-us") as stream:
                next(iter(stream))
        time.sleep(CANCEL_S + 0.1)  # so long the daemon waits before it ends a worker that does not stop
        assert client.synthesize("hello")[0]
        assert workers <= workers_of(daemon)
        assert client.status().problems == []
    card.tell(case="left early", rounds=rounds, workers_replaced=0)


def test_the_reader_of_a_stream_that_somebody_cancels_is_told(card: Card, home: Home) -> None:
    rounds, slowest_s = card.count(20, 400), 0.0
    with running_daemon(home) as daemon, daemon.client(timeout_s=4.0) as client, daemon.client() as other:
        for i in range(rounds):
            with client.speak(LONG_TEXT) as stream:
                chunks = iter(stream)
                next(chunks)
                time.sleep(i % 10 * 0.003)
                began = time.monotonic()
                other.cancel(stream.accepted.job_id)
                with pytest.raises(JobCancelled):
                    b"".join(chunks)
                slowest_s = max(slowest_s, time.monotonic() - began)
    card.tell(case="cancelled by another", rounds=rounds, slowest_s=slowest_s)
    assert slowest_s < ERROR_S


@pytest.mark.parametrize("other", [PROTOCOL_VERSION - 1, PROTOCOL_VERSION + 1])
def test_another_version_is_named(
    card: Card, home: Home, monkeypatch: pytest.MonkeyPatch, other: int
) -> None:
    ours, theirs = PROTOCOL_TAG.decode(), f"voiced/{other}"
    with running_daemon(home) as daemon:
        ended = Ended(home, "-c", _OTHER_VERSION, theirs, "status")
        assert ended.code == Exit.PROTOCOL
        assert ours in ended.errors
        assert theirs in ended.errors
        monkeypatch.setattr(codec, "PROTOCOL_TAG", theirs.encode())
        error, took_s = refused_after(home, CALLS["status"])
        monkeypatch.undo()
        assert isinstance(error, VersionMismatch)
        assert ours in error.message
        assert theirs in error.message
        with daemon.client() as client:
            assert client.status().pid == daemon.pid
    card.tell(case=f"client speaks {theirs}", error_s=took_s, command_s=ended.took_s, exit_code=ended.code)
    assert took_s < ERROR_S
    assert ended.took_s < ERROR_S + START_S
