"""A voice of a recording in a worker: from the cache's file and from memory, against making it anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.checkpoints import Checkpoint, absence, qwen
from tests.bench.figures import Peer, Row, absent, absolute, compared, percentile
from tests.bench.processes import CommandFailed
from tests.bench.session import Session
from tests.bench.texts import TWO_WORDS
from tests.bench.torch_worker import first_frame, loaded
from tests.daemon.child.helpers import Child
from tests.overlays import find_overlay
from tests.support import Home, temporary_home
from tests.system.recordings import record

FILE_LIMIT_MS = 10.0
MEMORY_LIMIT_MS = 1.0
_REFERENCE_S = 12.0


class _Voice(NamedTuple):
    key: str
    recording: Path
    file: Path
    """Where its prompt is kept."""


class _Taken(NamedTuple):
    """Milliseconds for each voice, by where it came from."""

    made: list[float]
    file: list[float]
    memory: list[float]
    size_bytes: int


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of cached voices."""
    overlay = find_overlay("qwen3-tts")
    if overlay is None:
        yield absent("a cached voice", absence("qwen3-tts"))
        return
    for is_real in (False,) if session.is_quick else (False, True):
        with temporary_home() as home:
            made = qwen(home.root, overlay, "base", is_real=is_real)
            yield from _rows(made, _taken(home, made, session.rounds(12, 3)))


def _rows(made: Checkpoint, taken: _Taken) -> Iterator[Row]:
    for place, values, limit in (
        ("disk", taken.file, FILE_LIMIT_MS),
        ("memory", taken.memory, MEMORY_LIMIT_MS),
    ):
        what = f"{made.what}: a cached voice from {place}"
        note = f"{taken.size_bytes / 1e3:.0f} kB; the slowest {percentile(values, 1.0):.2f} ms"
        yield absolute(f"{what}, p50", values, "ms", limit, note)
        yield compared(f"{made.what}: a voice made anew", taken.made, Peer(f"from {place}", values), None)


def _taken(home: Home, checkpoint: Checkpoint, count: int) -> _Taken:
    """Make voices in one worker, and have another find them on disk and then in memory."""
    voices = [
        _Voice(
            f"{number:032x}",
            record(home.root / f"voice-{number}.wav", 90.0 + 10 * number, _REFERENCE_S),
            home.root / "prompts" / f"{number}.prompt",
        )
        for number in range(count + 1)
    ]
    with loaded(home, checkpoint) as worker:
        made = [_ask(worker.child, task, voice, "made") for task, voice in enumerate(voices, 1)]
    with loaded(home, checkpoint) as worker:
        read = [_ask(worker.child, task, voice, "file") for task, voice in enumerate(voices, 1)]
        held = [
            _ask(worker.child, task, voice, "memory") for task, voice in enumerate(voices, len(voices) + 1)
        ]
    return _Taken(_times(made), _times(read), _times(held), int(made[0]["bytes"]))


def _times(frames: list[dict[str, float]]) -> list[float]:
    """Of all but the first, which is a warm-up."""
    return [frame["took_ms"] for frame in frames[1:]]


def _ask(child: Child, task: int, voice: _Voice, source: str) -> dict[str, float]:
    """Have a voice used, and return what the worker says of it; nothing is spoken to the end.

    Raises:
        CommandFailed: If it came from elsewhere.
    """
    references = [{"path": str(voice.recording), "sha256": "", "transcript": "What is said."}]
    prompt = {
        "key": voice.key,
        "file": str(voice.file),
        "voice": "somebody",
        "recordings": voice.key,
        "references": references,
    }
    child.ask(task, TWO_WORDS, prompt=prompt)
    frame = first_frame(child, task, "prompt")
    child.send(type="cancel", task=task)
    child.answer(task)
    if frame["source"] != source:
        raise CommandFailed(f"a voice was {frame['source']} and not {source}: {frame['reason']}")
    return frame
