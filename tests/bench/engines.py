"""Every engine that runs here: first audio and real-time factor through the daemon, next to the engine alone.

The models are the tests' own: random weights, most of them tiny, so that the figures say what the daemon costs and
nothing about a published model; Kokoro's are of its real size. VOICED_TEST_ENGINES names the folder with the packages
of the families.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.checkpoints import absence
from tests.bench.direct import Direct, direct
from tests.bench.figures import Peer, Row, absent, compared, interleaved, percentile
from tests.bench.processes import CommandFailed
from tests.bench.session import Session
from tests.overlays import find_overlay
from tests.support import Home, running_daemon, temporary_home
from tests.system.installed import build, import_model, link_overlay, without_faults
from tests.system.recordings import record
from voiced.jobs.job import segment_seed
from voiced.models.catalogue import find_spec
from voiced.models.library import Library
from voiced_ipc import Client
from voiced_ipc.errors import VoicedError

TEXT = "The letters were kept there for years."
_PEER = "the same engine alone, in process"
_LOAD_S = 300.0
_VOICE = "somebody"
_SEED = 1


class Subject(NamedTuple):
    """A model that is measured."""

    model: str
    builder: str
    """In `tests.daemon.engines.checkpoints`."""
    arguments: tuple[str, ...] = ()
    """Of the builder."""
    is_cloned: bool = False
    """Its voice is a recording."""
    description: str = ""
    """Its voice, in words."""


SUBJECTS = (
    Subject("piper:en_US-toy-medium", "piper"),
    Subject("mms:eng", "vits"),
    Subject("kokoro", "kokoro"),
    Subject("maya1", "maya1", description="A calm voice."),
    Subject("qwen3-tts:0.6b-speakers", "qwen3_tts", ("--kind", "custom_voice")),
    Subject("qwen3-tts:1.7b-speakers", "qwen3_tts", ("--kind", "custom_voice", "--size", "1.7b")),
    Subject("qwen3-tts:0.6b", "qwen3_tts", is_cloned=True),
    Subject("chatterbox", "chatterbox", is_cloned=True),
    Subject("openaudio-s1-mini", "openaudio", is_cloned=True),
    Subject("maya1:gguf", "maya1_gguf", description="A calm voice."),
)


class Spoken(NamedTuple):
    """What one utterance took."""

    first_ms: float
    whole_ms: float
    audio_s: float

    @property
    def rtf(self) -> float:
        """Seconds of work for a second of audio."""
        return self.whole_ms / 1000 / max(self.audio_s, 1e-9)


def measure(session: Session) -> Iterator[Row]:
    """Return two rows for each engine; what cannot run here says why."""
    for subject in SUBJECTS:
        family = _family(subject.model)
        if family and find_overlay(family) is None:
            yield absent(subject.model, absence(family))
            continue
        try:
            yield from _rows(subject, family, session)
        except (AssertionError, CommandFailed, VoicedError) as error:
            # One engine that fails must not cost the others.
            yield absent(subject.model, f"not measured: {type(error).__name__}: {error}")


def _family(model: str) -> str:
    spec = find_spec(model)
    assert spec is not None
    return spec.family


def _rows(subject: Subject, family: str, session: Session) -> Iterator[Row]:
    with temporary_home() as home:
        overlay = link_overlay(home, family) if family else Path(os.devnull)
        recording = record(home.root / "recording.wav") if subject.is_cloned else None
        published = build(subject.builder, home.root / "published", *subject.arguments, overlay=overlay)
        import_model(home, subject.model, _without_torch_faults(without_faults(published)))
        alone: list[Spoken] = []
        through: list[Spoken] = []
        with (
            direct(home, "engine", *_engine(home, subject, overlay, recording)) as engine,
            running_daemon(home) as daemon,
            daemon.client(_LOAD_S) as client,
        ):
            if recording is not None:
                client.add_voice(_VOICE, [(recording, "What is said.")], language="en")

            def ask_alone() -> float:
                alone.append(_alone(engine, subject))
                return alone[-1].first_ms

            def ask_daemon() -> float:
                through.append(_through(client, subject))
                return through[-1].first_ms

            # The warm-up loads the model.
            firsts = interleaved(session.rounds(15, 3), ask_alone, ask_daemon, warm_ups=2)
        del alone[:2], through[:2]
        note = f"p99 {percentile(firsts[1], 0.99):.1f} ms; {through[-1].audio_s:.2f} s of audio"
        yield compared(
            f"{subject.model}, first audio, p50", firsts[1], Peer(_PEER, firsts[0]), None, note=note
        )
        factors = [[one.rtf for one in spoken] for spoken in (through, alone)]
        what = f"{subject.model}, real-time factor"
        yield compared(what, factors[0], Peer(_PEER, factors[1]), None, "s/s")


def _without_torch_faults(folder: Path) -> Path:
    """The same as `without_faults`, for torch's own files."""
    import torch

    for file in folder.rglob("*.pth"):
        held = torch.load(file, weights_only=True)
        if any(isinstance(value, torch.Tensor) and not value.isfinite().all() for value in held.values()):
            torch.save({name: value.nan_to_num() for name, value in held.items()}, file)
    return folder


def _engine(home: Home, subject: Subject, overlay: Path, recording: Path | None) -> list[str]:
    spec = find_spec(subject.model)
    installed = Library(home.paths.models).find(subject.model)
    assert spec is not None
    assert installed is not None
    folder = overlay if overlay.is_dir() else ""
    heard = [str(recording)] if recording is not None else []
    return [str(folder), spec.engine, spec.model, str(installed.folder), *heard]


def _alone(engine: Direct, subject: Subject) -> Spoken:
    # The seed that the daemon gives its first segment: the same words of the same length.
    seed = _SEED if subject.description else segment_seed(_SEED, 0)
    return Spoken(
        **engine.ask(text=TEXT, language="en", voice="", description=subject.description, seed=seed)
    )


def _through(client: Client, subject: Subject) -> Spoken:
    voice = _VOICE if subject.is_cloned else ""
    began = time.perf_counter()
    with client.speak(
        TEXT, model=subject.model, language="en", voice=voice, description=subject.description, seed=_SEED
    ) as stream:
        first_s, size = 0.0, 0
        for chunk in stream:
            first_s = first_s or time.perf_counter() - began
            size += len(chunk)
        rate_hz = stream.accepted.sample_rate_hz
    return Spoken(first_s * 1000, (time.perf_counter() - began) * 1000, size / 2 / rate_hz)
