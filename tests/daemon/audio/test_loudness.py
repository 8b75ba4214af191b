"""Loudness: measured as others measure it, brought to a target by one gain."""

import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.daemon.audio.readers import needs_ffmpeg
from voiced.audio.formats import FORMATS
from voiced.audio.loudness import MAX_TRUE_PEAK_DBTP, Gain, Loudness, amplified, gain_for, measure
from voiced.audio.writers import Spool, Target, encode
from voiced_ipc.errors import InvalidRequest

_RATE_HZ = 24_000
_DB = st.floats(-60, 0)


def speech_like(seconds: float, rate_hz: int = _RATE_HZ, level: float = 0.05) -> bytes:
    """Return low noise in syllables with pauses between, as PCM."""
    count, softness = int(seconds * rate_hz), rate_hz // 1000
    noise = np.random.default_rng(5).normal(0, level, count + softness - 1)
    noise = np.convolve(noise, np.ones(softness) / softness**0.5, "valid")
    envelope = np.clip(np.sin(np.arange(count) * 2 * np.pi * 1.3 / rate_hz) * 1.5, 0, 1)
    envelope[int(count * 0.6) : int(count * 0.8)] = 0
    return pcm16(noise * envelope)


def pcm16(sound: NDArray[np.float64]) -> bytes:
    """Return samples, full scale at 1, as PCM."""
    return np.clip(np.rint(sound * 32_768), -32_768, 32_767).astype("<i2").tobytes()


def blocks_of(pcm: bytes, size: int = 10_000) -> Iterator[bytes]:
    """Yield PCM in pieces."""
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


def measured(pcm: bytes, rate_hz: int = _RATE_HZ) -> Loudness:
    """Return how loud it is."""
    told = measure(blocks_of(pcm), rate_hz)
    assert told is not None
    return told


def test_the_reference_tone_of_the_standard() -> None:
    """BS.1770: a sine of 997 Hz at 0 dBFS in one channel is -3.01 LUFS; EBU Tech 3341 allows 0.1 LU."""
    for rate_hz in (16_000, 22_050, 24_000, 44_100, 48_000):
        tone = 0.1 * np.sin(np.arange(5 * rate_hz) * 2 * np.pi * 997 / rate_hz)
        told = measured(pcm16(tone), rate_hz)
        assert told.integrated_lufs == pytest.approx(-23.01, abs=0.1)
        assert told.true_peak_dbtp == pytest.approx(-20, abs=0.1)


def test_peaks_between_the_samples_are_seen() -> None:
    """A sine of a quarter of the rate, sampled 45 degrees off its peaks, is 3 dB higher than its samples."""
    sound = 0.5 * np.sin(np.arange(2 * _RATE_HZ) * np.pi / 2 + np.pi / 4)
    sound *= np.clip(np.arange(2 * _RATE_HZ) / 1000, 0, 1)[::-1] * np.clip(
        np.arange(2 * _RATE_HZ) / 1000, 0, 1
    )
    assert np.abs(sound).max() == pytest.approx(0.3536, abs=0.001)
    assert measured(pcm16(sound)).true_peak_dbtp == pytest.approx(-6.02, abs=0.3)


def test_a_peak_at_the_very_end_is_seen() -> None:
    sound = speech_like(3) + pcm16(np.array([0.9]))
    assert measured(sound).true_peak_dbtp == pytest.approx(20 * math.log10(0.9), abs=0.6)


@pytest.mark.parametrize("size", [2, 1000, 1 << 18])
def test_pieces_do_not_matter(size: int) -> None:
    sound = speech_like(1)
    assert measure(blocks_of(sound, size), _RATE_HZ) == measured(sound)


@pytest.mark.parametrize("sound", [b"", bytes(2 * _RATE_HZ), bytes(200), speech_like(0.1)])
def test_what_cannot_be_measured(sound: bytes) -> None:
    told = measure(blocks_of(sound), _RATE_HZ)
    assert told is None
    assert gain_for(told, -19).db == 0
    assert gain_for(told, -19).note


@pytest.mark.process
@needs_ffmpeg
@pytest.mark.parametrize("rate_hz", [22_050, 24_000, 48_000])
def test_ffmpeg_measures_the_same(tmp_path: Path, rate_hz: int) -> None:
    sound = speech_like(8, rate_hz)
    raw = tmp_path / "raw"
    raw.write_bytes(sound)
    source = ["-f", "s16le", "-ar", str(rate_hz), "-ac", "1", "-i", str(raw)]
    done = subprocess.run(
        ["ffmpeg", "-nostats", "-hide_banner", *source, "-af", "ebur128=peak=true", "-f", "null", "-"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    summary = done.stderr[done.stderr.rindex("Summary:") :]
    integrated = float(re.findall(r"I: +(-[\d.]+) LUFS", summary)[0])
    peak = float(re.findall(r"Peak: +(-[\d.]+) dBFS", summary)[0])
    told = measured(sound, rate_hz)
    assert told.integrated_lufs == pytest.approx(integrated, abs=0.06)
    assert told.true_peak_dbtp == pytest.approx(peak, abs=0.1)


@given(_DB, st.floats(-60, 0), st.floats(-50, -5))
def test_the_gain_reaches_the_target_or_the_peak_bound(lufs: float, peak: float, target: float) -> None:
    gain = gain_for(Loudness(lufs, peak), target)
    assert peak + gain.db <= MAX_TRUE_PEAK_DBTP + 1e-9
    assert lufs + gain.db <= target + 1e-9
    if lufs + gain.db < target - 1e-6:
        assert peak + gain.db == pytest.approx(MAX_TRUE_PEAK_DBTP)
        assert gain.note
    else:
        assert not gain.note


def test_gain_by_example() -> None:
    assert gain_for(Loudness(-25, -10), -19) == Gain(6)
    limited = gain_for(Loudness(-25, -5), -19)
    assert limited.db == 4
    assert "-21.0 LUFS instead of -19.0" in limited.note


def test_amplified_sound_is_rounded_and_never_wraps() -> None:
    sound = np.array([0, 1, -1, 100, -100, 20_000, -20_000], dtype="<i2").tobytes()
    (louder,) = amplified([sound], 6.0206)
    assert np.frombuffer(louder, "<i2").tolist() == [0, 2, -2, 200, -200, 32_767, -32_768]
    (same,) = amplified([sound], 0.0)
    assert same == sound


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("level", [0.01, 0.2])
def test_a_file_is_as_loud_as_asked_for(tmp_path: Path, format_: str, level: float) -> None:
    sound = speech_like(4, level=level)
    (tmp_path / "spool").write_bytes(sound)
    spool = Spool(tmp_path / "spool", 0, len(sound) // 2, _RATE_HZ)
    fractions: list[float] = []
    made = encode(spool, Target(tmp_path / "out", format_, _RATE_HZ, loudness_lufs=-23), fractions.append)
    assert made.notes == ()
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    heard, rate_hz = heard_by(tmp_path / "out", format_)
    assert measured(heard, rate_hz).integrated_lufs == pytest.approx(-23, abs=0.5)


def heard_by(path: Path, format_: str) -> tuple[bytes, int]:
    """Return the sound of a file as PCM."""
    if format_ in ("m4a", "m4b"):
        from tests.daemon.audio.readers import decoded

        sound = decoded(path)
        return pcm16(sound.samples.astype(np.float64)), sound.sample_rate_hz
    samples, rate_hz = soundfile.read(path)
    return pcm16(samples), rate_hz


def test_peaks_bound_the_loudness_and_it_is_told(tmp_path: Path) -> None:
    sound = np.frombuffer(speech_like(4), "<i2") / 32_768
    sound[50_000] = 0.8
    (tmp_path / "spool").write_bytes(pcm16(sound))
    spool = Spool(tmp_path / "spool", 0, len(sound), _RATE_HZ)
    made = encode(spool, Target(tmp_path / "out", "wav", _RATE_HZ, loudness_lufs=-14))
    assert len(made.notes) == 1
    assert "clip" in made.notes[0]
    samples, _ = soundfile.read(tmp_path / "out")
    assert measured(pcm16(samples)).true_peak_dbtp == pytest.approx(MAX_TRUE_PEAK_DBTP, abs=0.1)


@pytest.mark.parametrize("lufs", [0.0, -4.9, -51.0, math.nan, math.inf])
def test_a_loudness_that_is_none_is_refused(tmp_path: Path, lufs: float) -> None:
    (tmp_path / "spool").write_bytes(bytes(200))
    with pytest.raises(InvalidRequest, match="LUFS"):
        encode(
            Spool(tmp_path / "spool", 0, 100, _RATE_HZ),
            Target(tmp_path / "out", "wav", _RATE_HZ, loudness_lufs=lufs),
        )
    assert not (tmp_path / "out").exists()


def test_a_spool_is_not_made_louder_in_place(tmp_path: Path) -> None:
    """Half done, it could not be told from done."""
    (tmp_path / "spool").write_bytes(bytes(280))
    with pytest.raises(InvalidRequest, match="in place"):
        encode(
            Spool(tmp_path / "spool", 80, 100, _RATE_HZ),
            Target(tmp_path / "spool", "wav", _RATE_HZ, loudness_lufs=-19),
        )
