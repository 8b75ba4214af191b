"""What is heard to be wrong with a segment, and what is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.daemon.audio.heard import heard
from voiced.audio.check import Fault, faults_of, letters_of

RATE = 16_000
TEXT = "A sentence of some forty letters, no more."
Sound = NDArray[np.float32]


def speech(seconds: float, seed: int = 1) -> Sound:
    """Noise that gets loud and soft as syllables do: never the same twice."""
    dice = np.random.default_rng(seed)
    count = int(seconds * RATE)
    syllables = dice.uniform(0.02, 0.5, int(seconds * 5) + 2)
    envelope = np.interp(np.arange(count) / RATE * 5, np.arange(len(syllables)), syllables)
    return (envelope * dice.uniform(-1, 1, count)).astype(np.float32)


def faults(samples: Sound, sample_rate_hz: int, text: str, *, speed: float = 1.0) -> tuple[Fault, ...]:
    return faults_of(heard(samples, sample_rate_hz), text, speed=speed)


def test_speech_has_no_fault() -> None:
    for seed in range(20):
        assert faults(speech(3.0, seed), RATE, TEXT) == ()


@pytest.mark.parametrize("sound", [np.zeros(RATE, np.float32), np.zeros(0, np.float32), speech(2) * 0.001])
def test_silence(sound: Sound) -> None:
    assert faults(sound, RATE, TEXT) == (Fault.SILENT,)
    assert faults(sound, RATE, " … ") == ()


def test_clipping() -> None:
    loud = np.clip(speech(3.0) * 20, -1, 1)
    assert faults(loud, RATE, TEXT) == (Fault.CLIPPED,)
    touched = speech(3.0)
    touched[:100] = 1.0
    assert faults(touched, RATE, TEXT) == ()


@pytest.mark.parametrize(
    ("seconds", "text", "speed", "fault"),
    [
        (0.2, TEXT, 1.0, Fault.SHORT),
        (0.2, TEXT, 4.0, None),
        (0.1, "Ah!", 1.0, None),
        (20.0, TEXT, 1.0, Fault.LONG),
        (20.0, TEXT, 0.5, None),
        (4.0, "1234567", 1.0, None),
        (8.0, "今日はとても良い天気です", 1.0, None),
        (20.0, "Ah", 1.0, Fault.LONG),
    ],
)
def test_the_pace(seconds: float, text: str, speed: float, fault: Fault | None) -> None:
    assert faults(speech(seconds), RATE, text, speed=speed) == (() if fault is None else (fault,))


@pytest.mark.parametrize("period_s", [0.3, 0.8, 1.5])
def test_one_thing_over_and_over(period_s: float) -> None:
    said = speech(period_s, 3)
    stuck = np.concatenate([speech(1.0), np.tile(said, 6)])
    assert Fault.REPEATS in faults(stuck, RATE, TEXT * 3)
    thrice = np.concatenate([speech(3.0), np.tile(said, 3), speech(3.0, 5)])
    assert Fault.REPEATS not in faults(thrice, RATE, TEXT * 3)


def test_a_small_part_that_repeats_is_no_fault() -> None:
    laugh = np.tile(speech(0.25, 7), 5)
    assert faults(np.concatenate([speech(4.0), laugh]), RATE, TEXT * 2) == ()


def test_a_hum_and_a_long_pause_repeat_nothing() -> None:
    hum = (0.3 * np.sin(2 * np.pi * 200 * np.arange(3 * RATE) / RATE)).astype(np.float32)
    assert faults(hum, RATE, TEXT) == ()
    pause = np.concatenate([speech(1.0), np.zeros(2 * RATE, np.float32), speech(1.0, 2)])
    assert faults(pause, RATE, TEXT) == ()


@given(st.integers(0, 4000), st.integers(0, 99), st.text(max_size=40))
@settings(max_examples=60)
def test_it_looks_at_anything(count: int, seed: int, text: str) -> None:
    sound = np.random.default_rng(seed).uniform(-1.5, 1.5, count).astype(np.float32)
    found = faults(sound, RATE, text)
    assert len(set(found)) == len(found)
    assert found == () or letters_of(text) > 0
