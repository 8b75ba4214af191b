"""What is used of the fish-speech package (its last Apache-2.0 release), imported without what it was trained with.

Its codec needs the layers of descript-audio-codec and not that package's command line, and imports hydra, omegaconf,
librosa and audiotools, of which only a base class is used: the one below. Imported by the OpenAudio engine only.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch

# Before the stand-ins: transformers looks which packages are there.
import transformers  # noqa: F401

from voiced.engines.stand_ins import stood_in


class _BaseModel(torch.nn.Module):
    """What the codec inherits of audiotools: it asks for nothing but a module."""

    INTERN: ClassVar[list[str]] = []
    EXTERN: ClassVar[list[str]] = []


class _Unused:
    """A type that only annotations name."""


def _bare_package(name: str) -> None:
    """Let modules below a package be imported without running the package itself."""
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise ImportError(f"No module named {top!r}")
    folder = Path(spec.origin).parent.joinpath(*name.split(".")[1:])
    package = ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package


_AUDIOTOOLS: dict[str, dict[str, Any]] = {
    "audiotools": {"AudioSignal": _Unused, "STFTParams": _Unused},
    "audiotools.ml": {"BaseModel": _BaseModel},
    "audiotools.util": {},
    "audiotools.core": {},
}
_NEVER_CALLED: dict[str, dict[str, Any]] = {"hydra": {}, "librosa": {}, "omegaconf": {"OmegaConf": _Unused}}

if "dac" not in sys.modules:
    _bare_package("dac.model")
    _bare_package("dac")
with stood_in(_AUDIOTOOLS | _NEVER_CALLED):
    from fish_speech.content_sequence import ContentSequence, TextPart, VQPart
    from fish_speech.models.dac.modded_dac import DAC, ModelArgs, WindowLimitedTransformer
    from fish_speech.models.dac.modded_dac import precompute_freqs_cis as codec_rotations
    from fish_speech.models.dac.rvq import DownsampleResidualVectorQuantize
    from fish_speech.models.text2semantic import inference
    from fish_speech.models.text2semantic.llama import (
        BaseModelArgs,
        BaseTransformerForwardResult,
        DualARTransformer,
        precompute_freqs_cis,
    )
    from fish_speech.tokenizer import IM_END_TOKEN, FishTokenizer

__all__ = [
    "DAC",
    "IM_END_TOKEN",
    "BaseModelArgs",
    "BaseTransformerForwardResult",
    "ContentSequence",
    "DownsampleResidualVectorQuantize",
    "DualARTransformer",
    "FishTokenizer",
    "ModelArgs",
    "TextPart",
    "VQPart",
    "WindowLimitedTransformer",
    "codec_rotations",
    "inference",
    "precompute_freqs_cis",
]
