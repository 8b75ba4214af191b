"""Qwen3-TTS on Apple's chips, through mlx-audio and its public functions.

mlx-audio prepares a voice anew for each text: a prompt holds the recording itself, at the model's rate, and belongs
to no other engine. Its codec streams by itself, in even chunks; a cancel is seen between two of them. The model has no
speed and no pitch of its own; the volume is done here. Weights are used as they were converted: a precision that is
asked for is not looked at.
"""

import importlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voiced.engines import qwen3_rules
from voiced.engines.base import (
    Capabilities,
    LoadSettings,
    LoadStep,
    Prompt,
    Reference,
    SegmentRequest,
)
from voiced.engines.qwen3_recordings import longest_told, sounds_of
from voiced_ipc.errors import DeviceOutOfMemory, EngineLoadFailed, InvalidRequest

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

_CODE = "mlx-1"
"""Grows when this adapter makes other prompts; never a code of the engine on torch."""
_CHUNK_S = 4 * qwen3_rules.FRAME_S
"""Audio of a chunk: how long a cancel waits on a machine that is just fast enough."""
_USUAL_LIMIT = 2048
_RECORDING, _TRANSCRIPT = "recording", "transcript"
_AGAIN = "pull or import the model again"


class Qwen3MlxEngine:
    """The engine; see the module."""

    def __init__(self) -> None:
        self._mlx: Any = None
        self._loaded: Any = None
        self._model: qwen3_rules.Model | None = None
        self._marks: tuple[str, ...] = ()
        self._width = 0
        self.capabilities = Capabilities(sample_rate_hz=24000)
        self.identity: Mapping[str, str] = {}

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the model while it is iterated.

        Args:
            folder: The model's files, as they were converted for MLX.
            settings: Its model id counts.

        Raises:
            EngineLoadFailed: If files are missing or do not fit each other.
            DeviceOutOfMemory: If there is not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("Qwen3-TTS has files of its own: `voiced pull qwen3-tts:1.7b` brings them")
        self._mlx = importlib.import_module("mlx.core")
        load = importlib.import_module("mlx_audio.tts.utils").load
        yield LoadStep(0.3, "packages imported")
        try:
            loaded = load(folder, strict=True)
        except MemoryError as error:
            raise DeviceOutOfMemory(
                "not enough memory for the model: close programs, or take a smaller one"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
            raise EngineLoadFailed(
                f"{folder.name} cannot be loaded by mlx-audio ({error}): {_AGAIN}"
            ) from error
        self._refuse_incomplete(loaded, folder)
        yield LoadStep(0.9, "weights in place")
        self._announce(loaded)
        assert self._model is not None
        yield LoadStep(1.0, self._model.compared(settings.model))

    def _refuse_incomplete(self, loaded: Any, folder: Path) -> None:
        """mlx-audio prints about a tokenizer or codec that it could not load, and leaves random what a file lacks."""
        codec = loaded.speech_tokenizer
        if loaded.tokenizer is None or codec is None:
            raise EngineLoadFailed(f"{folder.name} has no usable tokenizer or codec: {_AGAIN}")
        tensors: dict[str, Any] = {}
        for file in sorted((folder / "speech_tokenizer").glob("*.safetensors")):
            tensors |= type(codec).sanitize(self._mlx.load(str(file)))
        flat = importlib.import_module("mlx.utils").tree_flatten(codec.parameters())
        # Whether a codebook was ever trained is no weight.
        missing = [name for name, _ in flat if name not in tensors and not name.endswith(".initialized")]
        if missing:
            raise EngineLoadFailed(
                f"{len(missing)} weights of the codec are missing ({missing[0]} ...): {_AGAIN}"
            )
        if loaded.config.tts_model_type == qwen3_rules.BASE and not codec.has_encoder:
            raise EngineLoadFailed(f"the codec of {folder.name} hears nothing, it has no encoder: {_AGAIN}")

    def _announce(self, loaded: Any) -> None:
        config, talker = loaded.config, loaded.config.talker_config
        if config.tts_model_type not in qwen3_rules.IDENTITIES:
            raise EngineLoadFailed(
                f"this is a Qwen3-TTS of the kind {config.tts_model_type!r}, which is not known here"
            )
        languages = qwen3_rules.languages_of(talker.codec_language_id or {})
        size = qwen3_rules.size_of(talker.hidden_size, talker.code_predictor_config.hidden_size)
        self._loaded = loaded
        self._marks = qwen3_rules.marks_of(map(str, loaded.tokenizer.added_tokens_decoder.values()))
        self._model = qwen3_rules.Model(
            f"qwen3-tts:{size}",
            config.tts_model_type,
            languages,
            qwen3_rules.voices_of(talker.spk_id or {}, languages),
        )
        self.capabilities = qwen3_rules.capabilities_of(self._model, loaded.sample_rate)._replace(
            can_blend=False
        )
        self.identity = {
            "model": self._model.model,
            "width": str(talker.hidden_size),
            "kind": self._model.kind,
            "code": _CODE,
        }

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Return the voice of a recording: itself; of several, the longest with a transcript, else the first.

        Raises:
            InvalidRequest: If this model clones no voice.
            ReferenceRefused: If the recording cannot be used.
        """
        assert self._model is not None
        self._model.refuse_unless(qwen3_rules.BASE, "clones no voice")
        sounds = sounds_of(references, self.capabilities.sample_rate_hz)
        place = longest_told(references, sounds) or 0
        return Prompt(
            {_RECORDING: sounds[place]},
            {_TRANSCRIPT: references[place].transcript.strip(), "model": self._model.model},
        )

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            InvalidRequest, UnknownVoice, UnknownLanguage: If a segment asks for what this model has not.
            DeviceOutOfMemory: If there is not enough memory.
        """
        for request in segments:
            text = qwen3_rules.without_marks(request.text, self._marks)
            if not text.strip():
                continue
            options = self._options(request, text)
            self._forget()
            self._mlx.random.seed(request.seed)
            results = self._loaded.generate(**options)
            try:
                while not cancelled.is_set() and (result := next(results, None)) is not None:
                    yield request.place, np.array(result.audio, np.float32) * np.float32(request.volume)
            except MemoryError as error:
                raise DeviceOutOfMemory(
                    "not enough memory for a segment: close programs, or take a smaller model"
                ) from error
            finally:
                results.close()

    def _forget(self) -> None:
        """Empty what mlx-audio keeps of recordings, by their length and sum: two may have the same."""
        getattr(self._loaded, "_icl_cache", {}).clear()

    def _options(self, request: SegmentRequest, text: str) -> dict[str, object]:
        """What mlx-audio is told."""
        assert self._model is not None
        manner = qwen3_rules.manner_of(self._model, request)
        limit = int((self._loaded.generate_config or {}).get("max_new_tokens") or _USUAL_LIMIT)
        options: dict[str, object] = {
            "text": text,
            "lang_code": manner.language,
            "max_tokens": qwen3_rules.most_frames(text, limit),
            "stream": True,
            "streaming_interval": _CHUNK_S,
            "split_pattern": "",
        }
        if request.prompt is not None:
            return options | self._voice(request.prompt)
        instruct = qwen3_rules.without_marks(manner.instruct, self._marks)
        if self._model.kind == qwen3_rules.VOICE_DESIGN and not instruct.strip():
            raise InvalidRequest("this model speaks with a voice from a description: say which, in words")
        return options | {"voice": manner.speaker or None, "instruct": instruct or None}

    def _voice(self, prompt: Prompt) -> dict[str, object]:
        assert self._model is not None
        recording = prompt.tensors.get(_RECORDING)
        made_for = prompt.values.get("model")
        if recording is None or made_for != self._model.model or np.ndim(recording) != 1:
            raise InvalidRequest(
                f"this voice was prepared for {made_for or 'another engine'} and not for {self._model.model} on MLX;"
                " add the voice again, it is then prepared for this model"
            )
        sound = self._mlx.array(np.asarray(recording, np.float32))
        return {"ref_audio": sound, "ref_text": prompt.values.get(_TRANSCRIPT) or None}

    def unload(self) -> None:
        """Let go of everything."""
        self._loaded = self._model = None
        if self._mlx is not None:
            self._mlx.clear_cache()
