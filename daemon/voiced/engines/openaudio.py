"""OpenAudio S1-mini: a voice from recordings in 14 languages, through fish-speech, 44.1 kHz. Not for commercial use.

Samples come while a segment is made: after four frames (0.2 s), then in growing chunks that together are those of the
whole. Only the language model's type is chosen by the settings; the codec stays in fp32. Without a voice it speaks
with one that the seed chooses. It has no speed or pitch; those of a request are left as they are.

Several recordings make one voice: the model hears them one after the other.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr
import torch

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
from voiced.engines.openaudio_codec import SAMPLE_RATE_HZ, Codec, load_codec
from voiced.engines.openaudio_model import Speaker, Spoken, load_speaker
from voiced.engines.torch_setup import dtype_of, memory_named, prepare, seed_all
from voiced.engines.watch import LeftEarly, Watch
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, UnknownLanguage, UnknownVoice

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

LANGUAGES = ("en", "zh", "ja", "ko", "fr", "de", "es", "pl", "ru", "it", "pt", "ar", "hi", "tr")
REFERENCE_S = (3.0, 45.0)
"""10 to 30 s are best; more leaves no room for the text."""

_SILENCE = 1e-3
"""Peak below which a recording holds nothing: -60 dB."""

_FIRST_FRAMES = 4
_MOST_FRAMES = 43
"""Of one chunk: 2 s."""

_LEAST_LIMIT, _FRAMES_PER_CHAR = 128, 16
"""Frames that a segment may have: 6 s, and 0.7 s for a character. Speech needs a tenth; what goes on is no speech."""


def next_stop(spoken: int) -> int:
    """Return after how many frames the next chunk ends.

    Args:
        spoken: Frames before it.

    Half of what is spoken already is made while that is heard, wherever a frame takes two thirds of its own time.
    """
    return spoken + min(_MOST_FRAMES, max(_FIRST_FRAMES, spoken // 2))


class OpenAudioEngine:
    """The engine; see the module for what it does."""

    capabilities = Capabilities(
        sample_rate_hz=SAMPLE_RATE_HZ,
        voices=(EngineVoice("any", "Any voice, by the seed", LANGUAGES),),
        languages=LANGUAGES,
        identities=(SPEAKER, PROMPT),
        can_cancel=True,
        reference_s=REFERENCE_S,
        can_blend=True,
    )

    def __init__(self) -> None:
        self._speaker: Speaker | None = None
        self._codec: Codec | None = None
        self._watch = Watch()

    @property
    def identity(self) -> Mapping[str, str]:
        """What prompts belong to."""
        width = self._speaker.width if self._speaker is not None else 0
        return {"model": "openaudio-s1-mini", "width": str(width), "code": "1"}

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the published files; see `voiced.engines.base.Engine.load`.

        Args:
            folder: `config.json`, `model` and `codec.safetensors`, `tokenizer.tiktoken`, `special_tokens.json`.
            settings: Device, precision and threads count.

        Raises:
            EngineLoadFailed: If a file is missing or does not fit.
            DeviceOutOfMemory: If there is not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("OpenAudio has no files: `voiced pull openaudio-s1-mini` brings them")
        device = prepare(settings)
        with memory_named("OpenAudio"):
            speaker = load_speaker(folder, device, dtype_of(settings))
            yield LoadStep(0.5, "language model")
            codec = load_codec(folder / "codec.safetensors", device)
            if codec.books != speaker.books:
                raise EngineLoadFailed(
                    f"the codec has {codec.books} books and the model {speaker.books}: import both again"
                )
            self._watch.follow([*speaker.parts, *codec.parts])
        self._speaker, self._codec = speaker, codec
        yield LoadStep(1.0, "codec")

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Return the voice of recordings: their codes and what is said in them.

        Raises:
            InvalidRequest: If there is none, one is too short or silent, or they are too long together.
        """
        speaker, codec = self._loaded()
        if not references:
            raise InvalidRequest("a voice needs a recording")
        self._watch.cancelled = threading.Event()
        tensors = {}
        for place, reference in enumerate(references):
            if len(reference.samples) < REFERENCE_S[0] * reference.sample_rate_hz:
                raise InvalidRequest(
                    f"the recording is shorter than {REFERENCE_S[0]:g} s; 10 to 30 s are best"
                )
            if not np.abs(reference.samples).max() > _SILENCE:
                raise InvalidRequest("no voice can be heard in the recording; take one with speech")
            wave = soxr.resample(reference.samples, reference.sample_rate_hz, SAMPLE_RATE_HZ)
            with torch.inference_mode(), memory_named("the recording"):
                tensors[f"codes.{place}"] = codec.encode(torch.from_numpy(wave).float()).numpy()
        if sum(codes.shape[1] for codes in tensors.values()) > speaker.prompt_frames:
            most_s = int(speaker.prompt_frames * codec.frame_samples / SAMPLE_RATE_HZ)
            raise InvalidRequest(f"the recordings are too long: take at most {most_s} s together")
        texts = {f"text.{place}": reference.transcript for place, reference in enumerate(references)}
        return Prompt(tensors, texts)

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            InvalidRequest: If there is no such voice, or text and voice are too long together.
            UnknownVoice: If it has none of that name.
            UnknownLanguage: If the model does not speak it.
            SynthesisFailed: If the model computed what is no number.
            DeviceOutOfMemory: If there is not enough memory.
        """
        self._watch.cancelled = cancelled
        for request in segments:
            voice = _voice_for(request)
            if not request.text.strip():
                continue
            try:
                for chunk in self._chunks(request, voice, cancelled):
                    loud = chunk if chunk is ENDLESS else chunk * np.float32(request.volume)
                    yield request.place, loud
            except LeftEarly:
                return
            if cancelled.is_set():
                return

    def _chunks(
        self, request: SegmentRequest, voice: Sequence[Spoken], cancelled: threading.Event
    ) -> Iterator["FloatArray"]:
        speaker, codec = self._loaded()
        with memory_named("a segment"):
            seed_all(request.seed)
            limit = _LEAST_LIMIT + _FRAMES_PER_CHAR * len(request.text)
            codes: list[torch.Tensor] = []
            spoken, stop = 0, next_stop(0)
            for frame in speaker.frames(request.text, voice, limit, cancelled):
                codes.append(frame)
                if len(codes) == stop:
                    yield self._decoded(codec, codes, spoken)
                    spoken, stop = stop, next_stop(stop)
            if len(codes) > spoken and not cancelled.is_set():
                yield self._decoded(codec, codes, spoken)
            if len(codes) >= limit:
                yield ENDLESS

    def _decoded(self, codec: Codec, codes: Sequence[torch.Tensor], spoken: int) -> "FloatArray":
        with torch.inference_mode():
            return codec.decode(torch.cat(list(codes), dim=1), spoken)

    def _loaded(self) -> tuple[Speaker, Codec]:
        if self._speaker is None or self._codec is None:
            raise EngineLoadFailed("OpenAudio is not loaded")
        return self._speaker, self._codec

    def unload(self) -> None:
        """Let go of everything."""
        self._speaker = self._codec = None


def _voice_for(request: SegmentRequest) -> list[Spoken]:
    if request.language and request.language.split("-")[0] not in LANGUAGES:
        raise UnknownLanguage(f"OpenAudio does not speak {request.language!r}: choose another model")
    if request.prompt is None:
        if request.voice not in ("", "any"):
            raise UnknownVoice(f"OpenAudio has no voice {request.voice!r}; add one: `voiced voice add`")
        return []
    prompt = request.prompt
    count = len(prompt.tensors)
    try:
        return [
            Spoken(prompt.values.get(f"text.{n}", ""), torch.from_numpy(prompt.tensors[f"codes.{n}"]))
            for n in range(count)
        ]
    except KeyError as error:
        raise InvalidRequest(f"the voice is none for OpenAudio: it has no {error}; add it again") from error
