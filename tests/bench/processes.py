"""The processes that are measured, and how long they take. All run without the settings of whoever started us."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support import Home

YARDSTICK = 'python -c "import zmq, msgpack"'
NO_ESPEAK = "espeak-ng -w (not installed: apt install espeak-ng)"
_FLOORS = Path(__file__).parent / "floors"
_READY_S = 30.0


class CommandFailed(Exception):
    """A measured command did not do its work."""


def run(command: list[str], environ: Mapping[str, str], *, folder: Path | None = None) -> None:
    """Run a command to its end.

    Raises:
        CommandFailed: If it fails, with what it said.
    """
    ended = subprocess.run(
        command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.decode(errors="replace")[-2000:]
        raise CommandFailed(f"{' '.join(command)[:200]} ended with {ended.returncode}: {said}")


def run_for_output(command: list[str], environ: Mapping[str, str]) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        CalledProcessError: If it fails.
    """
    return subprocess.run(command, env=environ, capture_output=True, check=True, text=True).stdout


def yardstick(environ: Mapping[str, str]) -> None:
    """Run the yardstick, whole."""
    run([sys.executable, "-c", "import zmq, msgpack"], environ)


def yardstick_line_ms(environ: Mapping[str, str]) -> float:
    """Return how long the yardstick takes from exec until its imports are done, in milliseconds; not its end."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", "import zmq, msgpack; print(flush=True)"], env=environ, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return (time.perf_counter() - began) * 1000


def voiced_command(*arguments: str) -> list[str]:
    """Return a command line of ours as people have it: the installed script, beside this interpreter."""
    script = Path(sys.executable).with_name("voiced")
    return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "voiced", *arguments]


def floor_command(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of the small programs in `floors`."""
    return [sys.executable, str(_FLOORS / f"{name}.py"), *arguments]


def espeak_command(text: Path, wav: Path) -> list[str] | None:
    """Return espeak-ng's own command line that makes a file; None where it is not installed."""
    program = shutil.which("espeak-ng")
    return [program, "-f", str(text), "-w", str(wav)] if program else None


class ReadySocket:
    """The service manager's end of NOTIFY_SOCKET."""

    def __init__(self, home: Home) -> None:
        self.address = str(home.root / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(_READY_S)

    def wait(self) -> float:
        """Return the moment at which READY came, on `time.perf_counter`'s clock.

        Raises:
            TimeoutError: If it does not come.
        """
        while True:
            if b"READY=1" in self._socket.recv(4096).split(b"\n"):
                return time.perf_counter()

    def clear(self) -> None:
        """Forget what an ended daemon said last."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            self._socket.settimeout(_READY_S)

    def close(self) -> None:
        """Close it."""
        self._socket.close()
        os.unlink(self.address)  # noqa: PTH108 - a socket's address is a str


class RunningCommand(NamedTuple):
    """A daemon just executed."""

    process: "subprocess.Popen[bytes]"
    began: float
    """On `time.perf_counter`'s clock."""


def execute_daemon(home: Home, ready: ReadySocket) -> RunningCommand:
    """Execute the daemon as its unit does; returns at once."""
    ready.clear()
    environ = home.environ | {"NOTIFY_SOCKET": ready.address}
    began = time.perf_counter()
    process = subprocess.Popen(
        voiced_command("run"),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return RunningCommand(process, began)
