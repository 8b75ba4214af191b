"""GetStatus: a round trip on an idle daemon against an echo of the same bytes, and while a book takes all cores."""

import time
from collections.abc import Iterator

from tests.bench.figures import Peer, Row, absolute, compared, interleaved, percentile
from tests.bench.session import Session
from tests.bench.texts import BOOK_BYTES, prose
from tests.bench.wire import Wire, echo, get_status, wires
from tests.support import DaemonProcess, running_daemon, temporary_home
from voiced_ipc.messages import JobState

LIMIT = 1.8
BUSY_LIMIT_MS = 50.0
_TRIPS = 200
"""In one block; the blocks alternate."""
_PAUSE_S = 0.001
"""Between two on the busy daemon: so many see its commits and its batches, too."""


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the round trip."""
    with temporary_home() as home, running_daemon(home) as daemon, wires() as connect:
        ours = connect(home.endpoint.speech)
        reply = ours.ask(get_status())[1]
        with echo(home, reply) as path:
            floor = connect(path)
            mine, theirs = interleaved(
                session.rounds(20, 5), lambda: _block_us(ours), lambda: _block_us(floor), warm_ups=2
            )
        yield compared(
            "GetStatus round trip, p50",
            mine,
            Peer("sync ROUTER echo of the same bytes", theirs),
            LIMIT,
            "us",
            note=f"blocks of {_TRIPS}; the reply has {len(reply)} bytes",
        )
        trips, count = _while_busy(daemon, ours, session.rounds(2000, 300))
        yield absolute(
            "GetStatus p99 while a book saturates all cores",
            [percentile(trips, 0.99) / 1000],
            "ms",
            BUSY_LIMIT_MS,
            f"p50 {percentile(trips, 0.5) / 1000:.2f} ms, greatest {max(trips) / 1000:.1f} ms, {count} round trips",
        )


def _block_us(wire: Wire) -> float:
    return percentile([wire.trip_us(get_status()) for _ in range(_TRIPS)], 0.5)


def _while_busy(daemon: DaemonProcess, wire: Wire, count: int) -> tuple[list[float], int]:
    """Return round trips made while a book was spoken."""
    with daemon.client() as client:
        job = client.submit_text(prose(BOOK_BYTES), name="busy.txt", language="en")
        daemon.wait_job(job.job_id, JobState.RUNNING)
        trips: list[float] = []
        while len(trips) < count and (len(trips) % 50 or client.job(job.job_id).state is JobState.RUNNING):
            trips.append(wire.trip_us(get_status()))
            time.sleep(_PAUSE_S)
        client.cancel(job.job_id)
    return trips, len(trips)
