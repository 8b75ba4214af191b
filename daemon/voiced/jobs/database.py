"""The database of jobs and settings: what is asked of SQLite, and in which words.

Plain functions over a connection; which thread calls them is the store's business.
"""

import itertools
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator

from voiced.jobs.job import Job, dump_order, dump_progress, load_order, load_progress
from voiced_ipc.errors import VoicedError
from voiced_ipc.messages import JobState

logger = logging.getLogger(__name__)

_FINAL = tuple(state.value for state in JobState if state.is_final)
_Row = tuple[int, str, str, str, str]
_COLUMNS = "number, state, job_order, progress, updated"


def transact(connection: sqlite3.Connection, work: Iterable[Callable[[], object]]) -> list[object]:
    """Return the results of `work`, all in one commit; an item that raises is undone alone and gives its exception.

    Raises:
        sqlite3.Error: If the commit itself fails; nothing of it is then done.
    """
    results: list[object] = []
    connection.execute("BEGIN IMMEDIATE")
    try:
        for item in work:
            connection.execute("SAVEPOINT item")
            try:
                results.append(item())
            except (sqlite3.Error, OSError, ValueError, KeyError, TypeError, VoicedError) as error:
                connection.execute("ROLLBACK TO item")
                results.append(error)
            connection.execute("RELEASE item")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


def insert_job(connection: sqlite3.Connection, job: Job) -> Job:
    """Return the job with its number; where its id is known, the job that has it already."""
    known = find_job(connection, job.job_id)
    if known is not None:
        return known
    cursor = connection.execute(
        "INSERT INTO jobs (job_id, state, job_order, progress, updated) VALUES (?, ?, ?, ?, ?)",
        (job.job_id, job.state.value, dump_order(job.order), dump_progress(job.progress), job.updated),
    )
    assert cursor.lastrowid is not None
    return job._replace(number=cursor.lastrowid)


def update_job(connection: sqlite3.Connection, job: Job) -> None:
    """Write state and progress."""
    connection.execute(
        "UPDATE jobs SET state = ?, progress = ?, updated = ? WHERE job_id = ?",
        (job.state.value, dump_progress(job.progress), job.updated, job.job_id),
    )


def delete_job(connection: sqlite3.Connection, job_id: str) -> None:
    """Remove a job."""
    connection.execute("DELETE FROM jobs WHERE job_id = ?", (job_id,))


def find_job(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """Return a job by its id."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return _job(row) if row else None


def open_reader(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return another connection to the same file, which never waits and never writes; for any thread.

    Raises:
        sqlite3.Error: If it cannot be opened.
    """
    file = connection.execute("PRAGMA database_list").fetchone()[2]
    reader = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=0.0)
    reader.execute("PRAGMA query_only=ON")
    return reader


def has_job(connection: sqlite3.Connection, job_id: str) -> bool:
    """Whether there is a job of that id."""
    found = connection.execute("SELECT 1 FROM jobs WHERE job_id = ?", (job_id,))
    return found.fetchone() is not None


def unfinished_jobs(connection: sqlite3.Connection) -> list[Job]:
    """Return the jobs that are to go on, in their order of arrival."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE state NOT IN {_FINAL} ORDER BY number")
    return list(_readable(rows))


def ids_with_spool(connection: sqlite3.Connection) -> set[str]:
    """Return the ids of jobs that may go on, by themselves or by a retry: their files stay."""
    wanted = (JobState.DONE.value, JobState.CANCELLED.value)
    return {row[0] for row in connection.execute("SELECT job_id FROM jobs WHERE state NOT IN (?, ?)", wanted)}


def list_jobs(
    connection: sqlite3.Connection, states: Iterable[JobState], before: int | None, limit: int
) -> list[Job]:
    """Return at most `limit` jobs, newest first, that came before the job of number `before`."""
    wanted = [state.value for state in states]
    marks = ", ".join("?" * len(wanted))
    where = [f"state IN ({marks})"] if wanted else []
    values: list[object] = [*wanted]
    if before is not None:
        where.append("number < ?")
        values.append(before)
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs {condition} ORDER BY number DESC", values)
    return list(itertools.islice(_readable(rows), limit))


def forget_jobs(connection: sqlite3.Connection, before: str, now: str) -> int:
    """Remove finished jobs that are old; return how many.

    Args:
        connection: To the database.
        before: Stamp; what was last touched before it is old, where nothing that came earlier is young.
        now: Stamp; what was touched after it, by a clock that was ahead, says nothing of others.
    """
    young = "SELECT MIN(number) FROM jobs WHERE updated BETWEEN ? AND ?"
    return connection.execute(
        f"DELETE FROM jobs WHERE state IN {_FINAL} AND updated < ? AND number < IFNULL(({young}), 1 << 62)",
        (before, before, now),
    ).rowcount


def read_setting(connection: sqlite3.Connection, key: str) -> str | None:
    """Return what was kept under `key`."""
    row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def write_setting(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keep `value` over restarts."""
    connection.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))


def _readable(rows: Iterable[_Row]) -> Iterator[Job]:
    for row in rows:
        try:
            yield _job(row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # One row that cannot be read must not keep the others, nor the daemon, from going on.
            logger.error("job number %s cannot be read and is left alone: %r", row[0], error)


def _job(row: _Row) -> Job:
    number, state, order, progress, updated = row
    return Job(load_order(order), JobState(state), load_progress(progress), updated, number)
