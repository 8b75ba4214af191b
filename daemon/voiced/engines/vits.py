"""VITS as MMS publishes it, one model for each language, through transformers.

A segment is one pass of a small model: it is spoken whole, and a cancel is seen between segments. Speed is the
model's own `speaking_rate`; it has no pitch. Characters that its vocabulary does not have are not spoken: numbers and
punctuation too in most languages. Imported by the worker alone.
"""

import importlib.util
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import VitsConfig, VitsModel, VitsTokenizer

from voiced.engines.base import (
    Capabilities,
    EngineVoice,
    LoadSettings,
    LoadStep,
    OwnVoices,
    SegmentRequest,
)
from voiced.engines.mms_languages import language_tag
from voiced.engines.torch_setup import dtype_of, memory_named, prepare, seed_all
from voiced.engines.weights import (
    built_without_memory,
    fold_weight_norm,
    put,
    read_config,
    refuse_other_depth,
    refuse_unset,
    tensors_of,
    weight_files,
)
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, SynthesisFailed, UnknownVoice

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

MAX_SEGMENT_CHARS = 400
_CODE = "1"
_LAYERS = "text_encoder.encoder.layers."
_NORMS = (
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)
"""Published files name the two parts of a normalised weight as torch did before 2.1."""


class VitsEngine(OwnVoices):
    """The engine; see the module for what it does."""

    def __init__(self) -> None:
        self._model: Any = None
        self._tokenizer: Any = None
        self._romanizer: Any = None
        self._identity: dict[str, str] = {}
        self._speakers: dict[str, int | None] = {}
        self.capabilities = Capabilities(sample_rate_hz=16000)

    @property
    def identity(self) -> Mapping[str, str]:
        """The language that the files speak, whatever they were loaded as."""
        return self._identity

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the model while it is iterated.

        Args:
            folder: config.json, vocab.json, tokenizer_config.json and the weights.
            settings: How.

        Raises:
            EngineLoadFailed: If the files are damaged or of another model, or a package for its language is missing.
            DeviceOutOfMemory: If the device has not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("VITS has no files of its own: `voiced pull mms:eng` brings some")
        device = prepare(settings)
        self._tokenizer = _read_tokenizer(folder)
        self._romanizer = _make_romanizer() if self._tokenizer.is_uroman else None
        yield LoadStep(0.1, "tokenizer")
        tensors = {
            _named(name): tensor for name, tensor in tensors_of(weight_files(folder), str(device)).items()
        }
        yield LoadStep(0.5, "weights")
        self._model = _build(folder, tensors, dtype_of(settings))
        self._announce(settings.model)
        yield LoadStep(1.0, "model")

    def _announce(self, asked: str) -> None:
        config, language = self._model.config, self._tokenizer.language
        tag = language_tag(language or "")
        names = [language or "voice"]
        if config.num_speakers > 1:
            names = [f"speaker-{number}" for number in range(config.num_speakers)]
        self._speakers = {name: number if len(names) > 1 else None for number, name in enumerate(names)}
        self._identity = {
            "model": f"mms:{language}" if language else asked,
            "width": str(config.hidden_size),
            "code": _CODE,
        }
        self.capabilities = Capabilities(
            sample_rate_hz=config.sampling_rate,
            voices=tuple(EngineVoice(name, f"MMS {name}", (tag,) if tag else ()) for name in names),
            max_segment_chars=MAX_SEGMENT_CHARS,
        )

    def unload(self) -> None:
        """Let go of everything."""
        self._model = self._tokenizer = self._romanizer = None

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order, one chunk a segment; see `voiced.engines.base.Engine.speak`.

        Raises:
            InvalidRequest: If the model knows no letter of a text.
            UnknownVoice: If it has no such voice.
            SynthesisFailed, DeviceOutOfMemory: If the model fails.
        """
        for request in segments:
            if cancelled.is_set():
                return
            ids = self._ids(request.text)
            voice = request.voice or next(iter(self._speakers))
            if voice not in self._speakers:
                raise UnknownVoice(
                    f"{self._identity['model']} has no voice {voice!r}; `voiced voices` lists them"
                )
            if ids:
                yield request.place, self._samples(ids, self._speakers[voice], request)

    def _ids(self, text: str) -> list[int]:
        """Return the tokens of a text; none where it has nothing to speak, such as a line of asterisks."""
        if self._romanizer is not None and not text.isascii():
            text = self._romanizer.romanize_string(text)
        vocabulary = self._tokenizer.encoder
        prepared, _ = self._tokenizer.prepare_for_tokenization(text)
        known = [vocabulary[char] for char in prepared if char in vocabulary]
        if any(char.isalnum() and char in vocabulary for char in prepared):
            return _with_blanks(known) if self._tokenizer.add_blank else known
        if any(char.isalpha() for char in text):
            raise InvalidRequest(
                f"{self._identity['model']} speaks {self._tokenizer.language or 'one language'} and knows no "
                "letter of this text: choose a model of the text's language"
            )
        return []

    def _samples(self, ids: list[int], speaker: int | None, request: SegmentRequest) -> "FloatArray":
        seed_all(request.seed)
        model = self._model
        with torch.inference_mode(), memory_named("a segment"):
            made = model(
                input_ids=torch.tensor([ids], device=model.device),
                speaker_id=speaker,
                speaking_rate=model.config.speaking_rate * request.speed,
            ).waveform[0]
        if not torch.isfinite(made).all():
            raise SynthesisFailed(
                "the model made samples that are no numbers; the segment can be tried again"
            )
        samples: FloatArray = (made.float() * request.volume).cpu().numpy()
        return samples


def _with_blanks(ids: list[int]) -> list[int]:
    """Return tokens as VITS was trained: token 0 around each.

    The tokenizer's own way leaves it out between two padding characters, which are letters in some languages.
    """
    spread = [0] * (2 * len(ids) + 1)
    spread[1::2] = ids
    return spread


def _read_tokenizer(folder: Path) -> Any:
    for name in ("vocab.json", "tokenizer_config.json"):
        read_config(folder / name)  # a damaged file gets its name told
    try:
        tokenizer = VitsTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EngineLoadFailed(
            f"the tokenizer cannot be read ({error}): import or pull the model again"
        ) from error
    size = read_config(folder / "config.json").get("vocab_size")
    if not isinstance(size, int) or max(tokenizer.encoder.values(), default=0) >= size:
        raise EngineLoadFailed("vocab.json does not belong to the weights: import or pull the model again")
    if tokenizer.phonemize:
        raise EngineLoadFailed(
            "this VITS model wants phonemes, which voiced does not make: choose an mms:<language>"
        )
    return tokenizer


def _make_romanizer() -> Any:
    """Return what writes a text in Roman letters; it is slow to make, so it is made once."""
    if importlib.util.find_spec("uroman") is None:
        raise EngineLoadFailed(
            "this language is read in Roman letters, which the package uroman makes: `pip install uroman`"
        )
    import uroman

    return uroman.Uroman()


def _named(name: str) -> str:
    for old, new in _NORMS:
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _build(folder: Path, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype) -> Any:
    config = read_config(folder / "config.json")
    layers = config.get("num_hidden_layers")
    refuse_other_depth(tensors, _LAYERS, layers if isinstance(layers, int) else -1)
    try:
        with built_without_memory():
            model = VitsModel(VitsConfig(**config))
    except (TypeError, ValueError, KeyError, RuntimeError, ZeroDivisionError, StrictDataclassError) as error:
        raise EngineLoadFailed(
            f"config.json describes no VITS model ({error}): import or pull the model again"
        ) from error
    put(model, tensors, dtype=dtype)
    refuse_unset(model)
    fold_weight_norm(model)
    model.train(False)
    return model
