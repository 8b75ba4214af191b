"""The store: the one thread that writes to disk for the loop, many changes in one commit.

The loop hands over small pieces of work and awaits their futures; the thread takes all that wait, runs them in one
transaction, and only after the commit tells the loop. Nothing commits on the loop, and nothing is called done
that is not on disk. The number of waiting pieces and bytes is bounded by those who hand them over.
"""

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from voiced.jobs import database
from voiced.jobs.job import Job
from voiced_ipc.errors import StorageFailed, VoicedError
from voiced_ipc.messages import JobState

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_Work = tuple[Callable[[], object], "Future[object]"]
_GROUP = 256
"""Greatest number of pieces in one commit: bounds the wait of the first of them."""


class Store:
    """Jobs and settings on disk.

    Args:
        connection: Of `schema.open_database`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = connection
        self._reader: sqlite3.Connection | None = None
        """Reads beside the thread, which may be waiting for the disk."""
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._loop: AbstractEventLoop | None = None
        self.turns = 0
        """Commits so far: tells the watchdog that the thread lives."""

    def unfinished(self) -> list[Job]:
        """Return the jobs that are to go on; only before `start`."""
        return database.unfinished_jobs(self._open_connection())

    def ids_with_spool(self) -> set[str]:
        """Return the ids of jobs whose files are needed; only before `start`."""
        return database.ids_with_spool(self._open_connection())

    def setting(self, key: str) -> str | None:
        """Return a setting; only before `start`."""
        return database.read_setting(self._open_connection(), key)

    def start(self, loop: "AbstractEventLoop") -> None:
        """Start the thread."""
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Finish what waits, end the thread, close the file."""
        self._is_closing = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                logger.error("the store did not end within %.0f s", timeout_s)
                return
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- asked by the loop ----------------------------------------------------------------------------

    def do(self, work: Callable[[sqlite3.Connection], _Result]) -> "Future[_Result]":
        """Return the future of `work`, done when it is committed.

        Raises (it or the future):
            StorageFailed: If the store, the disk or the database refuses; nothing of this piece is then done.
        """
        assert self._loop is not None
        future: Future[object] = self._loop.create_future()
        connection = self._open_connection()
        if self._is_closing:
            raise StorageFailed("the job store is closing")
        self._queue.put((lambda: work(connection), future))
        return future  # type: ignore[return-value]

    def insert(self, job: Job) -> "Future[Job]":
        """Accept a job; gives the stored one where the id is known already."""
        return self.do(lambda connection: database.insert_job(connection, job))

    def update(self, job: Job, before: Callable[[], object] | None = None) -> "Future[None]":
        """Write state and progress of a job.

        Args:
            job: As it is to stand.
            before: What must be on disk first (audio); runs in the store's thread, its OSError undoes the piece.
        """

        def work(connection: sqlite3.Connection) -> None:
            if before is not None:
                before()
            database.update_job(connection, job)

        return self.do(work)

    async def effect(self, work: Callable[[], _Result]) -> _Result:
        """Do something to files in the store's thread, in order with its commits.

        Raises:
            OSError: As the work raised it.
        """
        try:
            return await self.do(lambda _connection: work())
        except StorageFailed as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise

    def withdraw(self, job_id: str) -> "Future[None]":
        """Forget an unfinished job, as if it had never been accepted."""
        return self.do(lambda connection: database.delete_job(connection, job_id))

    def find(self, job_id: str) -> "Future[Job | None]":
        """Look a job up."""
        return self.do(lambda connection: database.find_job(connection, job_id))

    def may_know(self, job_id: str) -> bool:
        """Whether a job of that id was committed, at once: who is to be refused must not wait for the disk.

        True also where that cannot be told at once; `find` tells it then.
        """
        try:
            if self._reader is None:
                self._reader = database.open_reader(self._open_connection())
            return database.has_job(self._reader, job_id)
        except sqlite3.Error as error:
            logger.debug("a job could not be looked up beside the store: %s", error)
            return True

    def page(self, states: list[JobState], before: int | None, limit: int) -> "Future[list[Job]]":
        """Return a page of jobs, newest first."""
        return self.do(lambda connection: database.list_jobs(connection, states, before, limit))

    def forget(self, before: str, now: str) -> "Future[int]":
        """Remove old finished jobs; see `database.forget_jobs`."""
        return self.do(lambda connection: database.forget_jobs(connection, before, now))

    def keep(self, key: str, value: str) -> "Future[None]":
        """Keep a setting over restarts."""
        return self.do(lambda connection: database.write_setting(connection, key, value))

    # -- the thread -----------------------------------------------------------------------------------

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageFailed("the job store is closed")
        return self._connection

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            group, is_last = self._group(first)
            if group:
                self._commit(group)
            if is_last:
                return

    def _group(self, first: _Work | None) -> tuple[list[_Work], bool]:
        group: list[_Work] = []
        item = first
        while item is not None:
            group.append(item)
            if len(group) == _GROUP or self._queue.empty():
                return group, False
            item = self._queue.get()
        return group, True

    def _commit(self, group: list[_Work]) -> None:
        connection = self._open_connection()
        results: list[object]
        try:
            results = database.transact(connection, [work for work, _ in group])
        except Exception as error:  # the top of this thread: it must live, and those who wait must hear
            logger.exception("a commit of %d changes failed", len(group))
            results = [error] * len(group)
        self.turns += 1
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_deliver, [future for _, future in group], results)
        except RuntimeError:  # the loop is closed: nobody waits any more
            logger.debug("results of %d changes came after the loop's end", len(group))


def _deliver(futures: "list[Future[object]]", results: list[object]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():
            continue
        if isinstance(result, VoicedError):
            future.set_exception(result)
        elif isinstance(result, BaseException):
            failed = StorageFailed(f"could not be kept on disk: {result}")
            failed.__cause__ = result
            future.set_exception(failed)
        else:
            future.set_result(result)
