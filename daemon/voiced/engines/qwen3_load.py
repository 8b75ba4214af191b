"""A folder of Qwen3-TTS files into upstream's own classes, mapped instead of copied, every weight accounted for.

Upstream's `from_pretrained` fills the model with random numbers first and leaves random what a file lacks: a codec
encoder loaded so makes wrong voices without an error. Here modules are built without memory, the files' tensors are
put in their place, and what no file holds (tables computed when a module is made) is computed again.

Imported by the engine of Qwen3-TTS; nobody else.
"""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from voiced.engines import qwen3_stubs
from voiced.engines.weights import (
    built_without_memory,
    put,
    read_config,
    refuse_other_depth,
    refuse_unset,
    tensors_of,
    weight_files,
)
from voiced_ipc.errors import EngineLoadFailed

CODEC_FOLDER = "speech_tokenizer"
_CODEC_UNUSED = ("encoder.decoder.", "encoder.decoder_transformer.", "encoder.upsample.")
"""Halves of Mimi that upstream throws away: it encodes with Mimi and decodes with its own."""
_AGAIN = "pull or import the model again"


def import_upstream() -> None:
    """Import upstream's packages, which takes seconds.

    Raises:
        ImportError: If the engine family is not installed.
    """
    qwen3_stubs.import_package()
    _upstream("transformers.utils.logging").set_verbosity_error()


def _upstream(module: str) -> Any:
    """A module of the engine family's packages; the main environment has other versions of some."""
    return importlib.import_module(module)


def load_model(folder: Path, device: torch.device, dtype: torch.dtype) -> Any:
    """Return upstream's `Qwen3TTSForConditionalGeneration` of a folder, without its codec.

    Args:
        folder: The model's.
        device: Where it goes.
        dtype: Of its weights; a mapped file is not copied where it is the file's own.

    Raises:
        EngineLoadFailed: If files are missing, are no such model, or do not fit each other.
    """
    models = _upstream("qwen_tts.core.models")
    tensors = tensors_of(weight_files(folder), str(device))
    model = _built(
        models.Qwen3TTSForConditionalGeneration, models.Qwen3TTSConfig, folder, tensors, _MODEL_DEPTHS
    )
    # Only a model that clones has use for an encoder of speakers.
    unused = ("speaker_encoder.",) if model.speaker_encoder is None else ()
    put(
        model,
        tensors,
        dtype=dtype,
        may_ignore=lambda name: name.startswith(unused),
    )
    return _finished(model, device)


def load_codec(folder: Path, device: torch.device) -> Any:
    """Return upstream's `Qwen3TTSTokenizer` of a folder: speech to codes and back.

    Always in fp32: it finds the nearest entries of codebooks, and less precision finds others.

    Args:
        folder: The model's; the codec lies below it.
        device: Where it goes.

    Raises:
        EngineLoadFailed: As of `load_model`.
    """
    core = _upstream("qwen_tts.core")
    folder = folder / CODEC_FOLDER
    tensors = tensors_of(weight_files(folder), str(device))
    model = _built(
        core.Qwen3TTSTokenizerV2Model, core.Qwen3TTSTokenizerV2Config, folder, tensors, _CODEC_DEPTHS
    )
    put(
        model,
        tensors,
        dtype=torch.float32,
        may_ignore=lambda name: name.startswith(_CODEC_UNUSED),
    )
    codec = _upstream("qwen_tts").Qwen3TTSTokenizer()
    codec.model = _finished(model, device)
    codec.config, codec.device = model.config, device
    try:
        extractors = _upstream("transformers").AutoFeatureExtractor
        codec.feature_extractor = extractors.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise EngineLoadFailed(f"{CODEC_FOLDER}/preprocessor_config.json cannot be used: {_AGAIN}") from error
    return codec


def load_processor(folder: Path) -> Any:
    """Return upstream's processor of texts.

    Raises:
        EngineLoadFailed: If the tokenizer's files are missing or damaged.
    """
    processors, tokenizers = _upstream("qwen_tts.core.models"), _upstream("transformers").Qwen2TokenizerFast
    try:
        # What the processor's own `from_pretrained` makes; that one copies 151,000 words for a line of its log.
        tokenizer = tokenizers.from_pretrained(str(folder), fix_mistral_regex=True, local_files_only=True)
        return processors.Qwen3TTSProcessor(tokenizer=tokenizer)
    # transformers takes a tokenizer without its files for one that another package reads, and misses that package.
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise EngineLoadFailed(f"the tokenizer of {folder.name} cannot be read: {_AGAIN}") from error


class _Depth(NamedTuple):
    """How many layers a part has: looked at before anything is built after a damaged number."""

    prefix: str
    """Of the names of its weights."""
    settings: tuple[str, ...]
    """Where the configuration tells, by key below key."""
    fewer: int = 0
    """Layers fewer than the configuration's number."""


_MODEL_DEPTHS = (
    _Depth("talker.model.layers.", ("talker_config", "num_hidden_layers")),
    _Depth(
        "talker.code_predictor.model.layers.", ("talker_config", "code_predictor_config", "num_hidden_layers")
    ),
    _Depth("talker.code_predictor.lm_head.", ("talker_config", "num_code_groups"), fewer=1),
)
_CODEC_DEPTHS = (_Depth("decoder.pre_transformer.layers.", ("decoder_config", "num_hidden_layers")),)


def _built(cls: Any, config_cls: Any, folder: Path, names: Iterable[str], depths: Sequence[_Depth]) -> Any:
    """An instance of an upstream class after a folder's configuration, without values."""
    settings = read_config(folder / "config.json")
    if settings.get("model_type") != config_cls.model_type:
        raise EngineLoadFailed(
            f"config.json of {folder.name} tells of a {settings.get('model_type')!r}, not of a"
            f" {config_cls.model_type!r}: was another model's folder imported? {_AGAIN}"
        )
    known = tuple(names)
    try:
        for depth in depths:
            found: Any = settings
            for key in depth.settings:
                found = found[key]
            refuse_other_depth(known, depth.prefix, found - depth.fewer)
        with built_without_memory(), _upstream("transformers.modeling_utils").no_init_weights():
            return cls(config_cls(**settings))
    # Whatever a configuration that does not fit makes upstream's constructors stumble over.
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise EngineLoadFailed(
            f"config.json of {folder.name} describes no model that can be built"
            f" ({type(error).__name__}: {error}): {_AGAIN}"
        ) from error


def _finished(model: Any, device: torch.device) -> Any:
    _compute_tables(model, device)
    refuse_unset(model)
    return model.eval()


def _compute_tables(model: nn.Module, device: torch.device) -> None:
    """Compute what modules compute when they are made, and no file holds."""
    for module in model.modules():
        made: Any = module
        if hasattr(module, "rope_init_fn"):
            # On the CPU, whatever the device: as upstream does it, to the last bit.
            table, made.attention_scaling = made.rope_init_fn(made.config, "cpu")
            made.inv_freq = made.original_inv_freq = table.to(device)
        elif hasattr(module, "padding_total"):
            _compute_padding(made, device)


def _compute_padding(module: Any, device: torch.device) -> None:
    """Of Mimi's convolution, the numbers that it keeps as tensors; see `MimiConv1d.__init__`."""
    conv = module.conv
    stride = conv.stride[0]
    kernel = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1
    total = kernel - stride
    right = total // 2
    for name, value in (("stride", stride), ("kernel_size", kernel), ("padding_total", total)):
        setattr(module, name, torch.tensor(value, dtype=torch.int64, device=device))
    module.padding_right = torch.tensor(right, dtype=torch.int64, device=device)
    module.padding_left = torch.tensor(total - right, dtype=torch.int64, device=device)
