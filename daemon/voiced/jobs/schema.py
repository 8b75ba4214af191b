"""The database file: opened, checked, brought to this version; set aside when it is damaged.

Runs before the daemon is ready, so it imports SQLite and nothing of ours.
"""

import contextlib
import sqlite3
from pathlib import Path

SCHEMA_VERSION = 1

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        job_order TEXT NOT NULL,
        progress TEXT NOT NULL,
        updated TEXT NOT NULL
    );
    CREATE INDEX unfinished ON jobs (number) WHERE state NOT IN ('done', 'failed', 'cancelled');
    CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
)
"""Step n takes the schema from version n to n + 1; never changed once released."""


class DatabaseTooNew(Exception):
    """The file was written by a newer version."""


def open_database(path: Path) -> tuple[sqlite3.Connection, str]:
    """Return a connection to the database, and what was wrong with an older file (empty = nothing).

    A damaged file, or one of a newer version, is set aside under another name and an empty one takes its place:
    the daemon never stays silent because of its history.

    Raises:
        sqlite3.Error, OSError: If not even an empty database can be made.
    """
    is_emptied = path.exists() and path.stat().st_size == 0
    try:
        return _open(path), "the job history was an empty file; a new one was begun" if is_emptied else ""
    except (sqlite3.DatabaseError, UnicodeDecodeError, DatabaseTooNew) as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        aside = _set_aside(path)
        problem = f"the job history was unreadable ({error}); it was kept as {aside} and an empty one begun"
        return _open(path), problem


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        # An accepted job survives a power cut, not only a crash.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=4194304")
        # 9 ms for 10,000 jobs: cheaper than to meet a damaged page later, in the midst of a job.
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise DatabaseTooNew(f"version {version}, this program reads {SCHEMA_VERSION}")
    for step in range(version, SCHEMA_VERSION):
        connection.executescript(f"BEGIN; {_MIGRATIONS[step]} PRAGMA user_version={step + 1}; COMMIT;")


def _set_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside
