"""The first part of the daemon's start: everything until it is ready, with as little imported as that needs.

    settings > folders > lock > sockets listen > store opened > READY

Who connects from then on waits in the backlog; the parts that answer are imported meanwhile (`voiced.app`).
"""

import contextlib
import os
import resource
import signal
import sqlite3
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from voiced.config import Config, Problem, load_config
from voiced.errors import AlreadyRunning, UnsafeFolder
from voiced.files.pid_lock import LockHeld, PidLock
from voiced.jobs.schema import open_database
from voiced.paths import Paths, find_paths
from voiced.sdnotify import Notifier, find_notifier, passed_sockets
from voiced.server.listener import Listener, open_listeners
from voiced_ipc.endpoint import find_endpoint, open_parent_reason
from voiced_ipc.errors import StorageFailed

DESCRIPTORS_WANTED = 8192
"""libzmq ends a process that runs out of them; launchd's default is 256."""
_PRIVATE_UMASK = 0o077
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Blocked from READY until the loop handles them."""


class Booted(NamedTuple):
    """A daemon that is ready and does not answer yet."""

    paths: Paths
    config: Config
    problems: tuple[Problem, ...]
    overrides: Mapping[str, object]
    notifier: Notifier
    lock: PidLock
    """Held by the one daemon of this state folder: it alone binds the sockets."""
    listeners: tuple[Listener, Listener, Listener]
    descriptors: int
    """Limit of open files."""
    database: sqlite3.Connection
    database_problem: str
    file_mode: int
    """Of finished audio: as the user's own programs would make it."""


def boot(overrides: Mapping[str, object]) -> Booted:
    """Return the daemon, ready.

    Args:
        overrides: Settings from the command line.

    Raises:
        AlreadyRunning: If another daemon holds the lock.
        UnsafeFolder: If others could change a folder that it needs.
        StorageFailed: If the store cannot be opened.
        OSError: If a folder or socket cannot be made.
    """
    file_mode = 0o666 & ~os.umask(_PRIVATE_UMASK)
    paths = find_paths()
    config, problems = load_config(paths, overrides=overrides)
    endpoint = find_endpoint()
    for folder in (paths.state, paths.spool, paths.incoming):
        _make_private(folder)
    lock = _take_lock(paths.lock_file)
    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        notifier = find_notifier()
        descriptors = _raise_descriptor_limit()
        listeners = open_listeners(endpoint, passed_sockets())
        for listener in listeners:
            undo.callback(listener.close)
        database, database_problem = _open_store(paths.database)
        undo.pop_all()
    # From here on a signal means a proper stop; it waits until the loop can see to it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    notifier.ready("starting")
    return Booted(
        paths=paths,
        config=config,
        problems=problems,
        overrides=overrides,
        notifier=notifier,
        lock=lock,
        listeners=listeners,
        descriptors=descriptors,
        database=database,
        database_problem=database_problem,
        file_mode=file_mode,
    )


def _take_lock(file: Path) -> PidLock:
    try:
        return PidLock(file)
    except LockHeld as error:
        raise AlreadyRunning(
            f"voiced runs already as process {error.pid} (lock {file}); `voiced status` shows it, "
            "`voiced restart` starts it anew"
        ) from None


def _raise_descriptor_limit() -> int:
    """Raise the limit of open files as far as wanted and allowed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def _open_store(path: Path) -> tuple[sqlite3.Connection, str]:
    try:
        return open_database(path)
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"{path} cannot be used: {error}; is the disk full or read-only?") from error


def _make_private(folder: Path) -> None:
    """Make a folder for our own files, and close one that is ours and open to readers.

    Raises:
        UnsafeFolder: If it belongs to somebody else, is a link, or everybody could have put something into it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
        raise UnsafeFolder(f"{folder} must be a folder of your own: it would hold your texts")
    if found.st_mode & stat.S_IWOTH:
        raise UnsafeFolder(
            f"everybody may write into {folder}, and may have: look what lies in it, then chmod 700 {folder}"
        )
    reason = open_parent_reason(folder)
    if reason:
        raise UnsafeFolder(reason)
    if found.st_mode & 0o077:
        folder.chmod(0o700)
