"""A user of its own for every test: folders, endpoint, no daemon, no other settings."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.cli.standin import StandIn, standing_in
from voiced.cli.dispatch import dispatch
from voiced_ipc import Endpoint

Voiced = Callable[..., "subprocess.CompletedProcess[bytes]"]


class Ran:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder that holds everything of a user."""
    folder = Path(tempfile.mkdtemp(prefix="vc"))
    for name in [name for name in os.environ if name.startswith("VOICED_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VOICED_ROOT", str(folder / "root"))
    monkeypatch.setenv("VOICED_ENDPOINT", str(folder / "run"))
    monkeypatch.setenv("COLUMNS", "100")
    before = signal.getsignal(signal.SIGTERM)
    yield folder
    signal.signal(signal.SIGTERM, before)
    shutil.rmtree(folder)


@pytest.fixture
def endpoint(user: Path) -> Endpoint:
    return Endpoint(user / "run")


@pytest.fixture
def daemon(endpoint: Endpoint) -> Iterator[StandIn]:
    with standing_in(endpoint.folder) as standin:
        yield standin


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run_(*arguments: str) -> Ran:
        capsys.readouterr()
        code = dispatch(list(arguments))
        out, err = capsys.readouterr()
        return Ran(int(code), out, err)

    return run_


@pytest.fixture
def voiced() -> Voiced:
    """Run a command as a process."""

    def run_(*arguments: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
        fields: dict[str, object] = {"capture_output": True, "stdin": subprocess.DEVNULL, "timeout": 30}
        if "input" in options:
            del fields["stdin"]
        command = [sys.executable, "-m", "voiced", *arguments]
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command,
            check=False,
            **(fields | options),  # type: ignore[call-overload]
        )
        return done

    return run_
