"""Whole processes of the command line against a running daemon: `voiced status`, `voiced say -o`."""

import itertools
from collections.abc import Iterator

from tests.bench.figures import Peer, Row, compared, interleaved, timed_ms
from tests.bench.processes import YARDSTICK, run, voiced_command, yardstick
from tests.bench.session import Session
from tests.bench.texts import TWO_WORDS
from tests.support import running_daemon, temporary_home

STATUS_LIMIT = 1.3
SAY_LIMIT = 2.0


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the short commands."""
    names = itertools.count()
    with temporary_home() as home, running_daemon(home):

        def status() -> None:
            run(voiced_command("status"), home.environ)

        def say() -> None:
            file = home.root / f"said-{next(names)}.wav"
            run(voiced_command("say", "-o", str(file), *TWO_WORDS.split()), home.environ)
            if file.stat().st_size < 10_000:
                raise ValueError(f"`voiced say` made {file.stat().st_size} bytes of two words")

        statuses, sayings, floor = interleaved(
            session.rounds(25, 5),
            lambda: timed_ms(status),
            lambda: timed_ms(say),
            lambda: timed_ms(lambda: yardstick(home.environ)),
            warm_ups=2,
        )
    yield compared("`voiced status`, whole process", statuses, Peer(YARDSTICK, floor), STATUS_LIMIT)
    yield compared("`voiced say -o` of two words, whole process", sayings, Peer(YARDSTICK, floor), SAY_LIMIT)
