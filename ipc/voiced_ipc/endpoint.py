"""Where the daemon of this user listens: the only place that knows it.

`VOICED_ENDPOINT` (a folder) comes first, then the user's runtime folder. Never a configuration file: client and
daemon must agree without reading one.
"""

import os
import stat
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from voiced_ipc.errors import DaemonUnavailable

if TYPE_CHECKING:
    from pathlib import Path

SPEECH = "voiced.sock"
CONTROL = "control.sock"
EVENTS = "events.sock"

# sockaddr_un.sun_path without its final NUL: 108 on Linux, 104 on the BSDs and macOS.
MAX_SOCKET_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103


class Endpoint:
    """The folder that holds the daemon's sockets.

    A client needs their addresses as text; who looks at the files gets paths. `pathlib` is imported for the second
    alone: it would cost every short command 3 ms.

    Args:
        folder: Absolute.
    """

    def __init__(self, folder: "str | os.PathLike[str]") -> None:
        self._folder = os.fspath(folder)

    def __repr__(self) -> str:
        return f"Endpoint({self._folder!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and other._folder == self._folder

    def __hash__(self) -> int:
        return hash(self._folder)

    def socket(self, name: str) -> str:
        """Return where one of `SPEECH`, `CONTROL` and `EVENTS` lies, as text."""
        return f"{self._folder}/{name}"

    @property
    def folder(self) -> "Path":
        """The folder."""
        from pathlib import Path

        return Path(self._folder)

    @property
    def speech(self) -> "Path":
        """Speak and read."""
        return self.folder / SPEECH

    @property
    def control(self) -> "Path":
        """Everything that changes the daemon."""
        return self.folder / CONTROL

    @property
    def events(self) -> "Path":
        """What happened, for onlookers."""
        return self.folder / EVENTS


def find_endpoint(environ: Mapping[str, str] | None = None) -> Endpoint:
    """Return this user's endpoint; nothing is created.

    Raises:
        DaemonUnavailable: If the sockets' paths would be longer than the system allows.
    """
    env = os.environ if environ is None else environ
    endpoint = Endpoint(_folder(env.get("VOICED_ENDPOINT", ""), env.get("XDG_RUNTIME_DIR", "")))
    longest = max(len(os.fsencode(endpoint.socket(name))) for name in (SPEECH, CONTROL, EVENTS))
    if longest > MAX_SOCKET_PATH_BYTES:
        raise DaemonUnavailable(
            f"the socket path in {endpoint.socket('')} has {longest} bytes, the system allows "
            f"{MAX_SOCKET_PATH_BYTES}: set VOICED_ENDPOINT to a shorter folder"
        )
    return endpoint


def _folder(explicit: str, runtime: str) -> str:
    if explicit:
        return os.path.abspath(explicit)
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/voiced/run")
    if runtime:
        return f"{runtime}/voiced"
    user = f"/run/user/{os.getuid()}"
    if os.path.isdir(user):
        return f"{user}/voiced"
    return os.path.expanduser("~/.local/state/voiced/run")


def unsafe_reason(folder: "Path") -> str:
    """Return why `folder` must not hold the sockets, empty where it may: a real directory, ours, closed to others.

    Nobody else may be able to move it either.
    """
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
    return open_parent_reason(folder)


def open_parent_reason(folder: "Path") -> str:
    """Return why others could put another folder in the place of this one; empty where they cannot.

    In a folder with the sticky bit, as /tmp, everybody may make things and nobody may move what is not his.
    """
    for parent in folder.resolve().parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"everybody may replace what lies in {parent}, so {folder} is not safe there: chmod o-w {parent}"
    return ""
