"""The codec of OpenAudio S1: recordings to codes, and codes to samples while they are made.

The published file brings no configuration: the sizes are read from the shapes of its weights, what no shape tells is
below, from the package's `configs/modded_dac_vq.yaml`. Imported by the OpenAudio engine only.
"""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from voiced.engines.openaudio_package import (
    DAC,
    DownsampleResidualVectorQuantize,
    ModelArgs,
    WindowLimitedTransformer,
    codec_rotations,
)
from voiced.engines.watch import leaves
from voiced.engines.weights import built_without_memory, fold_weight_norm, put, refuse_unset, tensors_of
from voiced_ipc.errors import EngineLoadFailed

SAMPLE_RATE_HZ = 44100
_HEAD = 64
_ROPE_BASE = 10000
_WINDOW = 128
"""Frames that a transformer of the quantizer sees."""
_POSITIONS = 16384
"""Of a transformer's table of rotations."""
_TABLES = ("freqs_cis", "causal_mask")
"""Constants that the file holds too, 300 MB of them."""

CONTEXT_FRAMES = 8
"""Frames before a chunk that its samples depend on: the convolutions of the published decoder reach back five."""

_KERNEL = "conv.parametrizations.weight.original1"


class Codec:
    """The codec.

    Args:
        module: Loaded.
    """

    def __init__(self, module: DAC) -> None:
        self._module = module
        self.frame_samples = int(module.frame_length)
        self._semantic = int(module.quantizer.semantic_quantizer.codebook_size)
        self._residual = int(module.quantizer.quantizer.codebook_size)
        self.books = 1 + int(module.quantizer.quantizer.n_codebooks)

    @property
    def parts(self) -> list[nn.Module]:
        """What is called one after the other for a chunk."""
        return leaves(self._module)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """Return the codes of a recording, shape [books, frames].

        Args:
            wave: Shape [samples], at 44.1 kHz.
        """
        device = next(self._module.parameters()).device
        lengths = torch.tensor([wave.shape[-1]], device=device)
        indices, counts = self._module.encode(wave.to(device)[None, None], lengths)
        codes: torch.Tensor = indices[0, :, : int(counts[0])].cpu().long()
        return codes

    def decode(self, codes: torch.Tensor, spoken: int = 0) -> NDArray[np.float32]:
        """Return the samples of the frames from `spoken` on: the same as in the whole.

        Args:
            codes: All frames up to now, shape [books, frames].
            spoken: Frames whose samples are known.

        The transformer looks back over everything and runs over everything, on 21.5 frames a second. The decoder
        behind it, which costs most, is convolutions that look back over few: it runs over the new ones.
        """
        first = max(0, spoken - CONTEXT_FRAMES)
        latents = self._module.quantizer.decode(self._within(codes)[None])
        per_frame = latents.shape[-1] // codes.shape[-1]
        wave = self._module.decoder(latents[..., first * per_frame :])
        samples = wave[0, 0, (spoken - first) * self.frame_samples :]
        array: NDArray[np.float32] = samples.float().cpu().numpy()
        return array

    def _within(self, codes: torch.Tensor) -> torch.Tensor:
        # A malformed frame must not reach tables: on a GPU it would end the whole process's context.
        codes = codes.long()
        return torch.cat([codes[:1].clamp(0, self._semantic - 1), codes[1:].clamp(0, self._residual - 1)])


def load_codec(file: Path, device: torch.device) -> Codec:
    """Return the codec of a file, in fp32.

    Raises:
        EngineLoadFailed: If it is not there or is none.
    """
    tensors = {
        name: tensor
        for name, tensor in _plain(tensors_of([file], str(device))).items()
        if not name.endswith(_TABLES)
    }
    try:
        with built_without_memory(), warnings.catch_warnings(action="ignore"):  # the package's age
            module = _codec_like(tensors)
    except (KeyError, IndexError) as error:
        raise EngineLoadFailed(
            f"{file.name} has no {error}: is it OpenAudio's codec? Import it again"
        ) from error
    # As upstream: what the module does not have (parts for training) is left.
    put(
        module,
        tensors,
        dtype=torch.float32,
        may_miss=lambda name: name.endswith(_TABLES),
        may_ignore=lambda name: True,
    )
    for transformer in module.modules():
        if isinstance(transformer, WindowLimitedTransformer):
            _make_constants(transformer, device)
    module.to(device).eval()
    refuse_unset(module)
    fold_weight_norm(module)
    return Codec(module)


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names without what a trainer puts before them."""
    plain = {name.removeprefix("state_dict."): tensor for name, tensor in tensors.items()}
    if any(name.startswith("generator.") for name in plain):
        plain = {
            name.removeprefix("generator."): tensor
            for name, tensor in plain.items()
            if name.startswith("generator.")
        }
    return plain


def _make_constants(transformer: WindowLimitedTransformer, device: torch.device) -> None:
    settings = transformer.config
    rotations = codec_rotations(settings.block_size, settings.head_dim, settings.rope_base)
    transformer.freqs_cis = rotations.to(device)
    # Never read: each call brings the mask of its window.
    transformer.causal_mask = torch.ones(1, 1, dtype=torch.bool, device=device)


def _codec_like(tensors: Mapping[str, torch.Tensor]) -> Any:
    def shape(name: str) -> torch.Size:
        return tensors[name].shape

    stages = range(1, _count(tensors, "encoder.block") - 2)
    latent = shape(f"encoder.block.{len(stages) + 2}.{_KERNEL}")[0]
    decoder_stages = range(1, _count(tensors, "decoder.model") - 2)
    return DAC(
        sample_rate=SAMPLE_RATE_HZ,
        encoder_dim=shape(f"encoder.block.0.{_KERNEL}")[0],
        encoder_rates=[shape(f"encoder.block.{n}.block.4.{_KERNEL}")[2] // 2 for n in stages],
        decoder_dim=shape(f"decoder.model.0.{_KERNEL}")[0],
        decoder_rates=[shape(f"decoder.model.{n}.block.1.{_KERNEL}")[2] // 2 for n in decoder_stages],
        encoder_transformer_layers=[_count(tensors, f"encoder.block.{n}.block.5.layers") for n in stages],
        # The package builds none there, whatever the configuration says.
        decoder_transformer_layers=[0 for _ in decoder_stages],
        transformer_general_config=_attention,
        quantizer=_quantizer_like(tensors, latent),
        latent_dim=latent,
        causal=True,
    )


def _quantizer_like(tensors: Mapping[str, torch.Tensor], latent: int) -> Any:
    def codebook(quantizer: str) -> torch.Size:
        return tensors[f"quantizer.{quantizer}.quantizers.0.codebook.weight"].shape

    return DownsampleResidualVectorQuantize(
        input_dim=latent,
        n_codebooks=_count(tensors, "quantizer.quantizer.quantizers"),
        codebook_size=codebook("quantizer")[0],
        codebook_dim=codebook("quantizer")[1],
        semantic_codebook_size=codebook("semantic_quantizer")[0],
        downsample_factor=[
            tensors[f"quantizer.downsample.{n}.0.conv.weight"].shape[2]
            for n in range(_count(tensors, "quantizer.downsample"))
        ],
        pre_module=_window(tensors, "quantizer.pre_module", latent),
        post_module=_window(tensors, "quantizer.post_module", latent),
    )


def _window(tensors: Mapping[str, torch.Tensor], prefix: str, latent: int) -> Any:
    width = tensors[f"{prefix}.norm.weight"].shape[0]
    settings = _attention(
        n_layer=_count(tensors, f"{prefix}.layers"),
        n_head=width // _HEAD,
        dim=width,
        intermediate_size=tensors[f"{prefix}.layers.0.feed_forward.w1.weight"].shape[0],
    )
    return WindowLimitedTransformer(settings, input_dim=latent, window_size=_WINDOW, causal=True)


def _attention(**sizes: int) -> Any:
    """The package's settings of a transformer, from what differs between them."""
    return ModelArgs(block_size=_POSITIONS, head_dim=_HEAD, rope_base=_ROPE_BASE, **sizes)


def _count(tensors: Mapping[str, torch.Tensor], prefix: str) -> int:
    """One more than the greatest number below a name."""
    number = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return 1 + max((int(match[1]) for name in tensors if (match := number.match(name))), default=-1)
