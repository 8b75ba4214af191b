"""A text renamed into the drop folder, until its audio lies there, against espeak-ng with the same text."""

import itertools
from collections.abc import Callable, Iterator

from tests.bench.figures import Peer, Row, compared, interleaved, percentile, timed_ms
from tests.bench.finished import wait_for_file
from tests.bench.processes import NO_ESPEAK, espeak_command, run
from tests.bench.session import Session
from tests.bench.texts import prose
from tests.support import running_daemon, temporary_home

LIMIT = 1.3
_BYTES = 1000
_TIMEOUT_S = 60.0


def measure(session: Session) -> Iterator[Row]:
    """Return the row of the drop folder."""
    names = itertools.count()
    content = prose(_BYTES)
    with temporary_home() as home, running_daemon(home):
        text, wav = home.root / "text.txt", home.root / "text.wav"
        text.write_text(content)

        def ours() -> float:
            name = f"text-{next(names)}"
            aside = home.root / "aside.txt"
            aside.write_text(content)

            def drop() -> None:
                aside.rename(home.drop / f"{name}.txt")
                wait_for_file(home.audio / f"{name}.wav", _TIMEOUT_S)

            return timed_ms(drop)

        measures: list[Callable[[], float]] = [ours]
        command = espeak_command(text, wav)
        if command is not None:
            measures.append(lambda: timed_ms(lambda: run(command, home.environ)))
        mine, *floor = interleaved(session.rounds(40, 8), *measures, warm_ups=3)
    peer = Peer("espeak-ng -w", floor[0]) if floor else Peer(NO_ESPEAK, None)
    note = f"p99 {percentile(mine, 0.99):.0f} ms"
    yield compared("renamed-in 1 kB text to finished audio, p50", mine, peer, LIMIT, note=note)
