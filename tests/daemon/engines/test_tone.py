"""The tone engine: its samples, and its faults that do not end the process."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voiced.engines.base import Engine, Heard, LoadSettings, SegmentRequest
from voiced.engines.tone import AMPLITUDE, SAMPLES_PER_CHAR, ToneEngine, tone_samples
from voiced_ipc.errors import EngineLoadFailed, SynthesisFailed


def request(text: str, **fields: Any) -> SegmentRequest:
    return SegmentRequest(place=0, text=text, language="en", voice="tone-low", seed=1)._replace(**fields)


def spoken(engine: Engine, *requests: SegmentRequest) -> dict[int, np.ndarray]:
    chunks: dict[int, list[np.ndarray]] = {}
    for place, chunk in engine.speak(requests, threading.Event()):
        assert not isinstance(chunk, Heard)
        chunks.setdefault(place, []).append(chunk)
    return {place: np.concatenate(parts) for place, parts in chunks.items()}


@pytest.fixture
def engine(tmp_path: Path) -> ToneEngine:
    made = ToneEngine()
    list(made.load(tmp_path, LoadSettings()))
    return made


def test_samples_are_known(engine: Engine) -> None:
    wanted = request("Twenty-one characters", place=7)
    samples = spoken(engine, wanted)[7]
    assert np.array_equal(samples, tone_samples(wanted))
    assert samples.dtype == np.float32
    assert len(samples) == 21 * SAMPLES_PER_CHAR
    assert np.abs(samples).max() == pytest.approx(AMPLITUDE)
    assert abs(samples[0]) > AMPLITUDE * 0.9
    assert abs(samples[-1]) > AMPLITUDE * 0.9


@pytest.mark.parametrize(
    "change", [{"text": "Other text"}, {"voice": "tone-high"}, {"seed": 2}, {"pitch": 2.0}]
)
def test_what_changes_the_pitch(change: dict[str, Any]) -> None:
    usual = request("Other texz")
    assert not np.array_equal(tone_samples(usual), tone_samples(usual._replace(**change)))


def test_speed_and_volume() -> None:
    assert len(tone_samples(request("ten chars.", speed=2.0))) == 5 * SAMPLES_PER_CHAR
    assert np.abs(tone_samples(request("ten chars.", volume=0.5))).max() == pytest.approx(AMPLITUDE / 2)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing_to_say(engine: Engine, text: str) -> None:
    assert spoken(engine, request(text)) == {}


def test_spoiled_samples(engine: Engine) -> None:
    assert np.isnan(spoken(engine, request("a [[nan]]"))[0]).any()
    assert not spoken(engine, request("a [[silent]]"))[0].any()
    assert np.abs(spoken(engine, request("a [[clip]]"))[0]).max() > 1


def test_fail_once(engine: Engine, tmp_path: Path) -> None:
    wanted = request("a [[once:marker:fail]]")
    with pytest.raises(SynthesisFailed):
        spoken(engine, wanted)
    assert (tmp_path / "marker").exists()
    assert np.array_equal(spoken(engine, wanted)[0], tone_samples(wanted))


def test_slow_and_cancel(engine: Engine) -> None:
    cancelled = threading.Event()
    began = time.monotonic()
    chunks = engine.speak([request("[[slow:0.05]]" + "x" * 100)], cancelled)
    next(chunks)
    assert time.monotonic() - began >= 0.05
    threading.Timer(0.02, cancelled.set).start()
    rest = list(chunks)
    assert len(rest) < 3


def test_load_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(EngineLoadFailed, match="not there"):
        list(ToneEngine().load(tmp_path / "none", LoadSettings()))
