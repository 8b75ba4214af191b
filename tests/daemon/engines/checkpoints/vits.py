"""A tiny VITS in the layout of facebook/mms-tts-<language>: config.json, vocab.json, tokenizer files, safetensors."""

import json
import sys
from pathlib import Path
from typing import Any

LETTERS = "_ abcdefghijklmnopqrstuvwxyz'-"
_PUBLISHED = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def build(
    folder: Path, *, language: str = "eng", letters: str = LETTERS, is_uroman: bool = False, seed: int = 0
) -> None:
    """Write the model; 16 kHz, 0.3 M random weights, with the old names of weight norms as published."""
    import torch
    from safetensors.torch import save_file
    from transformers import VitsModel, VitsTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({char: number for number, char in enumerate(letters)}))
    VitsTokenizer(
        str(vocabulary),
        language=language,
        add_blank=True,
        normalize=True,
        phonemize=False,
        is_uroman=is_uroman,
        pad_token=letters[0],
    ).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VitsModel(_config(len(letters)))
    model.decoder.conv_post.weight.data *= 0.3  # random weights fill the whole range otherwise
    model.config.save_pretrained(folder)
    tensors: dict[str, Any] = {_published(name): tensor for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _config(vocabulary: int) -> Any:
    from transformers import VitsConfig

    return VitsConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
        flow_size=32,
        spectrogram_bins=65,
        upsample_initial_channel=32,
        upsample_rates=[8, 8, 2, 2],
        upsample_kernel_sizes=[16, 16, 4, 4],
        duration_predictor_filter_channels=32,
        posterior_encoder_num_wavenet_layers=2,
        prior_encoder_num_wavenet_layers=2,
        sampling_rate=16000,
    )


def _published(name: str) -> str:
    for new, old in _PUBLISHED.items():
        name = name.replace(new, old)
    return name


if __name__ == "__main__":
    build(Path(sys.argv[1]), language=sys.argv[2] if len(sys.argv) > 2 else "eng")
