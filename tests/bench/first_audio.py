"""The first audio of a stream over a kept connection, against one espeak-ng process for the same words."""

import time
from collections.abc import Callable, Iterator

from tests.bench.figures import Peer, Row, compared, interleaved, percentile, timed_ms
from tests.bench.processes import NO_ESPEAK, espeak_command, run
from tests.bench.session import Session
from tests.bench.texts import TWO_WORDS
from tests.support import running_daemon, temporary_home
from voiced_ipc import Client

LIMIT = 0.35


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the first audio."""
    with temporary_home() as home, running_daemon(home) as daemon, daemon.client() as client:
        text = home.root / "words.txt"
        text.write_text(TWO_WORDS)
        command = espeak_command(text, home.root / "words.wav")
        measures: list[Callable[[], float]] = [
            lambda: first_audio_ms(client, TWO_WORDS, language="en"),
            lambda: first_audio_ms(client, TWO_WORDS),
        ]
        if command is not None:
            measures.append(lambda: timed_ms(lambda: run(command, home.environ)))
        given, found, *floor = interleaved(session.rounds(100, 20), *measures, warm_ups=5)
    peer = Peer("espeak-ng -w", floor[0]) if floor else Peer(NO_ESPEAK, None)
    for name, values in (("", found), (", language given", given)):
        note = f"p99 {percentile(values, 0.99):.2f} ms"
        yield compared(f"first audio, espeak, kept connection{name}, p50", values, peer, LIMIT, note=note)


def first_audio_ms(client: Client, text: str, language: str = "") -> float:
    """Return milliseconds from asking to the first audio; the rest is read, too."""
    began = time.perf_counter()
    with client.speak(text, language=language) as stream:
        chunks = iter(stream)
        next(chunks)
        first = time.perf_counter()
        for _ in chunks:
            pass
    return (first - began) * 1000
