"""Kokoro's network with the weights of a file, every one of them looked at.

The package's own constructor asks the hub for what it is not given, and loads a checkpoint with `strict=False`: a
weight that is missing would stay random, and speak. Here the network is built without memory, filled, and checked.
"""

import importlib
import importlib.util
import io
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from voiced.engines.weights import built_without_memory, put, read_config, refuse_unset, tensors_of
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged

_PACKAGE = "kokoro"
_PARTS = ("bert", "bert_encoder", "predictor", "text_encoder", "decoder")


def load_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network and its configuration.

    Args:
        folder: With `config.json` and one `kokoro-v*.safetensors`.

    Raises:
        ModelDamaged: If a file is missing or damaged.
        EngineLoadFailed: If the weights are not of the network that the configuration describes.
    """
    config = read_config(folder / "config.json")
    files = sorted(folder.glob("kokoro-v*.safetensors"))
    if len(files) != 1:
        raise ModelDamaged(
            f"{folder} holds {len(files)} files kokoro-v*.safetensors, where one belongs: pull or import kokoro again"
        )
    tensors = {_plain_name(name): tensor for name, tensor in tensors_of(files).items()}
    model = _built(config)
    _fill(model, tensors)
    return model.eval(), config


def network() -> Any:
    """The package's network, without what else the package imports: a tagger that wants spaCy."""
    if _PACKAGE not in sys.modules:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None:
            raise ImportError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
        # A package is there for its modules; it is not run itself.
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    # It logs what is spoken: as phonemes, but for everybody to read.
    importlib.import_module("loguru").logger.disable(_PACKAGE)
    return importlib.import_module(f"{_PACKAGE}.model").KModel


def _built(config: dict[str, Any]) -> nn.Module:
    """The network with shapes and without values."""
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    try:
        with warnings.catch_warnings(), built_without_memory():
            warnings.simplefilter("ignore")  # about the way the package keeps its weights
            # With a configuration and a (here empty) checkpoint at hand it does not ask the hub.
            model: nn.Module = network()(repo_id="local", config=config, model=nothing)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        raise EngineLoadFailed(
            f"config.json of kokoro describes no network that there is ({type(error).__name__}: {error}): "
            "pull or import it again"
        ) from error
    return model


def _plain_name(name: str) -> str:
    """Published from a data-parallel training: each part's names begin with `module.`."""
    part, _, rest = name.partition(".")
    return f"{part}.{rest.removeprefix('module.')}" if part in _PARTS else name


def _fill(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    bert: Any = model.bert
    # Made for the sentence as a whole, which nobody asks for: published checkpoints may be without it.
    bert.pooler = None
    plain: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.InstanceNorm1d):
            # Trained without these; the package has them for exporting, as one and zero.
            plain[f"{name}.weight"] = torch.ones(module.num_features)
            plain[f"{name}.bias"] = torch.zeros(module.num_features)
    put(
        model,
        plain | tensors,
        dtype=torch.float32,
        may_ignore=lambda name: name.startswith("bert.pooler.") or name.endswith(".position_ids"),
    )
    # What no file holds.
    places = bert.config.max_position_embeddings
    bert.embeddings.position_ids = torch.arange(places).expand((1, -1))
    bert.embeddings.token_type_ids = torch.zeros((1, places), dtype=torch.long)
    transform: Any = model.decoder.generator.stft  # type: ignore[union-attr]
    transform.window = torch.hann_window(transform.win_length, periodic=True)
    for module in model.modules():
        _fold(module)
    refuse_unset(model)
    _refuse_broken(model)


def _fold(module: nn.Module) -> None:
    """Make one weight of a direction and a length, once rather than at every call."""
    if hasattr(module, "weight_g"):
        nn.utils.remove_weight_norm(module)


def _refuse_broken(model: nn.Module) -> None:
    # What is no number stays none in a sum, which costs a tenth of looking at each.
    broken = [name for name, weight in model.named_parameters() if not weight.sum().isfinite()]
    if broken:
        raise ModelDamaged(
            f"{len(broken)} weights hold values that are no numbers ({broken[0]} ...): pull or import kokoro again"
        )
