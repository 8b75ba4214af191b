"""Piper with a voice that costs next to nothing: what is left is the daemon. Against Piper's package in process."""

import time
from collections.abc import Iterator

from tests.bench.checkpoints import absence
from tests.bench.clients import Load, speak_all
from tests.bench.direct import Direct, direct
from tests.bench.figures import Peer, Row, absent, absolute, compared, interleaved, percentile
from tests.bench.session import Session
from tests.bench.texts import TWO_SENTENCES, prose
from tests.daemon.engines.checkpoints import piper
from tests.overlays import find_overlay
from tests.support import Home, running_daemon, temporary_home
from tests.system.installed import import_model, link_overlay
from voiced_ipc import Client

MODEL = f"piper:{piper.VOICE}"
WORDS = "Hello world."
KILOBYTE = 1000
FIRST_LIMIT_MS, FIRST_LIMIT_P99_MS = 0.7, 1.5
WHOLE_LIMIT_MS = 12.0
RATE_LIMIT, STARVING_LIMIT = 0.5, 2.0
_PEER = "Piper's package in process, one thread"
_LOAD_S = 60.0
_EACH_FULL, _EACH_QUICK = 6, 4
"""Utterances of each of 64 clients; fewer clients speak more each."""


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the toy voice."""
    if find_overlay("piper") is None:
        yield absent("Piper's toy voice", absence("piper"))
        return
    with temporary_home() as home:
        overlay = link_overlay(home, "piper")
        graph = piper.build(home.root / "published")
        import_model(home, MODEL, graph.parent)
        home.paths.config.mkdir(parents=True, exist_ok=True)
        home.paths.config_file.write_text(f'[speech]\nmodel = "{MODEL}"\nlanguage = "en"\n')
        with direct(home, "piper_voice", str(overlay), str(graph)) as voice, running_daemon(home) as daemon:
            with daemon.client(_LOAD_S) as client:
                client.synthesize(WORDS)  # loads it
                yield from _first_audio(client, voice, session)
                yield from _whole(client, voice, session)
            yield from _many(home, voice, session)


def _first_audio(client: Client, voice: Direct, session: Session) -> Iterator[Row]:
    ours, alone = interleaved(
        session.rounds(200, 20),
        lambda: _ask(client, WORDS)[0],
        lambda: voice.ask(text=WORDS, times=1)["first_ms"],
        warm_ups=10,
    )
    added = [our - their for our, their in zip(ours, alone, strict=True)]
    note = f"ours {percentile(ours, 0.5):.2f} ms, alone {percentile(alone, 0.5):.2f} ms"
    for fraction, limit in ((0.5, FIRST_LIMIT_MS), (0.99, FIRST_LIMIT_P99_MS)):
        what = f"first audio added to Piper's, p{fraction * 100:.0f}"
        yield absolute(what, [percentile(added, fraction)], "ms", limit, note, against=_PEER)


def _whole(client: Client, voice: Direct, session: Session) -> Iterator[Row]:
    text = prose(KILOBYTE)
    ours, alone = interleaved(
        session.rounds(30, 5),
        lambda: _ask(client, text)[1],
        lambda: voice.ask(text=text, times=1)["whole_ms"],
        warm_ups=3,
    )
    added = [our - their for our, their in zip(ours, alone, strict=True)]
    note = f"ours {percentile(ours, 0.5):.1f} ms, alone {percentile(alone, 0.5):.1f} ms"
    yield absolute("1 kB of text, whole, added to Piper's", added, "ms", WHOLE_LIMIT_MS, note, against=_PEER)


def _many(home: Home, voice: Direct, session: Session) -> Iterator[Row]:
    each = session.rounds(_EACH_FULL, _EACH_QUICK)
    loads: dict[int, list[Load]] = {8: [], 64: []}

    def many(clients: int) -> float:
        loads[clients].append(speak_all(home, clients, each * 64))
        return loads[clients][-1].per_s

    alone, eight, sixty_four = interleaved(
        session.rounds(3, 1),
        lambda: voice.ask(text=TWO_SENTENCES, times=each * 64)["per_s"],
        lambda: many(8),
        lambda: many(64),
    )
    for clients, rates in ((8, eight), (64, sixty_four)):
        seen = loads[clients][1:]
        note = f"the measuring clients took {max(load.own_fraction for load in seen):.2f} of a core"
        what = f"Piper, {clients} clients, utterances/s"
        yield compared(what, rates, Peer(_PEER, alone), RATE_LIMIT, "/s", is_least=True, note=note)
        ratios = [percentile(load.first_ms, 0.99) / percentile(load.first_ms, 0.5) for load in seen]
        firsts = [value for load in seen for value in load.first_ms]
        note = f"p50 {percentile(firsts, 0.5):.1f} ms, p99 {percentile(firsts, 0.99):.1f} ms"
        what = f"Piper, {clients} clients, p99 / p50 of the first audio"
        yield absolute(what, ratios, "x", STARVING_LIMIT, note)


def _ask(client: Client, text: str) -> tuple[float, float]:
    """Return milliseconds to the first audio, and to the end."""
    began = time.perf_counter()
    first_s = 0.0
    with client.speak(text, language="en") as stream:
        for _ in stream:
            first_s = first_s or time.perf_counter() - began
    return first_s * 1000, (time.perf_counter() - began) * 1000
