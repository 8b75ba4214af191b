"""What is used of the chatterbox-tts package, imported so that it runs beside a newer torch.

It imports torchaudio, whose compiled part no torch but one can load, and packages that nothing here calls: onnx
(converts another model), pyloudnorm (another model's levels), omegaconf (one default argument, never read) and
pkg_resources (asked once for the place of a file). Imported by the Chatterbox engine only.
"""

import sys
import warnings
from pathlib import Path

from voiced.engines import torchaudio_stub
from voiced.engines.stand_ins import stood_in


def _resource_filename(package: str, name: str) -> str:
    """Return the path of a package's file, as pkg_resources did before setuptools dropped it."""
    return str(Path(sys.modules[package].__file__ or "").parent / name)


torchaudio_stub.install()
with (
    warnings.catch_warnings(action="ignore"),  # of what its packages will drop one day
    stood_in(
        {
            "onnx": {},
            "pyloudnorm": {},
            "omegaconf": {"DictConfig": dict},
            "pkg_resources": {"resource_filename": _resource_filename},
        }
    ),
):
    import perth
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE, drop_invalid_tokens
    from chatterbox.models.t3 import T3
    from chatterbox.models.t3 import t3 as t3_module
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS
    from chatterbox.models.t3.modules.cond_enc import T3Cond
    from chatterbox.models.t3.modules.perceiver import Perceiver
    from chatterbox.models.t3.modules.t3_config import T3Config
    from chatterbox.models.tokenizers import EnTokenizer
    from chatterbox.models.tokenizers.tokenizer import SPECIAL_TOKENS
    from chatterbox.models.voice_encoder import VoiceEncoder
    from chatterbox.tts import ChatterboxTTS, Conditionals, punc_norm

__all__ = [
    "LLAMA_CONFIGS",
    "SPECIAL_TOKENS",
    "SPEECH_VOCAB_SIZE",
    "T3",
    "ChatterboxTTS",
    "Conditionals",
    "EnTokenizer",
    "Perceiver",
    "S3Gen",
    "T3Cond",
    "T3Config",
    "VoiceEncoder",
    "drop_invalid_tokens",
    "perth",
    "punc_norm",
    "t3_module",
]
