"""The daemon killed in the middle of a book and started again: when the first new segment is spoken."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench.figures import Row, Spread
from tests.bench.processes import ReadySocket, execute_daemon
from tests.bench.session import Session
from tests.bench.texts import BOOK_BYTES, prose
from tests.support import Home, temporary_home
from voiced.jobs import database
from voiced_ipc import Client
from voiced_ipc.messages import ModelState

LIMIT_MS = 1000.0
_KILL_AT = 0.25
"""Share of the segments that are spoken before the kill."""
_TIMEOUT_S = 60.0
_LOOK_S = 0.001


class Recovery(NamedTuple):
    """Milliseconds from exec."""

    ready: float
    loaded: float
    spoken: float

    @property
    def over(self) -> float:
        """What the first new segment took beyond being ready and loaded."""
        return self.spoken - max(self.ready, self.loaded)


def measure(session: Session) -> Iterator[Row]:
    """Return the row of the kill."""
    recoveries = [_recover() for _ in range(session.rounds(5, 1))]
    ready, loaded, spoken = (Spread.of(values).median for values in zip(*recoveries, strict=True))
    yield Row(
        "killed in a book: first new segment after ready + model load",
        "",
        Spread.of(recovery.over for recovery in recoveries),
        "ms",
        LIMIT_MS,
        note=f"after exec: ready {ready:.0f}, espeak loaded {loaded:.0f}, first new segment {spoken:.0f} ms",
    )


def _recover() -> Recovery:
    with temporary_home() as home:
        ready = ReadySocket(home)
        try:
            job_id = _killed(home, ready)
            known = _in_ledger(home, job_id)
            return _restarted(home, ready, job_id, known)
        finally:
            ready.close()


def _killed(home: Home, ready: ReadySocket) -> str:
    """Start a book, kill the daemon in the middle of it, and return the job's id."""
    running = execute_daemon(home, ready)
    try:
        ready.wait()
        with Client(home.endpoint, timeout_s=_TIMEOUT_S) as client:
            job = client.submit_text(prose(BOOK_BYTES), name="book.txt", language="en")
            _until(lambda: client.job(job.job_id).segments_done > job.segments * _KILL_AT)
    finally:
        running.process.kill()
        running.process.wait()
    return job.job_id


def _in_ledger(home: Home, job_id: str) -> int:
    """Return how many segments are safe on disk."""
    connection = sqlite3.connect(home.paths.database)
    try:
        job = database.find_job(connection, job_id)
    finally:
        connection.close()
    assert job is not None
    return job.progress.segments_done


def _restarted(home: Home, ready: ReadySocket, job_id: str, known: int) -> Recovery:
    running = execute_daemon(home, ready)
    try:
        ready_at = ready.wait()
        with Client(home.endpoint, timeout_s=_TIMEOUT_S) as client:
            loaded_at = _until(lambda: any(model.state is ModelState.LOADED for model in client.models()))
            spoken_at = _until(lambda: client.job(job_id).segments_done > known)
    finally:
        running.process.kill()
        running.process.wait()
    return Recovery(*((moment - running.began) * 1000 for moment in (ready_at, loaded_at, spoken_at)))


def _until(is_so: Callable[[], bool]) -> float:
    """Return the moment at which something was first seen to be so.

    Raises:
        TimeoutError: If it never is.
    """
    end = time.perf_counter() + _TIMEOUT_S
    while not is_so():
        if time.perf_counter() > end:
            raise TimeoutError(f"the daemon did not get so far within {_TIMEOUT_S:g} s")
        time.sleep(_LOOK_S)
    return time.perf_counter()
