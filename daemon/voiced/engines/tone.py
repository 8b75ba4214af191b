"""The stand-in that ships: an engine whose audio is known sample by sample, and which fails as it is told.

A segment of n characters is a cosine of n * 20 ms (shorter where spoken faster) at 24 kHz. Its pitch follows from
text, voice and seed; it is made of whole periods, so that it starts and ends loud and no trimming touches it.

Words in the text make faults: `[[slow:0.5]]` waits 0.5 s before each chunk, `[[hang]]` waits for ever, `[[hang-gil]]`
the same without letting go of the interpreter, `[[crash]]` is a segmentation fault, `[[eat:500]]` takes 500 MB,
`[[fail]]` raises, `[[nan]]`, `[[silent]]`, `[[clip]]`, `[[short]]`, `[[long]]` and `[[repeat]]` spoil the samples,
`[[endless]]` says that no end was met. `[[once:NAME:FAULT]]` does FAULT the first time only: it leaves a file NAME in
the folder given to `load`.
"""

import ctypes
import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voiced.engines.base import (
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
from voiced.engines.ending import ENDLESS
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, SynthesisFailed

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

SAMPLE_RATE_HZ = 24000
SAMPLES_PER_CHAR = SAMPLE_RATE_HZ * 20 // 1000
AMPLITUDE = 0.3
CHUNK_SAMPLES = SAMPLE_RATE_HZ // 4

_BASE_HZ = {"tone-low": 110, "tone-high": 440}
_LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "ru", "zh", "ja", "ko", "ar", "hi")
_FAULT = re.compile(r"\[\[(?:once:([\w-]+):)?([a-z-]+)(?::([\d.]+))?\]\]")


def tone_samples(request: SegmentRequest) -> "FloatArray":
    """Return the whole audio of a segment, faults aside.

    Args:
        request: Its text, voice, prompt, seed, speed, pitch and volume count.
    """
    count = round(len(request.text) * SAMPLES_PER_CHAR / request.speed)
    if not count or request.text.isspace():
        return np.zeros(0, np.float32)
    base_hz = _BASE_HZ.get(request.voice, _BASE_HZ["tone-low"])
    prompt = b"" if request.prompt is None else request.prompt.tensors["loudness"].tobytes()
    mark = zlib.crc32(f"{request.text}\0{request.voice}\0{request.seed}".encode() + prompt)
    hz = (base_hz + mark % base_hz) * (0.5 + request.pitch / 2)
    periods = max(1, round(hz * count / SAMPLE_RATE_HZ))
    wave = np.cos(2 * np.pi * periods / count * np.arange(count))
    samples: FloatArray = (AMPLITUDE * request.volume * wave).astype(np.float32)
    return samples


class ToneEngine:
    """The engine; see the module for what it does."""

    capabilities = Capabilities(
        sample_rate_hz=SAMPLE_RATE_HZ,
        voices=(
            EngineVoice("tone-low", "Low tone", _LANGUAGES),
            EngineVoice("tone-high", "High tone", _LANGUAGES),
        ),
        can_cancel=True,
        languages=_LANGUAGES,
        identities=(SPEAKER, PROMPT),
        can_blend=True,
    )

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._eaten: list[bytes] = []
        self._model = ""

    @property
    def identity(self) -> Mapping[str, str]:
        """What prompts belong to."""
        return {"model": self._model, "width": "1", "code": "1"}

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load nothing.

        Args:
            folder: Where `[[once:NAME:FAULT]]` leaves its files.
            settings: Only the model counts.

        Raises:
            EngineLoadFailed: If the folder is not there.
        """
        if folder is not None and not folder.is_dir():
            raise EngineLoadFailed(f"the folder {folder} is not there; make it")
        self._folder, self._model = folder, settings.model
        yield LoadStep(1.0, "nothing to load")

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Return a prompt that holds one number: how the recordings were loud together.

        Raises:
            InvalidRequest: If there is none.
        """
        if not references:
            raise InvalidRequest("a voice needs a recording")
        power = np.concatenate([reference.samples for reference in references]) ** 2
        return Prompt({"loudness": np.sqrt(power.mean(keepdims=True)).astype(np.float32)})

    def unload(self) -> None:
        """Let go of everything."""
        self._eaten.clear()

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            SynthesisFailed: Where a text says `[[fail]]`.
        """
        for request in segments:
            faults = self._faults(request.text)
            for fault, value in faults:
                self._misbehave(fault, value)
            samples = tone_samples(request)
            for fault, _ in faults:
                samples = _spoil(samples, fault)
            pause_s = sum(value for fault, value in faults if fault == "slow")
            for start in range(0, len(samples), CHUNK_SAMPLES):
                if cancelled.wait(pause_s) if pause_s else cancelled.is_set():
                    return
                yield request.place, samples[start : start + CHUNK_SAMPLES]
            if any(fault == "endless" for fault, _ in faults):
                yield request.place, ENDLESS

    def _faults(self, text: str) -> list[tuple[str, float]]:
        found = []
        for once, fault, value in _FAULT.findall(text):
            if not once or self._is_first(once):
                found.append((fault, float(value or 0)))
        return found

    def _is_first(self, name: str) -> bool:
        if self._folder is None:
            return False
        try:
            (self._folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _misbehave(self, fault: str, value: float) -> None:
        if fault == "hang":
            while True:
                time.sleep(3600)
        elif fault == "hang-gil":
            ctypes.PyDLL(None).sleep(1 << 30)
        elif fault == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif fault == "eat":
            self._eaten.append(b"\1" * int(value * 1_000_000))
        elif fault == "fail":
            raise SynthesisFailed("the text told the tone engine to fail; take [[fail]] out of it")


def _spoil(samples: "FloatArray", fault: str) -> "FloatArray":
    if fault == "nan":
        samples = samples.copy()
        samples[len(samples) // 2 :] = np.nan
    elif fault == "silent":
        samples = np.zeros_like(samples)
    elif fault == "clip":
        samples = samples * np.float32(10)
    elif fault == "short":
        samples = samples[: len(samples) // 8]
    elif fault == "long":
        samples = np.tile(samples, 30)
    elif fault == "repeat":
        # Loud and soft in one pattern of half a second, again and again.
        turn = np.arange(len(samples)) % (SAMPLE_RATE_HZ // 2) / (SAMPLE_RATE_HZ // 2)
        samples = (samples * (0.05 + turn**2)).astype(np.float32)
    return samples
