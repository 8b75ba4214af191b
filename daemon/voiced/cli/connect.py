"""A client of the daemon that runs, or of one started for it: the installed service, else a detached process.

Reading and stopping never start one. There is never a second kind beside an installed service.
"""

import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from voiced.cli.exits import Exit
from voiced_ipc import Client, find_endpoint
from voiced_ipc.endpoint import SPEECH
from voiced_ipc.errors import DaemonUnavailable

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

START_TIMEOUT_S = 10.0
"""Greatest wait for a new daemon's first answer, as the unit's own limit is longer."""
_LOOK_S = 0.01
"""Between two looks whether it listens: a connect costs 20 us."""
_LOSER_S = 2.0
"""Of two daemons started at the same moment one leaves with 3; the other may need this long to listen."""
_FOREIGN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""What a service manager told *us*; a daemon of its own must not answer to it."""


def connect(*, timeout_s: float = 10.0) -> Client:
    """Return a client; its first call raises DaemonUnavailable where no daemon runs."""
    return Client(timeout_s=timeout_s)


def connect_or_start(*, no_start: bool, timeout_s: float = 10.0) -> Client:
    """Return a client of a daemon that listens, started if need be.

    Args:
        no_start: Never start one; VOICED_NO_START=1 says the same for all commands.
        timeout_s: Greatest wait for one answer, in seconds.

    Raises:
        DaemonUnavailable: If none runs and none may, or can, be started.
    """
    if not (no_start or os.environ.get("VOICED_NO_START", "") not in ("", "0") or is_listening()):
        start_daemon()
    return Client(timeout_s=timeout_s)


def is_listening(path: "Path | None" = None) -> bool:
    """Return whether somebody listens at the speech socket, or at `path`."""
    probe = socket.socket(socket.AF_UNIX)
    probe.settimeout(1.0)
    try:
        probe.connect(str(path or find_endpoint().socket(SPEECH)))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:
        return True  # busy, or another's: the client's own words are better than a second daemon
    finally:
        probe.close()
    return True


def start_daemon() -> None:
    """Start the installed service, or else a detached daemon, and wait until it listens.

    Raises:
        DaemonUnavailable: If it does not come up; with what it said.
        ServiceError: If the service does not start.
    """
    from voiced import service

    if service.find_service() is not None:
        print("voiced: starting the service ...", file=sys.stderr)
        service.start()
        await_listening(START_TIMEOUT_S, None, None)
        return
    from voiced.paths import find_paths

    state = find_paths().state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        last_words = state / "start.log"
        process = spawn_daemon(last_words, os.environ)
    except OSError as error:
        raise DaemonUnavailable(f"no daemon could be started: {error}") from error
    try:
        await_listening(START_TIMEOUT_S, process, last_words)
    finally:
        process.returncode = process.returncode or 0  # it outlives us: nobody waits for its end


def spawn_daemon(
    last_words: "Path", environ: Mapping[str, str], *arguments: str
) -> "subprocess.Popen[bytes]":
    """Return a daemon in a session of its own, its standard error in the file `last_words`, begun anew."""
    import subprocess

    descriptor = os.open(last_words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "voiced", "run", *arguments],
            env={name: value for name, value in environ.items() if name not in _FOREIGN},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def await_listening(
    timeout_s: float,
    process: "subprocess.Popen[bytes] | None",
    last_words: "Path | None",
    path: "Path | None" = None,
) -> None:
    """Wait until the daemon listens.

    Args:
        timeout_s: Greatest wait.
        process: The daemon, where it is our child.
        last_words: Where it writes why it cannot start.
        path: Its speech socket; None = this user's.

    Raises:
        DaemonUnavailable: If it ended or was too slow.
    """
    end = time.monotonic() + timeout_s
    is_gone = False
    while not is_listening(path):
        if not is_gone and process is not None and process.poll() is not None:
            is_gone = True
            grace_s = _LOSER_S if process.returncode == Exit.ALREADY_RUNNING else 0.0
            end = min(end, time.monotonic() + grace_s)
        if time.monotonic() >= end:
            raise DaemonUnavailable(_why_not(timeout_s, process, last_words))
        time.sleep(_LOOK_S)


def _why_not(timeout_s: float, process: "subprocess.Popen[bytes] | None", last_words: "Path | None") -> str:
    if process is None or process.returncode is None:
        return f"the daemon was started and does not answer within {timeout_s:g} s; `voiced run` shows why"
    said = last_words.read_text(errors="replace").strip().splitlines() if last_words is not None else []
    reason = said[-1].removeprefix("voiced: ") if said else f"it ended with {process.returncode}"
    return f"the daemon did not start: {reason}"
