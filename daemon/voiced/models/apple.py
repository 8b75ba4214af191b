"""Which model runs on Apple's chips through MLX, where not every size may have been converted. Pure."""

from collections.abc import Collection
from typing import NamedTuple

_SMALL, _BIG = "qwen3-tts:0.6b", "qwen3-tts:1.7b"
MLX = "-mlx"
"""Ends the id of a model's conversion for MLX."""


class MlxChoice(NamedTuple):
    """What really runs; voices, prompts and memory go by it."""

    model: str
    warning: str = ""
    """For the user, where it is not what was asked for."""


def mlx_model(asked: str, catalogue: Collection[str]) -> MlxChoice:
    """Return the model that MLX runs in answer to a request.

    Everything that is kept for a model (prepared voices above all) is keyed by what this returns, never by what was
    asked for: the two sizes understand different prompts.

    Args:
        asked: An id of Qwen3-TTS.
        catalogue: The ids that MLX has.
    """
    if asked in catalogue or not asked.startswith(_SMALL):
        return MlxChoice(asked)
    instead = _BIG + asked.removeprefix(_SMALL)
    if instead not in catalogue:
        return MlxChoice(asked)
    return MlxChoice(
        instead,
        f"{asked} is not available for MLX; falling back to {instead};"
        f" the voice's quality will be that of the 1.7B model",
    )


def on_apple(asked: str, catalogue: Collection[str], installed: Collection[str]) -> MlxChoice:
    """Return the model that serves a request on Apple's chips: the conversion for MLX where it is installed.

    Args:
        asked: Any id.
        catalogue: All ids that there are; those for MLX end in `-mlx`.
        installed: Those whose files are here.
    """
    converted = {model.removesuffix(MLX) for model in catalogue if model.endswith(MLX)}
    if not converted or asked.endswith(MLX) or not asked.startswith((_SMALL, _BIG)):
        return MlxChoice(asked)
    choice = mlx_model(asked, converted)
    if choice.model + MLX in installed:
        return choice._replace(model=choice.model + MLX)
    if asked in installed or choice.model not in converted:
        return MlxChoice(asked)  # by torch, on the same chip
    return choice._replace(model=choice.model + MLX)  # which says how to get it
