"""Kokoro with random weights of the real widths (81 M: its decoder's are fixed), in the published layout.

Durations are as short as speech has them, so that a test's words take a second and not a minute.
"""

# ruff: noqa: RUF001 - phonetic signs

import argparse
import importlib
import importlib.util
import io
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SYMBOLS = ';:,.!?—…"()“” ̃ʣʥʦʨᵝꭧAIOQSTWYᵊabcdefhijklmnopqrstuvwxyzɑɐɒæβɔɕçɖðʤəɚɛɜɟɡɥɨɪʝɯɰŋɳɲɴøɸθœɹɾɻʁɽʂʃʈʧʊʋʌɣɤχʎʒʔˈˌː'
VOICES = ("af_heart", "af_bella", "am_adam", "bf_emma", "ff_siwis", "jf_alpha")
CONFIG: dict[str, Any] = {
    "istftnet": {
        "upsample_kernel_sizes": [20, 12],
        "upsample_rates": [10, 6],
        "gen_istft_hop_size": 5,
        "gen_istft_n_fft": 20,
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "resblock_kernel_sizes": [3, 7, 11],
        "upsample_initial_channel": 512,
    },
    "dropout": 0.2,
    "hidden_dim": 512,
    "max_dur": 50,
    "n_layer": 3,
    "n_mels": 80,
    "n_token": 178,
    "style_dim": 128,
    "text_encoder_kernel_size": 5,
    "plbert": {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
        "max_position_embeddings": 512,
        "num_hidden_layers": 12,
        "dropout": 0.1,
    },
    "vocab": {symbol: number for number, symbol in enumerate(SYMBOLS, 1)},
}
_PARTS = ("bert", "bert_encoder", "predictor", "decoder", "text_encoder")


def build(folder: Path, voices: Sequence[str] = VOICES) -> None:
    """Write a checkpoint into `folder`; kokoro and loguru must be on the path."""
    import torch

    (folder / "voices").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    torch.manual_seed(0)
    model = _random_model()
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for part in _PARTS:
        state = getattr(model, part).state_dict()
        # As published: from a data-parallel training, without the norms that only exporting needs.
        parts[part] = {f"module.{name}": tensor for name, tensor in state.items() if ".norm." not in name}
    parts["bert"]["module.embeddings.position_ids"] = torch.arange(512).expand((1, -1)).clone()
    torch.save(parts, folder / "kokoro-v1_0.pth")
    for voice in voices:
        torch.save(torch.randn(510, 1, 256) * 0.1, folder / "voices" / f"{voice}.pt")


def _random_model() -> Any:
    import torch

    if "kokoro" not in sys.modules:
        # Without the package's own imports, which want spaCy.
        spec = importlib.util.find_spec("kokoro")
        assert spec is not None
        sys.modules["kokoro"] = importlib.util.module_from_spec(spec)
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = importlib.import_module("kokoro.model").KModel(repo_id="local", config=CONFIG, model=nothing)
    with torch.no_grad():
        projection = model.predictor.duration_proj.linear_layer
        projection.weight.mul_(0.01)
        projection.bias.fill_(-3.2)  # two frames for a symbol; speech has three
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    build(parser.parse_args().folder)
