"""Where the daemon of this user listens: the only place that knows it.

`VOICED_ENDPOINT` (a folder) comes first, then the user's runtime folder. Never a configuration file: client and
daemon must agree without reading one.
"""

import os
import stat
import sys
from pathlib import Path
from typing import NamedTuple

from voiced_ipc.errors import DaemonUnavailable

# sockaddr_un.sun_path without its final NUL: 108 on Linux, 104 on the BSDs and macOS.
MAX_SOCKET_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103


class Endpoint(NamedTuple):
    """The folder that holds the daemon's sockets."""

    folder: Path

    @property
    def speech(self) -> Path:
        """Speak and read."""
        return self.folder / "voiced.sock"

    @property
    def control(self) -> Path:
        """Everything that changes the daemon."""
        return self.folder / "control.sock"

    @property
    def events(self) -> Path:
        """What happened, for onlookers."""
        return self.folder / "events.sock"


def find_endpoint(environ: dict[str, str] | None = None) -> Endpoint:
    """Return this user's endpoint; nothing is created.

    Raises:
        DaemonUnavailable: If the sockets' paths would be longer than the system allows.
    """
    env = os.environ if environ is None else environ
    endpoint = Endpoint(_folder(env.get("VOICED_ENDPOINT", ""), env.get("XDG_RUNTIME_DIR", "")))
    longest = max(len(os.fsencode(path)) for path in (endpoint.speech, endpoint.control, endpoint.events))
    if longest > MAX_SOCKET_PATH_BYTES:
        raise DaemonUnavailable(
            f"the socket path in {endpoint.folder} has {longest} bytes, the system allows "
            f"{MAX_SOCKET_PATH_BYTES}: set VOICED_ENDPOINT to a shorter folder"
        )
    return endpoint


def _folder(explicit: str, runtime: str) -> Path:
    if explicit:
        return Path(explicit).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/voiced/run"
    if runtime:
        return Path(runtime) / "voiced"
    user = Path("/run/user") / str(os.getuid())
    if user.is_dir():
        return user / "voiced"
    return Path.home() / ".local/state/voiced/run"


def unsafe_reason(folder: Path) -> str:
    """Return why `folder` must not hold the sockets, empty where it may: a real directory, ours, closed to others."""
    try:
        found = folder.lstat()
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return (
            f"{folder} is not a directory (a link or a file stands there): remove it, or set VOICED_ENDPOINT"
        )
    if found.st_uid != os.getuid():
        return f"{folder} belongs to user {found.st_uid}, not to you ({os.getuid()}): set VOICED_ENDPOINT"
    if found.st_mode & 0o077:
        return f"{folder} is open to others (mode {found.st_mode & 0o777:04o}): chmod 700 {folder}"
    return ""
