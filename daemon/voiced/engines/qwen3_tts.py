"""Qwen3-TTS 0.6B and 1.7B on torch, through upstream's package `qwen-tts`: cloned, named and described voices.

A folder says itself what it is: `base` speaks with a voice from recordings, `custom_voice` with its speakers,
`voice_design` with a voice from words. The model has no speed and no pitch of its own: those of a request are left
to others, only the volume is done here. torch.compile is not used.

State: a segment is seeded by itself, and upstream keeps nothing between two. What it generates is streamed and
stopped by hooks (`qwen3_frames`), which are gone when a segment ends, however it ends.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voiced.engines import qwen3_int8, qwen3_load, qwen3_rules, torch_setup
from voiced.engines.base import (
    Capabilities,
    LoadSettings,
    LoadStep,
    Prompt,
    Reference,
    SegmentRequest,
)
from voiced.engines.ending import ENDLESS
from voiced.engines.qwen3_frames import Decoder, Stopped, frames_of, stopping
from voiced.engines.qwen3_voice import CheckedPrompt, make_prompt
from voiced.engines.weights import read_config
from voiced_ipc.errors import EngineLoadFailed

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray


_CODE = "1"
"""Grows when this adapter makes other prompts."""
_USUAL_LIMIT = 2048
"""Frames at most where the model's own settings say nothing: upstream's bound."""


class _NoDecoding:
    """Stands where upstream looks for its codec: the audio has left in chunks when upstream would decode it."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec
        self.encode = codec.encode

    def decode(self, encoded: Sequence[object]) -> tuple[list["FloatArray"], int]:
        """Return no audio for each segment."""
        return [np.zeros(0, np.float32) for _ in encoded], self._codec.get_output_sample_rate()


class Qwen3TtsEngine:
    """The engine; see the module."""

    def __init__(self) -> None:
        self._wrapper: Any = None
        self._decoder: Decoder | None = None
        self._model: qwen3_rules.Model | None = None
        self._marks: tuple[str, ...] = ()
        self.capabilities = Capabilities(sample_rate_hz=24000)
        self.identity: Mapping[str, str] = {}

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the model while it is iterated.

        Args:
            folder: The model's files.
            settings: How; `int8` on a CPU only.

        Raises:
            EngineLoadFailed: With the remedy in its message.
            DeviceOutOfMemory: If the device has not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("Qwen3-TTS has files of its own: `voiced pull qwen3-tts:1.7b` brings them")
        if settings.quantization == "int8" and settings.device != "cpu":
            raise EngineLoadFailed(
                "Qwen3-TTS in int8 runs on a CPU only: load it with `none`, or with the device `cpu`"
            )
        device = torch_setup.prepare(settings)
        qwen3_load.import_upstream()
        yield LoadStep(0.3, "packages imported")
        with torch_setup.memory_named(f"the model {settings.model}"):
            model = qwen3_load.load_model(folder, device, torch_setup.dtype_of(settings))
            yield LoadStep(0.5, "weights of the model in place")
            if settings.quantization == "int8":
                yield LoadStep(0.6, qwen3_int8.quantize(model.talker, folder, settings.cache, settings.model))
            codec = qwen3_load.load_codec(folder, device)
            yield LoadStep(0.8, "weights of the codec in place")
        self._take(model, codec, folder)
        assert self._model is not None
        yield LoadStep(1.0, self._model.compared(settings.model))

    def _take(self, model: Any, codec: Any, folder: Path) -> None:
        from qwen_tts import Qwen3TTSModel

        talker, kind = model.config.talker_config, model.config.tts_model_type
        if kind not in qwen3_rules.IDENTITIES:
            raise EngineLoadFailed(
                f"{folder.name} is a Qwen3-TTS of the kind {kind!r}, which is not known here"
            )
        codec_config = codec.config.decoder_config
        if talker.num_code_groups != codec_config.num_quantizers:
            raise EngineLoadFailed(
                f"the model makes {talker.num_code_groups} codes a frame and its codec takes"
                f" {codec_config.num_quantizers}: pull or import the model again"
            )
        processor = qwen3_load.load_processor(folder)
        defaults = read_config(folder / "generation_config.json")
        model.load_speech_tokenizer(_NoDecoding(codec))
        self._wrapper = Qwen3TTSModel(model, processor, defaults)
        self._decoder = Decoder(codec)
        self._marks = qwen3_rules.marks_of(map(str, processor.tokenizer.added_tokens_decoder.values()))
        self._announce(model, codec.get_output_sample_rate())

    def _announce(self, model: Any, rate_hz: int) -> None:
        config, talker = model.config, model.config.talker_config
        languages = qwen3_rules.languages_of(talker.codec_language_id)
        size = qwen3_rules.size_of(talker.hidden_size, talker.code_predictor_config.hidden_size)
        self._model = qwen3_rules.Model(
            f"qwen3-tts:{size}",
            config.tts_model_type,
            languages,
            qwen3_rules.voices_of(talker.spk_id or {}, languages),
        )
        self.capabilities = qwen3_rules.capabilities_of(self._model, rate_hz)
        width = talker.hidden_size if model.speaker_encoder is None else config.speaker_encoder_config.enc_dim
        self.identity = {
            "model": self._model.model,
            "width": str(width),
            "kind": self._model.kind,
            "code": _CODE,
        }

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Return the voice of recordings; see `qwen3_voice.make_prompt`.

        Raises:
            InvalidRequest: If this model clones no voice.
            ReferenceRefused: If a recording cannot be used.
        """
        assert self._model is not None
        self._model.refuse_unless(qwen3_rules.BASE, "clones no voice")
        with torch_setup.memory_named("preparing the voice"):
            return make_prompt(self._wrapper, references)

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            InvalidRequest, UnknownVoice, UnknownLanguage: If a segment asks for what this model has not.
            SynthesisFailed: If the model makes no numbers: its weights are damaged.
            DeviceOutOfMemory: If the device has not enough memory.
        """
        for request in segments:
            text = qwen3_rules.without_marks(request.text, self._marks)
            if text.strip() and not cancelled.is_set():
                with torch_setup.memory_named("a segment"):
                    yield from self._speak(request, text, cancelled)

    def _speak(
        self, request: SegmentRequest, text: str, cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        assert self._decoder is not None
        model = self._wrapper.model
        limit = int(self._wrapper.generate_defaults.get("max_new_tokens") or _USUAL_LIMIT)
        most = qwen3_rules.most_frames(text, limit)
        generate, before = self._generation(request, text, most)
        watched = [model.talker.code_predictor, *model.talker.model.layers, *self._decoder.modules]
        # Left over from the segment before, and set again at the start of each.
        model.talker.rope_deltas = None
        torch_setup.seed_all(request.seed)
        frames = frames_of(model.talker, generate)
        made = 0
        try:
            with stopping(watched, cancelled.is_set):
                for chunk in self._decoder.chunks(
                    frames, before, model.config.talker_config.codec_eos_token_id
                ):
                    made += len(chunk)
                    yield request.place, chunk * np.float32(request.volume)
        except Stopped:
            return
        finally:
            frames.close()
        if made >= (most - 1) * self._decoder.frame_samples:
            yield request.place, ENDLESS

    def _generation(self, request: SegmentRequest, text: str, most: int) -> tuple[Callable[[], object], Any]:
        """Upstream's call for a request, and the codes that its audio follows."""
        assert self._model is not None
        manner = qwen3_rules.manner_of(self._model, request)
        wrapper = self._wrapper
        common = {"text": text, "language": manner.language, "max_new_tokens": most}
        if request.prompt is not None:
            prompt = CheckedPrompt(request.prompt, wrapper.model, self._model.model)
            return lambda: wrapper.generate_voice_clone(
                **common, voice_clone_prompt=[prompt.item]
            ), prompt.codes
        common["instruct"] = qwen3_rules.without_marks(manner.instruct, self._marks)
        if manner.speaker:
            return lambda: wrapper.generate_custom_voice(**common, speaker=manner.speaker), None
        return lambda: wrapper.generate_voice_design(**common), None

    def unload(self) -> None:
        """Let go of everything."""
        self._wrapper = self._decoder = self._model = None
