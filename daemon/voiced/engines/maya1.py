"""Maya1: a Llama that writes speech as codes of SNAC, through transformers and snac. A voice is a description.

The loop that draws tokens is here, not transformers' own: it gives frames as they come, looks for a cancel between
the layers, asks the model only for the ids that may stand at a place of a frame, and draws on the CPU from a
generator of its own, so that nothing that is spoken depends on what was spoken before. It has no speed and no pitch of
its own: words in the description change the pace. Imported by the worker alone.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from tokenizers import Tokenizer
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from voiced.engines.base import Capabilities, LoadSettings, LoadStep, OwnVoices, SegmentRequest
from voiced.engines.maya1_speech import CAPABILITIES, Cancelled, Sampler, speak_with
from voiced.engines.maya1_tokens import VOCABULARY
from voiced.engines.snac_codec import SnacCodec
from voiced.engines.torch_setup import dtype_of, memory_named, prepare
from voiced.engines.weights import (
    built_without_memory,
    put,
    read_config,
    refuse_other_depth,
    refuse_unset,
    tensors_of,
    weight_files,
)
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

_CODE = "1"
_LAYERS = "model.layers."


class Maya1Engine(OwnVoices):
    """The engine; see the module for what it does."""

    capabilities: Capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._model: Any = None
        self._codec: SnacCodec | None = None
        self._tokenizer: Any = None
        self._identity: dict[str, str] = {}
        self._cancelled = threading.Event()

    @property
    def identity(self) -> Mapping[str, str]:
        """The model and its width."""
        return self._identity

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the model while it is iterated.

        Args:
            folder: config.json, the weights, tokenizer.json, and the codec in `snac`.
            settings: How; the precision is the language model's, the codec runs in fp32.

        Raises:
            EngineLoadFailed: If the files are damaged or of another model.
            DeviceOutOfMemory: If the device has not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("Maya1 has no files of its own: `voiced pull maya1` brings them")
        device = prepare(settings)
        self._tokenizer = _read_tokenizer(folder)
        yield LoadStep(0.05, "tokenizer")
        tensors: dict[str, torch.Tensor] = {}
        files = weight_files(folder)
        for number, file in enumerate(files, 1):
            tensors |= tensors_of([file], str(device))
            yield LoadStep(0.05 + 0.75 * number / len(files), file.name)
        self._model = _build(folder, tensors, device, dtype_of(settings))
        for layer in self._model.model.layers:
            layer.register_forward_pre_hook(self._look)
        self._identity = {"model": "maya1", "width": str(self._model.config.hidden_size), "code": _CODE}
        yield LoadStep(0.9, "language model")
        self._codec = SnacCodec(folder / "snac", device)
        yield LoadStep(1.0, "codec")

    def unload(self) -> None:
        """Let go of everything."""
        self._model = self._codec = self._tokenizer = None

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            UnknownVoice: If a segment describes no voice and names one that is not there.
            SynthesisFailed, DeviceOutOfMemory: If the model fails.
        """
        assert self._codec is not None
        self._cancelled = cancelled
        yield from speak_with(self._codec, segments, cancelled, self._text_ids, self._tokens)

    def _text_ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _look(self, *_: object) -> None:
        """Between two layers: one step of a 3B model may take half a second on a CPU, a prompt many."""
        if self._cancelled.is_set():
            raise Cancelled

    def _tokens(self, prompt: Sequence[int], sampler: Sampler) -> Iterator[int]:
        """Draw token after token; the cache of what was read lives in this call alone."""
        model, cache = self._model, DynamicCache(config=self._model.config)
        ids = torch.tensor([prompt], device=model.device)
        while True:
            with torch.inference_mode(), memory_named("a segment"):
                state = model.model(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
                allowed = sampler.allowed()
                logits = [state[0, -1] @ model.lm_head.weight[start:end].T for start, end in allowed]
                token = sampler.draw(torch.cat(logits).float().cpu())
            yield token
            ids = torch.tensor([[token]], device=model.device)


def _read_tokenizer(folder: Path) -> Any:
    for place in (folder, folder / "tokenizer"):
        file = place / "tokenizer.json"
        if file.is_file():
            read_config(file)
            break
    else:
        raise ModelDamaged("the model has no tokenizer.json: import or pull it again")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises Exception itself
        raise ModelDamaged(
            f"tokenizer.json cannot be used ({error}): import or pull the model again"
        ) from error


def _build(
    folder: Path, tensors: Mapping[str, torch.Tensor], device: torch.device, dtype: torch.dtype
) -> Any:
    values = read_config(folder / "config.json")
    vocabulary, layers = (_count(values, name) for name in ("vocab_size", "num_hidden_layers"))
    if values.get("model_type", "llama") != "llama" or vocabulary < VOCABULARY:
        raise EngineLoadFailed(
            f"config.json describes no Maya1 (a Llama of at least {VOCABULARY} tokens): import or pull maya1 again"
        )
    refuse_other_depth(tensors, _LAYERS, layers)
    try:
        config = LlamaConfig(**values)
        with built_without_memory():
            model = LlamaForCausalLM(config)
    except (TypeError, ValueError, KeyError, RuntimeError, ZeroDivisionError, StrictDataclassError) as error:
        raise EngineLoadFailed(
            f"config.json describes no Llama ({error}): import or pull the model again"
        ) from error
    is_tied = bool(config.tie_word_embeddings)
    with memory_named("the model"):
        put(model, tensors, dtype=dtype, may_miss=lambda name: is_tied and name == "lm_head.weight")
        if is_tied:
            model.lm_head.weight = model.model.embed_tokens.weight
        # No file holds the rotary table: it is computed, in fp32 whatever the weights are.
        model.model.rotary_emb = LlamaRotaryEmbedding(config).to(device)
    refuse_unset(model)
    model.train(False)
    return model


def _count(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else -1
