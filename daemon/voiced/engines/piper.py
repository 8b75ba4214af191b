"""Piper: small VITS voices as ONNX files, a chunk for each sentence, fast on any CPU. Without torch.

The package (GPL-3.0-or-later) is an overlay's and lives in this worker process only. One voice is one language;
some hold many speakers. Speed and volume are the engine's own; it has no pitch. A run is stopped inside a sentence
through onnxruntime's own flag. The noise in the graph comes from the segment's seed: see `piper_onnx`.
"""

import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime
from piper import PhonemeType, PiperConfig, PiperVoice, SynthesisConfig

from voiced.engines.base import (
    Capabilities,
    EngineVoice,
    LoadSettings,
    LoadStep,
    OwnVoices,
    SegmentRequest,
)
from voiced.engines.espeak_voices import language_tag
from voiced.engines.piper_onnx import NOISE_INPUT, SeededModel, seeded
from voiced_ipc.errors import (
    DeviceOutOfMemory,
    EngineLoadFailed,
    ModelDamaged,
    SynthesisFailed,
    UnknownVoice,
)

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

_SERVED_PHONEMES = (PhonemeType.ESPEAK, PhonemeType.TEXT, PhonemeType.HEBREW)
"""The others need packages that are not in the overlay, or fetch files when they first speak."""
_NUMBERS_PER_ID = 2048
"""Random numbers for a phoneme: 192 channels for ten frames of 12 ms at the usual speed; speech takes about half."""
_LOOKS_S = 0.1
"""How often a running sentence looks for a cancel, and the least that is worth looking."""
_CONTROLS = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127], " ")
"""A zero would end the text, and some are commands of espeak."""
_BRACKETS = re.compile(r"\[(?=\[)")
_INPUTS = frozenset(("input", "input_lengths", "scales", "sid", NOISE_INPUT))
_STATE = onnxruntime.capi.onnxruntime_pybind11_state
_FAILURES: tuple[type[Exception], ...] = (
    *(_STATE.Fail, _STATE.EPFail, _STATE.EngineError, _STATE.RuntimeException, _STATE.NotImplemented),
    *(_STATE.InvalidArgument, _STATE.InvalidGraph, _STATE.InvalidProtobuf, _STATE.NoModel, _STATE.NoSuchFile),
)
"""What onnxruntime raises; they have no base of their own."""
_LOAD_FAILURES: tuple[type[Exception], ...] = (OSError, ValueError, LookupError, RuntimeError, *_FAILURES)


class _Session:
    """What `PiperVoice` runs: a session whose runs can be stopped, and whose noise comes from a seed.

    Args:
        session: Of onnxruntime.
        draws: Whether it has the noise as an input.
    """

    def __init__(self, session: Any, *, draws: bool) -> None:
        self._session = session
        self._draws = draws
        self._s_per_id = 0.0
        self.begin(SegmentRequest(0, "", "", "", 0), threading.Event())

    def begin(self, request: SegmentRequest, cancelled: threading.Event) -> None:
        """Begin a segment; nothing of the one before is left."""
        # A generator costs a few words as much as their phonemes: only voices that draw get one.
        self._generator = np.random.default_rng(request.seed) if self._draws else None
        self._numbers_per_id = round(_NUMBERS_PER_ID / min(1.0, request.speed))
        self._cancelled = cancelled

    def run(self, names: Sequence[str] | None, inputs: dict[str, Any]) -> Any:
        """Run the graph; a cancel ends it with one of `_FAILURES`."""
        ids = inputs["input"].shape[1]
        if self._generator is not None:
            count = ids * self._numbers_per_id
            inputs[NOISE_INPUT] = self._generator.standard_normal(count, dtype=np.float32)
        options = onnxruntime.RunOptions()
        # A thread costs a short sentence as much as its synthesis: only what may last gets one.
        is_long = not self._s_per_id or ids * self._s_per_id > _LOOKS_S
        began = time.monotonic()
        with _stopped_by(self._cancelled, options) if is_long else contextlib.nullcontext():
            made = self._session.run(names, inputs, options)
        self._s_per_id = (time.monotonic() - began) / ids
        return made


class _Voice(NamedTuple):
    """A loaded voice."""

    piper: PiperVoice
    session: _Session
    length_scale: float
    """At the usual speed."""
    speakers: Mapping[str, int | None]
    """By the id that is asked for; the first is the usual one."""


class PiperEngine(OwnVoices):
    """The engine; see the module for what it does."""

    def __init__(self) -> None:
        self.capabilities = Capabilities(sample_rate_hz=0)
        self.identity: Mapping[str, str] = {}
        self._voice: _Voice | None = None

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the one voice of a folder.

        Args:
            folder: With one `*.onnx`, and its `*.onnx.json` beside it.
            settings: Its model and threads count.

        Raises:
            ModelDamaged: If there is no voice, or it is damaged.
            EngineLoadFailed: If it needs what voiced has not.
        """
        file = _voice_file(folder)
        told = _read_config(file)
        config = PiperConfig.from_dict(told)
        yield LoadStep(0.1, "the voice's description is read")
        logging.getLogger("piper").setLevel(logging.ERROR)  # its warnings hold pieces of the text
        with _load_failures(file):
            graph = seeded(file.read_bytes())
            yield LoadStep(0.3, "the graph is prepared")
            session = _Session(_session(graph, settings.threads), draws=graph.draws > 0)
            piper = PiperVoice(session=session, config=config, download_dir=file.parent)
            speakers = _speakers(file.stem, config)
            self._voice = _Voice(piper, session, config.length_scale, speakers)
            yield LoadStep(0.8, "the graph is loaded")
            # Starts espeak's phonemes too: the first segment waits for nothing.
            if not all(np.isfinite(chunk.audio_float_array).all() for chunk in piper.synthesize("a")):
                raise ValueError("it makes samples that are no numbers")
        language = _language(told, config)
        self.capabilities = Capabilities(
            sample_rate_hz=config.sample_rate,
            voices=tuple(EngineVoice(speaker, _name(told, speaker), (language,)) for speaker in speakers),
            is_repeatable=graph.is_repeatable,
            can_cancel=True,
        )
        self.identity = {"model": settings.model, "speakers": str(len(speakers)), "code": "1"}
        yield LoadStep(1.0, "the voice has spoken")

    def unload(self) -> None:
        """Let go of everything."""
        self._voice = None

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order, a chunk for a sentence; see `voiced.engines.base.Engine.speak`.

        The language is the voice's own, whatever the segment says.

        Raises:
            UnknownVoice: If the model has no such speaker.
            DeviceOutOfMemory: If there was no memory for a sentence.
            SynthesisFailed: If the graph failed.
        """
        assert self._voice is not None, "speak comes after load"
        for request in segments:
            wanted = SynthesisConfig(
                speaker_id=self._speaker(request.voice),
                length_scale=self._voice.length_scale / request.speed,
                volume=request.volume,
            )
            self._voice.session.begin(request, cancelled)
            for chunk in self._chunks(request.text, wanted, cancelled):
                yield request.place, chunk
            if cancelled.is_set():
                return

    def _speaker(self, voice: str) -> int | None:
        assert self._voice is not None
        speakers = self._voice.speakers
        if voice and voice not in speakers:
            shown = ", ".join(list(speakers)[:5]) + (" ..." if len(speakers) > 5 else "")
            raise UnknownVoice(f"this Piper voice has no speaker {voice!r}; it has {shown}")
        return speakers[voice or next(iter(speakers))]

    def _chunks(
        self, text: str, wanted: SynthesisConfig, cancelled: threading.Event
    ) -> Iterator["FloatArray"]:
        assert self._voice is not None
        # Two brackets would begin raw phonemes: a text sets nothing by its content.
        safe = _BRACKETS.sub("[ ", text.translate(_CONTROLS))
        sentences = iter(self._voice.piper.synthesize(safe, wanted))
        while not cancelled.is_set():
            try:
                chunk = next(sentences, None)
            except _FAILURES as error:
                if cancelled.is_set():
                    return
                if "allocat" in str(error):
                    message = "not enough memory for a sentence: close programs, or take a smaller voice"
                    raise DeviceOutOfMemory(message) from error
                raise SynthesisFailed(
                    f"the voice's graph failed ({type(error).__name__}); the segment can be tried again"
                ) from error
            if chunk is None:
                return
            yield chunk.audio_float_array


@contextlib.contextmanager
def _stopped_by(cancelled: threading.Event, options: Any) -> Iterator[None]:
    """A cancel ends the run inside: the main thread waits in onnxruntime and sees nothing."""
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            if cancelled.wait(_LOOKS_S):
                options.terminate = True
                return

    threading.Thread(target=look, name="piper-cancel", daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


@contextlib.contextmanager
def _load_failures(file: Path) -> Iterator[None]:
    try:
        yield
    except _LOAD_FAILURES as error:
        # Only the first line: the library adds its own source's places.
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise ModelDamaged(f"{file.name} cannot be loaded ({reason}): pull or import it again") from error


def _voice_file(folder: Path | None) -> Path:
    found = sorted(folder.glob("*.onnx")) if folder is not None else []
    if len(found) != 1:
        what = f"{len(found)} voices" if found else "no voice"
        raise ModelDamaged(f"{folder} holds {what} (*.onnx), where one belongs: pull or import it again")
    return found[0]


def _read_config(file: Path) -> dict[str, Any]:
    """The description beside the graph, looked over for what would fail only later."""
    beside = file.with_name(file.name + ".json")
    try:
        told: dict[str, Any] = json.loads(beside.read_bytes())
        config = PiperConfig.from_dict(told)
        greatest = max(number for ids in config.phoneme_id_map.values() for number in ids)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelDamaged(
            f"{beside.name} cannot be read ({type(error).__name__}: {error}): pull or import the voice again"
        ) from error
    if config.phoneme_type not in _SERVED_PHONEMES:
        raise EngineLoadFailed(
            f"this voice speaks from phonemes of its own ({config.phoneme_type.value}), which voiced cannot make; "
            "take a voice with espeak's"
        )
    if greatest >= config.num_symbols:
        raise EngineLoadFailed(
            f"{beside.name} names phonemes that the voice has not: pull or import it again"
        )
    return told


def _session(graph: SeededModel, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait sleep, as everywhere: spinning ones take the core that the daemon needs to send what was made.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        graph.model, sess_options=options, providers=["CPUExecutionProvider"]
    )
    unknown = {given.name for given in session.get_inputs()} - _INPUTS
    if unknown:
        raise ValueError(f"it asks for {', '.join(sorted(unknown))}: no Piper voice")
    return session


def _speakers(stem: str, config: PiperConfig) -> dict[str, int | None]:
    if config.num_speakers <= 1:
        return {stem: None}
    named = {number: name for name, number in config.speaker_id_map.items()}
    usual = config.default_speaker_id
    order = sorted(range(config.num_speakers), key=lambda number: (number != usual, number))
    return {named.get(number, str(number)): number for number in order}


def _name(told: Mapping[str, Any], speaker: str) -> str:
    dataset = str(told.get("dataset") or speaker)
    return dataset if len(told.get("speaker_id_map") or ()) <= 1 else f"{dataset}, {speaker}"


def _language(told: Mapping[str, Any], config: PiperConfig) -> str:
    language = told.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    return language_tag(str(code or config.espeak_voice))
