"""Loading a model of real widths: its weights against the least there is, the split of a worker's start, its memory."""

import math
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.bench.checkpoints import Checkpoint, absence, kokoro, qwen
from tests.bench.direct import Direct, cores, direct
from tests.bench.figures import Peer, Row, Spread, absent, absolute, compared, interleaved, timed_ms
from tests.bench.processes import run
from tests.bench.session import Session
from tests.bench.texts import TWO_WORDS
from tests.bench.torch_worker import first_frame, loaded
from tests.daemon.child.helpers import Child
from tests.overlays import find_overlay
from tests.support import Home, temporary_home

WEIGHTS_LIMIT = 1.2
MEMORY_LIMIT = 1.25
_LARGE_BYTES = 1_000_000_000
_ALIKE = 0.02
"""Folding what an engine folds rounds otherwise."""
_FLOOR = "meta device + mmap + assign, first forward"
_USUAL = "built normally, read, copied in"
_IMPORT = 'python -c "import torch"'


class Loading(NamedTuple):
    """What one load of the weights took."""

    load_ms: float
    forward_ms: float
    beside_ms: float
    """Whatever else the engine loads after these weights."""
    loudness: float
    """Of what the forward made."""
    peak_bytes: float

    @property
    def whole_ms(self) -> float:
        """Until the first forward is done."""
        return self.load_ms + self.forward_ms


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of loading, for each model whose packages are here."""
    for family, what in (("qwen3-tts", "Qwen3-TTS 0.6B"), ("kokoro", "Kokoro")):
        overlay = find_overlay(family)
        if overlay is None:
            yield absent(f"{what}: loading", absence(family))
            continue
        with temporary_home() as home:
            if family == "qwen3-tts":
                made = qwen(home.root, overlay, "custom_voice", is_real=not session.is_quick)
            else:
                made = kokoro(home.root, overlay)
            yield from _weights(home, made, session)
            yield from _start(home, made, session)


def _weights(home: Home, made: Checkpoint, session: Session) -> Iterator[Row]:
    arguments = (str(made.overlay), made.engine, str(made.folder), str(cores()))
    found: dict[str, list[Loading]] = {"engine": [], "mapped": []}
    with direct(home, "weights", *arguments) as program:

        def asked(how: str) -> float:
            found[how].append(_asked(program, how))
            return found[how][-1].whole_ms

        mine, floor = interleaved(session.rounds(7, 2), lambda: asked("engine"), lambda: asked("mapped"))
    with direct(home, "weights", *arguments) as program:
        usual = _asked(program, "usual")
    ours = found["engine"][-1]
    for other in (found["mapped"][-1], usual):
        if not math.isclose(ours.loudness, other.loudness, rel_tol=_ALIKE):
            raise ValueError(
                f"{made.what}: the engine's weights make {ours.loudness:g}, others {other.loudness:g}"
            )
    limit = WEIGHTS_LIMIT if made.is_real else None
    what = f"{made.what}: weights in a running worker, first forward"
    note = (
        f"weights {ours.load_ms:.0f} ms, forward {ours.forward_ms:.0f}; what else it loads {ours.beside_ms:.0f}; "
        f"the floor's {found['mapped'][-1].load_ms:.0f} and {found['mapped'][-1].forward_ms:.0f}"
    )
    yield compared(what, mine, Peer(_FLOOR, floor), limit, note=note)
    note = f"once; their peak {usual.peak_bytes / 1e6:.0f} MB"
    yield compared(what, mine[-1:], Peer(_USUAL, [usual.whole_ms]), None, note=note)


def _asked(program: Direct, how: str) -> Loading:
    return Loading(**program.ask(how=how))


def _start(home: Home, made: Checkpoint, session: Session) -> Iterator[Row]:
    """A worker's start from exec to the first audio, its parts, and the greatest memory that it had on the way."""
    parts: list[tuple[float, float, float]] = []
    peaks: list[float] = []

    def start() -> float:
        with loaded(home, made) as worker:
            first_ms = _first_audio_ms(worker.child)
            parts.append((worker.first_step_ms, worker.ready_ms - worker.first_step_ms, first_ms))
            peaks.append(worker.peak_bytes / made.weights_bytes)
        return worker.ready_ms + first_ms

    command = [sys.executable, "-c", "import torch"]
    started, torch = interleaved(
        session.rounds(5, 1), start, lambda: timed_ms(lambda: run(command, home.environ))
    )
    imports, loads, firsts = (Spread.of(values).median for values in zip(*parts[1:], strict=True))
    note = (
        f"to its first step, with imports, {imports:.0f} ms; to ready {loads:.0f}; first audio {firsts:.0f}"
    )
    what = f"{made.what}: worker from exec to first audio"
    yield compared(what, started, Peer(_IMPORT, torch), None, note=note)
    # Beside small weights the libraries are most of it.
    limit = MEMORY_LIMIT if made.weights_bytes > _LARGE_BYTES else None
    note = f"weights {made.weights_bytes / 1e6:.0f} MB, all parts of the model"
    what = f"{made.what}: peak memory of a worker that has spoken, of its weights"
    yield absolute(what, peaks, "x", limit, note)


def _first_audio_ms(child: Child) -> float:
    """Milliseconds from asking to the first audio; the rest is not waited for."""
    began = time.perf_counter()
    child.ask(1, TWO_WORDS)
    first_frame(child, 1, "audio")
    return (time.perf_counter() - began) * 1000
