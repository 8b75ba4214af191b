"""Chatterbox's modules from the published files: built without random weights, every weight from a file.

The published sizes stand in the package's code. What can differ is read from the weights themselves: T3's widths, and
how many layers the parts of S3Gen have. Imported by the Chatterbox engine only.
"""

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from voiced.engines.base import LoadStep
from voiced.engines.chatterbox_package import (
    LLAMA_CONFIGS,
    T3,
    ChatterboxTTS,
    EnTokenizer,
    Perceiver,
    S3Gen,
    T3Config,
    VoiceEncoder,
    perth,
    t3_module,
)
from voiced.engines.weights import fold_weight_norm, put, tensors_of
from voiced_ipc.errors import EngineLoadFailed

HEAD = 64
"""Width of an attention head, in all published models."""

_SIZES = "read-from-the-weights"
_MADE_BY_CODE = ("tokenizer._mel_filters", "tokenizer.window")
"""Constants that S3Gen computes and its file leaves out, by the package's own list."""

_RANDOM = frozenset(
    {
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.xavier_uniform_,
    }
)


class _WithoutRandom(TorchFunctionMode):
    """Tensors keep what they have where they would be filled with random numbers: the file's values replace them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _RANDOM:
            return func(*args, **kwargs)
        # What torch.nn.init hands over is named.
        return args[0] if args else kwargs["tensor"]


class Loading:
    """The model while it is loaded; `model` is there once `steps` has ended.

    Args:
        folder: The published files.
        device: Where the weights go.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self._folder = folder
        self._device = device
        self.model: Any = None

    def steps(self) -> Iterator[LoadStep]:
        """Load part after part.

        Raises:
            EngineLoadFailed: If a file is missing or does not fit.
        """
        # Of calls that its packages will lose one day: no user can do anything about them.
        warnings.filterwarnings("ignore", category=FutureWarning)
        logging.getLogger("transformers").setLevel(logging.ERROR)
        encoder = VoiceEncoder()
        self._fill(encoder, self._read("ve"))
        yield LoadStep(0.05, "voice encoder")
        tensors = self._read("t3_cfg")
        with _WithoutRandom():
            t3 = t3_like(tensors)
        self._fill(t3, tensors)
        yield LoadStep(0.5, "language model")
        tensors = self._read("s3gen")
        with _WithoutRandom():
            s3gen = s3gen_like(tensors)
        self._fill(s3gen, tensors, may_miss=_MADE_BY_CODE, is_strict=False)
        fold_weight_norm(s3gen)
        yield LoadStep(0.9, "decoder")
        # Upstream's class for what it does with these parts; it also loads the watermark's model.
        tokenizer = _tokenizer(self._folder / "tokenizer.json")
        if perth.PerthImplicitWatermarker is None:
            raise EngineLoadFailed(
                "Chatterbox marks all it speaks, and the mark's package cannot be imported: "
                "`voiced engine install chatterbox` brings it"
            )
        with redirect_stdout(StringIO()):  # it greets
            self.model = ChatterboxTTS(t3, s3gen, encoder, tokenizer, str(self._device))
        yield LoadStep(1.0, "tokenizer and watermark")

    def _read(self, name: str) -> dict[str, torch.Tensor]:
        return tensors_of([self._folder / f"{name}.safetensors"], str(self._device))

    def _fill(
        self,
        module: nn.Module,
        tensors: Mapping[str, torch.Tensor],
        *,
        may_miss: tuple[str, ...] = (),
        is_strict: bool = True,
    ) -> None:
        put(
            module,
            tensors,
            dtype=torch.float32,
            may_miss=lambda name: name in may_miss,
            may_ignore=lambda name: not is_strict,
        )
        module.to(self._device).eval()


def t3_like(tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return T3 of the sizes that its weights have.

    Raises:
        EngineLoadFailed: If they are not those of a T3.
    """
    try:
        width = tensors["tfmr.norm.weight"].shape[0]
        inner = tensors["tfmr.layers.0.mlp.gate_proj.weight"].shape[0]
        heads = tensors["tfmr.layers.0.self_attn.q_proj.weight"].shape[0] // HEAD
        own_heads = tensors["tfmr.layers.0.self_attn.k_proj.weight"].shape[0] // HEAD
        query = tensors["cond_enc.perceiver.pre_attention_query"].shape
        words = tensors["text_emb.weight"].shape[0]
    except KeyError as error:
        raise EngineLoadFailed(
            f"t3_cfg.safetensors has no {error}: is it Chatterbox? Pull or import it again"
        ) from error
    settings = T3Config(words)
    LLAMA_CONFIGS[_SIZES] = LLAMA_CONFIGS[settings.llama_config_name] | {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": _count(tensors, "tfmr.layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": own_heads,
        "head_dim": HEAD,
    }
    settings.llama_config_name = _SIZES
    t3 = T3(settings)
    # Upstream's own has the published width whatever the rest has.
    t3.cond_enc.perceiver = Perceiver(query[1], query[2], width)
    # The bar that it would draw on the log for every segment.
    t3_module.tqdm = _quietly
    return t3


def s3gen_like(tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return S3Gen with as many layers as its weights have."""
    s3gen = S3Gen()
    estimator = s3gen.flow.decoder.estimator
    _keep(s3gen.tokenizer.encoder, "blocks", _count(tensors, "tokenizer.encoder.blocks"))
    _keep(s3gen.flow.encoder, "encoders", _count(tensors, "flow.encoder.encoders"))
    _keep(estimator, "mid_blocks", _count(tensors, "flow.decoder.estimator.mid_blocks"))
    depth = _count(tensors, "flow.decoder.estimator.down_blocks.0.1")
    for blocks in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks):
        blocks[1] = blocks[1][:depth]
    return s3gen


def _keep(module: nn.Module, name: str, count: int) -> None:
    setattr(module, name, getattr(module, name)[:count])


def _count(tensors: Mapping[str, torch.Tensor], prefix: str) -> int:
    """How many layers there are below a name."""
    layer = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match[1] for name in tensors if (match := layer.match(name))})


def _tokenizer(file: Path) -> EnTokenizer:
    try:
        return EnTokenizer(str(file))
    except Exception as error:  # the tokenizers library raises no class of its own
        raise EngineLoadFailed(
            f"{file.name} cannot be read ({error}): import or pull the model again"
        ) from error


def _quietly(steps: range, **_: object) -> range:
    return steps
