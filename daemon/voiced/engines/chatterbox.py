"""Chatterbox: an English voice from a recording, through the chatterbox-tts package. Its output is watermarked.

A segment is one chunk at 24 kHz: the package has no streaming. It has no speed or pitch either; those of a request
are left as they are. T3 makes at most 1000 tokens, which are 40 s. A voice is state of the package's model: here each
segment brings its own, or the published one (`conds`), and nothing of it stays.

A cancel is looked at before every layer of T3 and before every small part of S3Gen.
"""

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
import torch
from torch import nn

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
from voiced.engines.chatterbox_model import Loading
from voiced.engines.chatterbox_package import (
    SPECIAL_TOKENS,
    SPEECH_VOCAB_SIZE,
    Conditionals,
    T3Cond,
    drop_invalid_tokens,
    punc_norm,
)
from voiced.engines.torch_setup import memory_named, prepare, seed_all
from voiced.engines.watch import LeftEarly, Watch, leaves
from voiced.engines.weights import tensors_of
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, SynthesisFailed, UnknownLanguage, UnknownVoice

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

SAMPLE_RATE_HZ = 24000
REFERENCE_S = (5.0, 60.0)
"""Six seconds are the prompt of T3, ten that of S3Gen; 10 to 30 s are best."""

OWN_VOICE = "chatterbox"
_SILENCE = 1e-3
"""Peak below which a recording holds nothing: -60 dB."""
_LANGUAGES = ("en",)
_MAX_TOKENS = 1000
"""Upstream's: 40 s."""
_EXAGGERATION = 0.5
_SAMPLING = {
    "temperature": 0.8,
    # Never 0: the package then gives a batch of one to code that takes two.
    "cfg_weight": 0.5,
    "repetition_penalty": 1.2,
    "min_p": 0.05,
    "top_p": 1.0,
}
"""Upstream's defaults."""

_T3 = ("t3.speaker_emb", "t3.cond_prompt_speech_tokens")
_GEN = ("gen.prompt_token", "gen.prompt_token_len", "gen.prompt_feat", "gen.embedding")


def _look_finite(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    # Sampling from what is no number would abort the device's whole context on a GPU.
    if not bool(torch.isfinite(output).all()):
        raise SynthesisFailed("Chatterbox computed what is no number; the segment can be tried again")


class ChatterboxEngine:
    """The engine; see the module for what it does."""

    def __init__(self) -> None:
        self._model: Any = None
        self._watch = Watch()
        self._own_voice: Mapping[str, torch.Tensor] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What it can do: the published files bring one voice, recordings the others."""
        has_own = self._own_voice is not None
        return Capabilities(
            sample_rate_hz=SAMPLE_RATE_HZ,
            voices=(EngineVoice(OWN_VOICE, "Chatterbox", _LANGUAGES),) if has_own else (),
            languages=_LANGUAGES,
            identities=(SPEAKER, PROMPT) if has_own else (PROMPT,),
            can_cancel=True,
            max_segment_chars=300,
            reference_s=REFERENCE_S,
            can_blend=True,
        )

    @property
    def identity(self) -> Mapping[str, str]:
        """What prompts belong to."""
        width = self._model.t3.dim if self._model is not None else 0
        return {"model": "chatterbox", "width": str(width), "code": "1"}

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the published files; see `voiced.engines.base.Engine.load`.

        Args:
            folder: `ve`, `t3_cfg` and `s3gen.safetensors`, `tokenizer.json`, perhaps `conds.safetensors`.
            settings: Device and threads count; the package knows only fp32.

        Raises:
            EngineLoadFailed: If a file is missing or does not fit, or the watermark cannot be loaded.
            DeviceOutOfMemory: If there is not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("Chatterbox has no files: `voiced pull chatterbox` brings them")
        device = prepare(settings)
        with memory_named("Chatterbox"):
            loading = Loading(folder, device)
            yield from loading.steps()
            own = folder / "conds.safetensors"
            self._own_voice = _voice(tensors_of([own]), own.name) if own.exists() else None
            model = loading.model
            self._watch.follow([*model.t3.tfmr.layers, *leaves(model.s3gen)])
            model.t3.speech_head.register_forward_hook(_look_finite)
            self._model = model

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Return the voice of recordings; of several the speakers' vectors are averaged, the first leads.

        Raises:
            InvalidRequest: If there is none, one is too short, or no voice is in it.
        """
        if not references:
            raise InvalidRequest("a voice needs a recording")
        self._watch.cancelled = threading.Event()
        with torch.inference_mode(), memory_named("the recording"):
            voices = [self._voice_of(reference) for reference in references]
        first = voices[0]
        speaker = torch.stack([voice["t3.speaker_emb"] for voice in voices]).mean(0)
        first["t3.speaker_emb"] = speaker / speaker.norm(dim=-1, keepdim=True)
        first["gen.embedding"] = torch.stack([voice["gen.embedding"] for voice in voices]).mean(0)
        return Prompt({name: tensor.numpy() for name, tensor in first.items()})

    def _voice_of(self, reference: Reference) -> dict[str, torch.Tensor]:
        if len(reference.samples) < REFERENCE_S[0] * reference.sample_rate_hz:
            raise InvalidRequest(f"the recording is shorter than {REFERENCE_S[0]:g} s; 10 to 30 s are best")
        if not np.abs(reference.samples).max() > _SILENCE:
            raise InvalidRequest("no voice can be heard in the recording; take one with speech")
        # Upstream reads a file: it gets one that never lies on a disk.
        file = io.BytesIO()
        soundfile.write(file, reference.samples, reference.sample_rate_hz, format="WAV", subtype="FLOAT")
        file.seek(0)
        try:
            self._model.prepare_conditionals(file, exaggeration=_EXAGGERATION)
            conditionals = self._model.conds
        finally:
            self._model.conds = None
        held = {f"t3.{name}": value for name, value in vars(conditionals.t3).items()}
        held |= {f"gen.{name}": value for name, value in conditionals.gen.items()}
        voice = {name: held[name].cpu() for name in (*_T3, *_GEN)}
        if not all(bool(torch.isfinite(tensor).all()) for tensor in voice.values()):
            raise InvalidRequest("no voice can be heard in the recording; take one with speech")
        return voice

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            InvalidRequest: If there is no voice to speak with.
            UnknownVoice: If it has none of that name.
            UnknownLanguage: If it is not English.
            SynthesisFailed: If the model computed what is no number.
            DeviceOutOfMemory: If there is not enough memory.
        """
        for request in segments:
            voice = self._voice_for(request)
            if not request.text.strip():
                continue
            try:
                samples = self._samples(request, voice, cancelled)
            except LeftEarly:
                return
            if cancelled.is_set():
                return
            if len(samples):
                yield request.place, samples * np.float32(request.volume)

    def _voice_for(self, request: SegmentRequest) -> Mapping[str, torch.Tensor]:
        if request.language and request.language.split("-")[0] not in _LANGUAGES:
            raise UnknownLanguage(
                f"Chatterbox speaks English, not {request.language!r}: choose another model"
            )
        if request.prompt is not None:
            tensors = {name: torch.from_numpy(array) for name, array in request.prompt.tensors.items()}
            return _voice(tensors, "the voice")
        if request.voice not in ("", OWN_VOICE):
            raise UnknownVoice(f"Chatterbox has no voice {request.voice!r}; add one: `voiced voice add`")
        if self._own_voice is None:
            raise InvalidRequest("Chatterbox needs a recording to speak like: `voiced voice add NAME FILE`")
        return self._own_voice

    def _samples(
        self, request: SegmentRequest, voice: Mapping[str, torch.Tensor], cancelled: threading.Event
    ) -> "FloatArray":
        model = self._model
        self._watch.cancelled = cancelled
        with torch.inference_mode(), memory_named("a segment"):
            seed_all(request.seed)
            conditionals = _conditionals(voice, model.device)
            tokens = model.t3.inference(
                t3_cond=conditionals.t3,
                text_tokens=self._text_tokens(request.text),
                max_new_tokens=_MAX_TOKENS,
                **_SAMPLING,
            )
            speech = drop_invalid_tokens(tokens[0])
            speech = speech[speech < SPEECH_VOCAB_SIZE]
            if not len(speech):  # it ended at once
                return np.zeros(0, np.float32)
            wave, _ = model.s3gen.inference(speech_tokens=speech, ref_dict=conditionals.gen)
            plain = wave.squeeze(0).float().cpu().numpy()
            marked = model.watermarker.apply_watermark(plain, sample_rate=SAMPLE_RATE_HZ)
        return np.asarray(marked, np.float32)

    def _text_tokens(self, text: str) -> torch.Tensor:
        # A text must not end or start anything by its content.
        for token in SPECIAL_TOKENS:
            text = text.replace(token, token.strip("[]").lower())
        tokens = self._model.tokenizer.text_to_tokens(punc_norm(text)).to(self._model.device)
        start, stop = self._model.t3.hp.start_text_token, self._model.t3.hp.stop_text_token
        tokens = nn.functional.pad(tokens, (1, 0), value=start)
        tokens = nn.functional.pad(tokens, (0, 1), value=stop)
        # Once with the text and once without it: their difference is what `cfg_weight` weighs.
        return torch.cat([tokens, tokens])

    def unload(self) -> None:
        """Let go of everything."""
        self._model = self._own_voice = None


def _voice(tensors: Mapping[str, torch.Tensor], what: str) -> Mapping[str, torch.Tensor]:
    missing = [name for name in (*_T3, *_GEN) if name not in tensors]
    if missing:
        raise InvalidRequest(f"{what} is none for Chatterbox: it has no {missing[0]}; add it again")
    return tensors


def _conditionals(voice: Mapping[str, torch.Tensor], device: str) -> Conditionals:
    """The package's own value, of copies: it writes into what it is given."""
    speaker, tokens = (voice[name].clone() for name in _T3)
    emotion = _EXAGGERATION * torch.ones(1, 1, 1)
    t3 = T3Cond(speaker_emb=speaker, cond_prompt_speech_tokens=tokens, emotion_adv=emotion)
    gen = {name.removeprefix("gen."): voice[name].clone() for name in _GEN}
    return Conditionals(t3, {**gen, "prompt_feat_len": None}).to(device)
