"""One tray for each daemon's place: a lock, and a private folder for the icon's files.

The panel reads the icon from a file, so that folder cannot be a private /tmp; it lies beside the daemon's sockets.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from voiced_ipc.endpoint import Endpoint, unsafe_reason
from voiced_ipc.errors import VoicedError


class FolderUnusable(VoicedError):
    """The tray's own folder cannot be made or is open to others."""


class Instance:
    """The right to be the tray, held until `close` or the end of the process."""

    def __init__(self, folder: Path, lock: IO[str]) -> None:
        self.icons = folder / "icons"
        """Empty at the start: what a killed tray left is gone."""
        self._lock = lock

    def close(self) -> None:
        """Let another tray start."""
        shutil.rmtree(self.icons, ignore_errors=True)
        self._lock.close()


def take_instance(endpoint: Endpoint) -> Instance | None:
    """Return the right to be the tray of the daemon at `endpoint`; None where another tray has it.

    Raises:
        FolderUnusable: If there is no place for the lock.
    """
    folder = endpoint.folder.with_name(f"{endpoint.folder.name}-tray")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reason = unsafe_reason(folder)
        if reason:
            raise FolderUnusable(reason)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        lock = os.fdopen(descriptor, "r+")
    except OSError as error:
        raise FolderUnusable(f"{folder} cannot be used: {error.strerror}; set XDG_RUNTIME_DIR") from error
    instance = Instance(folder, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(instance.icons)
        instance.icons.mkdir(mode=0o700)
    except BlockingIOError:
        lock.close()
        return None
    except OSError as error:
        lock.close()
        raise FolderUnusable(f"{instance.icons} cannot be made anew: {error.strerror}; remove it") from error
    return instance
