"""What several test folders need: groups that a machine must run, and a real daemon as a process."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from voiced.paths import Paths, find_paths
from voiced_ipc import Client, Endpoint
from voiced_ipc.errors import DaemonUnavailable, RequestTimeout
from voiced_ipc.messages import JobInfo, JobState

REQUIRED = frozenset(filter(None, os.environ.get("VOICED_REQUIRE", "").split(",")))
"""Groups whose tests must run here: a skip inside one is a failure."""

START_S = 20.0
_Value = TypeVar("_Value")


def need(group: str, is_there: bool, reason: str) -> None:
    """Skip the test with `reason` unless `is_there`; fail where VOICED_REQUIRE names the group."""
    if is_there:
        return
    if group in REQUIRED:
        pytest.fail(f"{group} is required here: {reason}")
    pytest.skip(reason)


def wait_for(look: Callable[[], _Value | None], timeout_s: float = 20.0, what: str = "it") -> _Value:
    """Return what `look` gives once it gives something true; fails after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {timeout_s:g} s")


class Home(NamedTuple):
    """A place of its own for a daemon: its folders and its endpoint, short enough for sockets."""

    root: Path

    @property
    def environ(self) -> dict[str, str]:
        """Of the daemon and of commands that talk to it."""
        own = {"VOICED_ROOT": str(self.root), "VOICED_ENDPOINT": str(self.root / "run")}
        own["VOICED_KEEP_AWAKE"] = "false"  # the machine that runs the tests sleeps when it likes
        passed = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
        return {name: os.environ[name] for name in passed if name in os.environ} | own

    @property
    def paths(self) -> Paths:
        """Its folders."""
        return find_paths(self.environ)

    @property
    def endpoint(self) -> Endpoint:
        """Where its daemon listens."""
        return Endpoint(self.root / "run")

    @property
    def drop(self) -> Path:
        """Its drop folder."""
        return self.paths.home / "Drop"

    @property
    def audio(self) -> Path:
        """Its finished audio."""
        return self.paths.home / "Audio"

    def put(self, name: str, text: str | bytes) -> Path:
        """Put a whole text into the drop folder at once, as a move from elsewhere does."""
        aside = self.root / f"aside-{os.urandom(4).hex()}"
        aside.write_bytes(text.encode() if isinstance(text, str) else text)
        self.drop.mkdir(parents=True, exist_ok=True)
        return aside.rename(self.drop / name)


@contextlib.contextmanager
def temporary_home() -> Iterator[Home]:
    """A home that goes away; below /tmp because a socket's path is short."""
    root = Path(tempfile.mkdtemp(prefix="vd-", dir="/tmp"))
    try:
        yield Home(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


class DaemonProcess:
    """A real daemon in a home of its own.

    Args:
        home: Its place.
        arguments: Of `voiced run`.
        prelude: What a shell does before it becomes the daemon: `umask 000`, `ulimit -n 256`.
        environ: Its environment, besides that of the home.
    """

    def __init__(self, home: Home, *arguments: str, prelude: str = "", **environ: str) -> None:
        self.home = home
        self._command = [sys.executable, "-m", "voiced", "run", *arguments]
        if prelude:
            self._command = ["sh", "-c", f'{prelude} && exec "$@"', "sh", *self._command]
        self._environ = environ
        self.process: subprocess.Popen[bytes] | None = None
        self.errors = home.root / "stderr.txt"

    def start(self, *, is_ready: bool = True) -> "DaemonProcess":
        """Start it; return when it answers."""
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                self._command,
                env=self.home.environ | self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        if is_ready:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until it answers."""
        wait_for(self._answers, START_S, f"an answer of the daemon ({self.log()[-2000:]})")

    def _answers(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"the daemon ended with {code}: {self.log()[-2000:]}"
        with contextlib.suppress(DaemonUnavailable, RequestTimeout), self.client() as client:
            return client.status().pid == self.process.pid
        return False

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def client(self, timeout_s: float = 15.0) -> Client:
        """Return a client of it."""
        return Client(self.home.endpoint, timeout_s=timeout_s)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for its end; return the exit code."""
        assert self.process is not None
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """Stop it as a service manager does; return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def restart(self) -> None:
        """Start it again after an end."""
        self.start()

    def jobs(self) -> list[JobInfo]:
        """Return all its durable jobs, oldest first."""
        with self.client() as client:
            return list(client.jobs())[::-1]

    def wait_jobs(self, count: int, timeout_s: float = 60.0) -> list[JobInfo]:
        """Wait until so many durable jobs have ended; return them, oldest first."""

        def ended() -> list[JobInfo]:
            with contextlib.suppress(DaemonUnavailable, RequestTimeout):
                jobs = [job for job in self.jobs() if job.state.is_final]
                if len(jobs) >= count:
                    return jobs
            return []

        return wait_for(ended, timeout_s, f"the end of {count} jobs")

    def wait_job(self, job_id: str, *states: JobState, timeout_s: float = 60.0) -> JobInfo:
        """Wait until a job is in one of `states` (none = has ended); return it."""
        with self.client() as client:

            def reached() -> JobInfo | None:
                job = client.job(job_id)
                return job if (job.state in states if states else job.state.is_final) else None

            return wait_for(reached, timeout_s, f"the end of job {job_id}")

    def children(self) -> list[int]:
        """Return the pids of its children."""
        import psutil

        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]

    def log(self) -> str:
        """Return what it has logged."""
        log = self.home.paths.log_file
        logged = log.read_text(errors="replace") if log.exists() else ""
        return self.errors.read_text(errors="replace") + logged


@contextlib.contextmanager
def running_daemon(home: Home, *arguments: str, **environ: str) -> Iterator[DaemonProcess]:
    """A daemon that answers; killed at the end if it still lives."""
    daemon = DaemonProcess(home, *arguments, **environ)
    try:
        yield daemon.start()
    finally:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.kill()
