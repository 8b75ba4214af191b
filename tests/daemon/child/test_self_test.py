"""The moment of speech before a worker is let in: what it asks of each kind of engine, and what it refuses."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from voiced.child.self_test import self_test
from voiced.engines.base import (
    DESCRIPTION,
    PROMPT,
    SPEAKER,
    Capabilities,
    EngineVoice,
    LoadSettings,
    LoadStep,
    Prompt,
    Reference,
    SegmentRequest,
)
from voiced_ipc.errors import InvalidRequest, SynthesisFailed

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

ANNA = EngineVoice("anna", "Anna", ("de",))


class Recorder:
    """An engine that notes what it is asked, and gives the chunks that it is told to."""

    def __init__(self, *chunks: float, **changes: Any) -> None:
        self.capabilities = Capabilities(24000, languages=("fr",))._replace(**changes)
        self.chunks = chunks or (0.5, 0.5)
        self.identity: Mapping[str, str] = {}
        self.asked: list[SegmentRequest] = []
        self.references: list[Reference] = []
        self.refuses = False
        self.is_clean = False

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        yield LoadStep(1.0, "")

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        if self.refuses:
            raise InvalidRequest("this is no speech")
        self.references += references
        return Prompt({"x": np.zeros(1)})

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        self.asked += segments
        for level in self.chunks:
            if cancelled.is_set():
                break
            yield 0, np.full(0 if level == 0 else 100, level, np.float32)
        self.is_clean = True

    def unload(self) -> None:
        """Nothing to do."""


def test_it_speaks_with_the_first_voice_and_stops_at_the_first_audio() -> None:
    engine = Recorder(0.0, 0.5, np.nan, voices=(ANNA,))
    self_test(engine, threading.Event())
    (request,) = engine.asked
    assert (request.voice, request.language, request.prompt, request.description) == ("anna", "de", None, "")
    assert engine.is_clean


def test_a_model_of_recordings_is_given_one() -> None:
    engine = Recorder(identities=(PROMPT,), reference_s=(5.0, 30.0))
    self_test(engine, threading.Event())
    assert engine.asked[0].prompt is not None
    assert engine.asked[0].language == "fr"
    (reference,) = engine.references
    assert len(reference.samples) == 5 * reference.sample_rate_hz
    assert 0.05 < np.abs(reference.samples).max() <= 1.0


def test_a_model_of_recordings_that_wants_human_ones_passes() -> None:
    engine = Recorder(identities=(PROMPT,))
    engine.refuses = True
    self_test(engine, threading.Event())
    assert not engine.asked


def test_a_described_voice_is_described() -> None:
    engine = Recorder(identities=(DESCRIPTION,))
    self_test(engine, threading.Event())
    assert engine.asked[0].description
    assert engine.asked[0].prompt is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_fail_it(value: float) -> None:
    with pytest.raises(SynthesisFailed):
        self_test(Recorder(value, identities=(SPEAKER,)), threading.Event())
