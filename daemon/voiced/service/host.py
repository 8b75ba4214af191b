"""The machine and the user as the service managers need them, and the values that travel."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from voiced_ipc.errors import VoicedError

# Where packages and administrators put units for all users, in systemd's order: systemd.unit(5).
_SHARED_UNIT_FOLDERS = (
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "/lib/systemd/user",
)
_COMMAND_TIMEOUT_S = 90.0  # longer than TimeoutStartSec in the unit


class ServiceError(VoicedError):
    """The service manager is missing or refused; the message says what to do."""


class Completed(NamedTuple):
    """A command that ended."""

    returncode: int
    output: str
    """Standard output and error together."""


Run = Callable[[Sequence[str], Mapping[str, str]], Completed]
"""Runs a command with an environment; raises FileNotFoundError where there is no such program."""


class Host(NamedTuple):
    """The machine and the user."""

    platform: str
    """As `sys.platform`."""
    home: Path
    uid: int
    environ: Mapping[str, str]
    run: Run
    shared_unit_folders: tuple[Path, ...] = ()

    def command(self, words: Sequence[str], environ: Mapping[str, str]) -> Completed:
        """Return how a command ended, whatever its exit code.

        Raises:
            ServiceError: If there is no such program, or it did not end in time.
        """
        try:
            return self.run(words, environ)
        except FileNotFoundError:
            raise ServiceError(
                f"{words[0]} is not on this system: let your desktop start `voiced run` instead"
            ) from None
        except subprocess.TimeoutExpired:
            raise ServiceError(f"`{' '.join(words)}` did not end within {_COMMAND_TIMEOUT_S:g} s") from None


class InstalledService(NamedTuple):
    """The daemon's service as it is installed."""

    manager: str
    """`systemd` or `launchd`."""
    file: Path
    """The unit or the property list of the daemon."""
    program: str
    """What it starts."""
    is_on_demand: bool = False
    """The sockets start it when it is first needed, not the login."""


class ServiceStatus(NamedTuple):
    """What the service manager says."""

    installed: InstalledService | None
    is_enabled: bool = False
    is_running: bool = False
    pid: int | None = None
    state: str = ""
    """The manager's own words."""
    status_text: str = ""
    """What the daemon told the manager last."""
    restarts: int = 0


def this_host() -> Host:
    """Return the real machine and user."""
    shared = tuple(map(Path, _SHARED_UNIT_FOLDERS))
    return Host(sys.platform, Path.home(), os.getuid(), os.environ, _run, shared)


def _run(words: Sequence[str], environ: Mapping[str, str]) -> Completed:
    done = subprocess.run(
        words,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_COMMAND_TIMEOUT_S,
        check=False,
        encoding="utf-8",
        errors="replace",
    )
    return Completed(done.returncode, done.stdout)
