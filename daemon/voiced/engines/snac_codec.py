"""SNAC, the codec of Maya1: frames of codes to samples, while they come, equal to the sample whoever cuts them.

Its decoder looks 3 frames to each side and no further, and adds noise. Here the noise of a frame follows from the
segment's seed and the frame's number, so that a frame sounds the same in whatever piece it is decoded. Imported by
engines with torch and snac; nobody else.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from voiced.engines.maya1_tokens import BOOK_SIZE, books_of
from voiced.engines.torch_setup import memory_named
from voiced.engines.weights import (
    built_without_memory,
    fold_weight_norm,
    put,
    read_config,
    refuse_unset,
    tensors_of,
)
from voiced_ipc.errors import EngineLoadFailed, SynthesisFailed

with warnings.catch_warnings():
    # It has a function compiled at import, in a way that torch is about to give up.
    warnings.simplefilter("ignore", DeprecationWarning)
    from snac import SNAC
    from snac.layers import NoiseBlock

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

SAMPLE_RATE_HZ = 24000
CONTEXT_FRAMES = 3
"""Measured: with 3 frames on each side a piece differs from the whole by 2e-7, with 2 by 2e-4."""
_LATENTS = 4  # in a frame: the stride of its coarsest book
_STRIDES = [4, 2, 1]
_CHUNK_FRAMES = (1, 2, 4, 8)
"""Frames that are decoded at once: the first are heard early, later ones cost less for each."""


class _PlacedNoise(nn.Module):
    """The decoder's noise block, with noise that is handed to it.

    Args:
        linear: Of the block that it stands for.
    """

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.noise = torch.zeros(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add noise as loud as the signal says."""
        signal: torch.Tensor = self.linear(x)
        return x + self.noise.to(x.device) * signal


class SnacCodec:
    """The decoder, loaded.

    Args:
        folder: config.json and pytorch_model.safetensors.
        device: Where it runs; always in fp32.

    Raises:
        EngineLoadFailed: If the files are damaged, or of another SNAC than the one for 24 kHz speech.
        DeviceOutOfMemory: If the device has not enough memory.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        config = read_config(folder / "config.json")
        _refuse_other(config)
        with memory_named("the codec"):
            self._model = _build(folder, config, device)
        self._noises: list[tuple[_PlacedNoise, int]] = []
        rate = _LATENTS
        for block, stride in zip(_decoder_blocks(self._model), config["decoder_rates"], strict=True):
            rate *= stride
            self._noises += [(noise, rate) for noise in _replace_noise(block)]

    def stream(self, frames: Iterable[Sequence[int]], seed: int) -> Iterator["FloatArray"]:
        """Return the samples of frames while they come: float32, 2048 for each frame.

        Args:
            frames: Codes in [0, 4096), 7 for each.
            seed: Of the segment.

        Raises:
            SynthesisFailed: If a code is out of range or a sample no number.
            DeviceOutOfMemory: If the device has not enough memory.
        """
        heard: list[Sequence[int]] = []
        spoken = chunks = 0
        for frame in frames:
            heard.append(frame)
            ready = len(heard) - CONTEXT_FRAMES
            if ready - spoken >= _CHUNK_FRAMES[min(chunks, len(_CHUNK_FRAMES) - 1)]:
                yield self._piece(heard, spoken, ready, seed)
                spoken, chunks = ready, chunks + 1
        while spoken < len(heard):
            ready = min(spoken + _CHUNK_FRAMES[-1], len(heard))
            yield self._piece(heard, spoken, ready, seed)
            spoken = ready

    def decode(self, frames: Sequence[Sequence[int]], seed: int, first: int = 0) -> "FloatArray":
        """Return the samples of frames as they stand, nothing before and nothing after them.

        Args:
            frames: As in `stream`.
            seed: Of the segment.
            first: The number of the first one within its segment.

        Raises:
            SynthesisFailed, DeviceOutOfMemory: As in `stream`.
        """
        if any(not 0 <= code < BOOK_SIZE for frame in frames for code in frame):
            raise SynthesisFailed(
                "the model made a code that the codec does not have; the segment can be tried again"
            )
        device = next(self._model.parameters()).device
        codes = [torch.tensor([book], device=device) for book in books_of(frames)]
        with torch.inference_mode(), memory_named("a segment"):
            self._place_noise(range(first, first + len(frames)), seed)
            samples = self._model.decode(codes)[0, 0].float().cpu()
        if not torch.isfinite(samples).all():
            raise SynthesisFailed(
                "the codec made samples that are no numbers; the segment can be tried again"
            )
        made: FloatArray = samples.numpy()
        return made

    def _piece(self, heard: Sequence[Sequence[int]], start: int, end: int, seed: int) -> "FloatArray":
        """Frames from `start` to `end` with what their sound depends on around them, which is then cut off."""
        first, last = max(0, start - CONTEXT_FRAMES), min(len(heard), end + CONTEXT_FRAMES)
        samples = self.decode(heard[first:last], seed, first)
        hop = len(samples) // (last - first)
        return samples[(start - first) * hop : (end - first) * hop]

    def _place_noise(self, numbers: range, seed: int) -> None:
        """Draw the noise of each frame from its own seed; on the CPU, where every machine draws the same."""
        total = sum(rate for _, rate in self._noises)
        if not total:
            return
        drawn = torch.stack([_draw(total, seed, number) for number in numbers])
        start = 0
        for noise, rate in self._noises:
            noise.noise = drawn[:, start : start + rate].reshape(1, 1, -1)
            start += rate


def _draw(count: int, seed: int, number: int) -> torch.Tensor:
    # Seeds have 32 bits and frames fewer than 2**20: no two frames of any two segments share their noise by this.
    generator = torch.Generator().manual_seed((seed << 20) + number)
    return torch.randn(count, generator=generator)


def _refuse_other(config: dict[str, Any]) -> None:
    expected = {
        "sampling_rate": SAMPLE_RATE_HZ,
        "codebook_size": BOOK_SIZE,
        "vq_strides": _STRIDES,
        "attn_window_size": None,
    }
    for name, value in expected.items():
        if config.get(name, value) != value:
            raise EngineLoadFailed(
                f"snac/config.json says {name} = {config[name]}, Maya1 needs {value}: "
                "take the SNAC for 24 kHz speech (snac_24khz)"
            )


def _build(folder: Path, config: dict[str, Any], device: torch.device) -> Any:
    try:
        with built_without_memory():
            model = SNAC(**{"attn_window_size": None, **config})
    except (TypeError, ValueError, KeyError, RuntimeError, ZeroDivisionError) as error:
        raise EngineLoadFailed(
            f"snac/config.json describes no SNAC ({error}): import or pull the model again"
        ) from error
    put(model, tensors_of([folder / "pytorch_model.safetensors"], str(device)), dtype=torch.float32)
    refuse_unset(model)
    model.encoder = nn.Identity()  # nothing is encoded here: its third of the memory is let go
    fold_weight_norm(model)
    return model.eval()


def _decoder_blocks(model: Any) -> list[nn.Module]:
    return [part for part in model.decoder.model if type(part).__name__ == "DecoderBlock"]


def _replace_noise(block: nn.Module) -> list[_PlacedNoise]:
    made = []
    for parent in list(block.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NoiseBlock):
                placed = _PlacedNoise(child.linear)
                setattr(parent, name, placed)
                made.append(placed)
    return made
