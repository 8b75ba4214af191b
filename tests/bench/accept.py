"""A durable job until it is accepted, against what it cannot do without: one commit to disk and two round trips."""

import sqlite3
from collections.abc import Iterator

from tests.bench.figures import Peer, Row, compared, interleaved, percentile, timed_ms
from tests.bench.session import Session
from tests.bench.texts import TWO_SENTENCES
from tests.bench.wire import echo, get_status, wires
from tests.support import Home, running_daemon, temporary_home

_BLOCK = 10
_RECORD = "x" * 1000
"""About the size of a job's row."""


def measure(session: Session) -> Iterator[Row]:
    """Return the row of acceptance. The daemon is paused: only accepting is measured."""
    with temporary_home() as home, running_daemon(home) as daemon, daemon.client() as client:
        client.pause()
        connection = _full_sync(home)

        def ours() -> float:
            return percentile(
                [timed_ms(lambda: client.submit_text(TWO_SENTENCES, language="en")) for _ in range(_BLOCK)],
                0.5,
            )

        def floor() -> float:
            commit_ms = percentile([timed_ms(lambda: _commit(connection)) for _ in range(_BLOCK)], 0.5)
            trip_ms = percentile([wire.trip_us(get_status()) / 1000 for _ in range(_BLOCK)], 0.5)
            return commit_ms + 2 * trip_ms

        with wires() as connect:
            reply = connect(home.endpoint.speech).ask(get_status())[1]
            with echo(home, reply) as path:
                wire = connect(path)
                mine, theirs = interleaved(session.rounds(20, 4), ours, floor)
        connection.close()
    yield compared("durable job accepted, p50", mine, Peer("one FULL commit + two echoes", theirs), None)


def _full_sync(home: Home) -> sqlite3.Connection:
    connection = sqlite3.connect(home.root / "floor.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE jobs (number INTEGER PRIMARY KEY, job TEXT)")
    return connection


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO jobs (job) VALUES (?)", (_RECORD,))
    connection.execute("COMMIT")
