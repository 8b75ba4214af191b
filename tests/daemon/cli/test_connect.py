"""Starting a daemon where none runs: once, detached, with its reason when it cannot."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.cli.conftest import Run
from tests.daemon.cli.standin import StandIn
from voiced.cli.connect import is_listening, spawn_daemon
from voiced.cli.exits import Exit

PYTHON = sys.executable
REPOSITORY = Path(__file__).parents[3]

SERVES = """
import os, signal, sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from tests.daemon.cli.standin import standing_in
folder = Path(os.environ["VOICED_ENDPOINT"])
Path({folder!r}, "pid").write_text(str(os.getpid()))
Path({folder!r}, "arguments").write_text(" ".join(sys.argv[1:]))
Path({folder!r}, "session").write_text(str(os.getsid(0)))
Path({folder!r}, "environ").write_text(" ".join(os.environ))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
with standing_in(folder):
    signal.sigwait([signal.SIGTERM])
"""


@pytest.fixture
def stub(user: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Make the daemon's program this script."""
    program = user / "python"

    def write(script: str) -> None:
        script = script.replace("{repository!r}", repr(str(REPOSITORY))).replace(
            "{folder!r}", repr(str(user))
        )
        program.write_text(f"#!{PYTHON}\n{script}")
        program.chmod(0o755)
        monkeypatch.setattr("voiced.cli.connect.sys.executable", str(program))

    yield write
    if (user / "pid").exists():
        pid = int((user / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(ChildProcessError):  # a grandchild's end is somebody else's to wait for
            os.waitpid(pid, 0)
        end = time.monotonic() + 10
        while is_listening():
            assert time.monotonic() < end
            os.sched_yield()


@pytest.mark.process
def test_it_is_started_detached(
    run: Run, user: Path, stub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/somebody/elses")
    stub(SERVES)
    ran = run("pause")
    assert (ran.code, ran.err) == (Exit.OK, "")
    assert (user / "arguments").read_text() == "-P -m voiced run"
    pid = int((user / "pid").read_text())
    assert int((user / "session").read_text()) == pid
    assert "NOTIFY_SOCKET" not in (user / "environ").read_text().split()
    assert (user / "root/state").stat().st_mode & 0o777 == 0o700
    assert run("pause").code == Exit.OK
    assert int((user / "pid").read_text()) == pid  # not a second one


@pytest.mark.process
def test_why_it_does_not_start_is_told(run: Run, stub: Callable[[str], None]) -> None:
    stub(
        "import sys; print('noise', file=sys.stderr); sys.exit('voiced: /x is open to others: chmod 700 /x')"
    )
    ran = run("voices")
    assert ran.code == Exit.UNAVAILABLE
    assert ran.err == "voiced: the daemon did not start: /x is open to others: chmod 700 /x\n"


@pytest.mark.process
def test_a_silent_end_is_told_too(
    run: Run, stub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiced.cli.connect._LOSER_S", 0.1)
    stub("import sys; sys.exit(3)")
    assert "ended with 3" in run("voices").err


@pytest.mark.process
def test_a_daemon_that_never_answers(
    run: Run, user: Path, stub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiced.cli.connect.START_TIMEOUT_S", 0.2)
    stub("import os, signal\nopen({folder!r} + '/pid', 'w').write(str(os.getpid()))\nsignal.pause()")
    ran = run("voices")
    assert ran.code == Exit.UNAVAILABLE
    assert "does not answer within 0.2 s" in ran.err


@pytest.mark.process
def test_of_two_started_at_once_the_loser_is_no_failure(
    run: Run, endpoint: object, user: Path, stub: Callable[[str], None]
) -> None:
    """The one started here finds another just starting, leaves with 3, and the other serves."""
    other = user / "other"
    stub(SERVES)
    winner = (user / "python").read_text()
    other.write_text(winner)
    other.chmod(0o755)
    stub(f"import subprocess, sys\nsubprocess.Popen([{str(other)!r}], start_new_session=True)\nsys.exit(3)")
    ran = run("voices")
    assert (ran.code, ran.err) == (Exit.OK, "")


def test_last_words_never_follow_a_link(user: Path) -> None:
    (user / "precious").write_text("x")
    (user / "log").symlink_to(user / "precious")
    with pytest.raises(OSError, match="symbolic"):
        spawn_daemon(user / "log", os.environ)
    assert (user / "precious").read_text() == "x"


def test_listening(daemon: StandIn, user: Path) -> None:
    assert is_listening()
    assert not is_listening(user / "nothing.sock")
    dead = user / "dead.sock"
    import socket

    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(dead))
    assert not is_listening(dead)
