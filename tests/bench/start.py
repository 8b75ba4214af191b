"""From exec to READY, and to the first answer, with 10,000 finished jobs in the store."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Peer, Row, compared, interleaved
from tests.bench.processes import (
    YARDSTICK,
    ReadySocket,
    execute_daemon,
    yardstick_line_ms,
)
from tests.bench.session import Session
from tests.support import Home, temporary_home
from voiced.jobs import database
from voiced.jobs.job import Job, Order, Progress, Speech, stamp
from voiced.jobs.schema import open_database
from voiced_ipc import Client
from voiced_ipc.messages import JobState, Lane, Output, Subtitles

FINISHED_JOBS = 10_000
LIMIT = 1.4
_END_S = 20.0


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the start."""
    with temporary_home() as home:
        fill_store(home.paths.database, FINISHED_JOBS)
        answered: list[float] = []

        def start() -> float:
            ready_ms, answered_ms = start_once(home, ready)
            answered.append(answered_ms)
            return ready_ms

        ready = ReadySocket(home)
        rounds = session.rounds(20, 4)
        try:
            ours, floor = interleaved(rounds, start, lambda: yardstick_line_ms(home.environ))
        finally:
            ready.close()
    peer = Peer(YARDSTICK, floor)
    yield compared(f"exec to READY, {FINISHED_JOBS:,} finished jobs", ours, peer, LIMIT)
    yield compared(
        "exec to the first answer, the same", answered[1:], peer, None, note="with everything imported"
    )


def start_once(home: Home, ready: ReadySocket) -> tuple[float, float]:
    """Start a daemon and stop it; return milliseconds from exec to READY, and to its first answer."""
    running = execute_daemon(home, ready)
    try:
        ready_at = ready.wait()
        with Client(home.endpoint, timeout_s=_END_S) as client:
            client.status()
            answered_at = time.perf_counter()
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(_END_S)
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
    return (ready_at - running.began) * 1000, (answered_at - running.began) * 1000


def fill_store(path: Path, count: int) -> None:
    """Make a store of so many finished jobs, closed cleanly."""
    path.parent.mkdir(parents=True, mode=0o700)
    connection, _ = open_database(path)
    try:
        connection.execute("BEGIN")
        for number in range(count):
            database.insert_job(connection, _finished_job(number))
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.execute("ROLLBACK")
        raise
    finally:
        connection.close()


def _finished_job(number: int) -> Job:
    order = Order(
        job_id=f"{number:032x}",
        digest="0" * 64,
        lane=Lane.BATCH,
        output=Output.FILE,
        name=f"chapter {number}.txt",
        speech=Speech("espeak"),
        format="wav",
        sample_rate_hz=0,
        subtitles=Subtitles.NONE,
        created=stamp(),
        chars=1000,
        language="en",
        segments=12,
        audio_folder="/nowhere",
    )
    progress = Progress(12, 2_500_000, 22050, "cpu", 0.1, 3.0, 180, 0, path=f"/nowhere/chapter {number}.wav")
    return Job(order, JobState.DONE, progress, stamp())
