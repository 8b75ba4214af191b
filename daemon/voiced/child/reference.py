"""A recording becomes a reference: decoded, mixed to one channel, looked at, written as plain WAV.

Runs in the scribe: what claims to be audio may be anything.
"""

import hashlib
import math
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiced_ipc.errors import ReferenceRefused

MIN_S, MAX_S = 1.0, 60.0
"""Shorter ones hold no voice, longer ones cost every engine time and memory."""
ADVISED_S = (10.0, 30.0)
"""What the makers of cloning models advise."""
RATES_HZ = (8000, 192_000)
MAX_CHANNELS = 8

SILENT_DB, QUIET_DB = -60.0, -40.0
"""Loudest tenth of a second, RMS against full scale: below the first nothing is said, below the second it is mostly
noise of the room."""
CLIPPED_FRACTION, CLIPPED_NOTE = 0.05, 0.005
"""Share of samples at full scale: cut so often speech is distorted; less is heard as roughness."""
_FULL_SCALE = 0.999
_BLOCK_FRAMES = 1 << 16


class Made(NamedTuple):
    """A reference on the disk."""

    sha256: str
    """Of the whole file."""
    seconds: float
    sample_rate_hz: int
    notes: tuple[str, ...] = ()
    """What would make it better."""


class _Audio(NamedTuple):
    samples: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate_hz


def make_reference(source: Path, target: Path) -> Made:
    """Write the reference of a recording and return what it is.

    Args:
        source: What is said to be audio.
        target: Becomes a WAV file: one channel, 16 bits, the recording's own rate.

    Raises:
        ReferenceRefused: If it cannot become a voice, and what would do.
        OSError: If it cannot be read or written.
    """
    audio = _read(source)
    notes = tuple(_look(audio))
    samples = audio.samples
    peak = float(np.abs(samples).max())
    if peak > 1.0:  # lossy formats overshoot; cutting that off would be a distortion of our own
        samples = samples / np.float32(peak)
    _write(target, samples, audio.sample_rate_hz)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    return Made(digest, round(audio.seconds, 3), audio.sample_rate_hz, notes)


def _read(source: Path) -> _Audio:
    """Decode a recording, at most a moment beyond what is allowed, whatever its header promises."""
    with source.open("rb") as raw:
        try:
            with soundfile.SoundFile(raw) as file:
                rate, channels = file.samplerate, file.channels
                if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
                    raise ReferenceRefused(
                        f"its sample rate is {rate} Hz: record it with at least {RATES_HZ[0]}, best 24000 or 48000"
                    )
                if channels > MAX_CHANNELS:
                    raise ReferenceRefused(f"it has {channels} channels: mix it to one or two")
                blocks, frames = [], 0
                for block in _blocks(file):
                    blocks.append(block.mean(axis=1, dtype=np.float32))
                    frames += len(block)
                    if frames > (MAX_S + 0.5) * rate:
                        raise ReferenceRefused(
                            f"it is longer than {MAX_S:g} s: {ADVISED_S[0]:g} to {ADVISED_S[1]:g} s of clear speech do"
                        )
        except soundfile.LibsndfileError as error:
            raise ReferenceRefused(
                "it is no audio that can be read: save it as WAV, FLAC, OGG or MP3"
            ) from error
    return _Audio(np.concatenate(blocks) if blocks else np.zeros(0, np.float32), rate)


def _blocks(file: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
        yield block


def _look(audio: _Audio) -> Iterator[str]:
    """Refuse what holds no voice; give advice on the rest."""
    seconds = audio.seconds
    if seconds < MIN_S:
        raise ReferenceRefused(
            f"it is {seconds:.2f} s long: {MIN_S:g} s is the least, "
            f"{ADVISED_S[0]:g} to {ADVISED_S[1]:g} s of one person speaking are best"
        )
    if not np.isfinite(audio.samples).all():
        raise ReferenceRefused("it has samples that are no numbers: save it anew, as 16 bit WAV")
    loudest_db = _loudest_db(audio)
    if loudest_db < SILENT_DB:
        raise ReferenceRefused("it is silent: look whether the right microphone was recorded")
    if loudest_db < QUIET_DB:
        raise ReferenceRefused(
            f"it is too quiet (loudest part {loudest_db:.0f} dB): record it closer to the microphone, or amplify it"
        )
    clipped = float(np.mean(np.abs(audio.samples) >= _FULL_SCALE))
    if clipped > CLIPPED_FRACTION:
        raise ReferenceRefused(
            f"{clipped:.0%} of it is clipped: record it with less gain, amplifying less does not mend it"
        )
    if clipped > CLIPPED_NOTE:
        yield f"{clipped:.1%} of it is clipped: less gain would give a cleaner voice"
    if seconds < ADVISED_S[0] or seconds > ADVISED_S[1]:
        yield f"it is {seconds:.1f} s long: {ADVISED_S[0]:g} to {ADVISED_S[1]:g} s are best"


def _loudest_db(audio: _Audio) -> float:
    """RMS of the loudest tenth of a second, in dB of full scale."""
    size = audio.sample_rate_hz // 10
    whole = len(audio.samples) // size * size
    power = np.square(audio.samples[:whole], dtype=np.float64).reshape(-1, size).mean(axis=1)
    return 10 * math.log10(max(float(power.max()), 1e-20))


def _write(target: Path, samples: NDArray[np.float32], rate: int) -> None:
    pcm = np.round(samples * 32767).astype("<i2").tobytes()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as raw, wave.open(raw, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
