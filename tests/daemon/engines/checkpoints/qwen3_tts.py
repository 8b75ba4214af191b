"""Qwen3-TTS with random weights, in the published layout.

Run with the packages of the engine family first on the path:
`PYTHONPATH=OVERLAY python -m tests.daemon.engines.checkpoints.qwen3_tts FOLDER [--size 1.7b] [--kind base] [--real]`,
or with `--all` for one folder of each kind and size below FOLDER.

"0.6b" has a talker as wide as its code predictor, "1.7b" one twice as wide, with speaker vectors twice as long.
"""

import argparse
import importlib
import inspect
import json
from pathlib import Path
from typing import Any

SAMPLE_RATE_HZ = 24000
FRAME_SAMPLES = 1920
GROUPS = 16
SPEAKERS = {"ryan": 3061, "vivian": 3065, "dylan": 2878}
LANGUAGES = {"english": 2050, "chinese": 2055, "german": 2053, "beijing_dialect": 2074}
POISON = "~"
"""A text with this character makes the model produce NaN, where it was built so."""
EVERY = {
    "base-06": ("0.6b", "base"),
    "base-17": ("1.7b", "base"),
    "speakers-06": ("0.6b", "custom_voice"),
    "speakers-17": ("1.7b", "custom_voice"),
    "design-17": ("1.7b", "voice_design"),
}

_SPECIAL = ("<|im_start|>", "<|im_end|>", "<tts_pad>", "<tts_text_bos>", "<tts_text_eod>", "<|endoftext|>")
_EOS = 2150
_GENERATION = {
    "do_sample": True,
    "top_k": 50,
    "top_p": 1.0,
    "temperature": 0.9,
    "repetition_penalty": 1.05,
    "max_new_tokens": 2048,
    "subtalker_dosample": True,
    "subtalker_top_k": 50,
    "subtalker_top_p": 1.0,
    "subtalker_temperature": 0.9,
}


def build(
    folder: Path,
    *,
    size: str = "0.6b",
    kind: str = "base",
    seed: int = 0,
    ends: float = 4.0,
    is_real: bool = False,
    is_wide: bool = False,
) -> None:
    """Write a checkpoint.

    Args:
        folder: Made where it is not there.
        size: `0.6b` or `1.7b`: the shape, not the size, unless `is_real`.
        kind: `base`, `custom_voice` or `voice_design`.
        seed: Of its weights.
        ends: How eagerly it ends a segment; 0 = never.
        is_real: Real widths, 1.8 GB and more.
        is_wide: No layer narrower than 65: mlx-audio guesses the order of a weight's axes from their lengths.
    """
    import torch

    from voiced.engines import qwen3_stubs

    qwen3_stubs.import_package()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    ids, words = _write_tokenizer(folder)
    _write_model(
        folder,
        _model_config(ids, words, size, kind, is_real, is_wide),
        ids,
        0.0 if is_real else ends,
        is_real,
    )
    _write_codec(folder / "speech_tokenizer", is_real, is_wide)
    (folder / "generation_config.json").write_text(json.dumps(_GENERATION))


def _write_tokenizer(folder: Path) -> tuple[dict[str, int], int]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    transformers: Any = importlib.import_module("transformers")  # the family's, not the main environment's

    vocabulary = {char: place for place, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    ids = {"poison": vocabulary[POISON]}
    # Upstream cuts ids by fixed counts: names of roles must be one token each.
    for word in (*_SPECIAL, "assistant", "user"):
        ids[word] = vocabulary[word] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in _SPECIAL])
    tokenizer.add_tokens([AddedToken(word, special=False) for word in ("assistant", "user")])
    transformers.Qwen2TokenizerFast(
        tokenizer_object=tokenizer, unk_token=None, pad_token="<|endoftext|>", eos_token="<|endoftext|>"
    ).save_pretrained(folder)
    (folder / "tokenizer.json").unlink()  # what is published has the two files below
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return ids, len(vocabulary)


def _model_config(ids: dict[str, int], words: int, size: str, kind: str, is_real: bool, is_wide: bool) -> Any:
    from qwen_tts.core.models import Qwen3TTSConfig

    narrow = 1024 if is_real else 32
    wide = narrow * (2 if size == "1.7b" else 1)
    speaker: dict[str, Any]
    if is_real:
        attention = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
        layers, sections, words, text_width = 28, [24, 20, 20], 151936, 2048
        speaker = {"enc_dim": wide}
    else:
        attention = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
        layers, sections, text_width = 2, [4, 2, 2], 48
        speaker = {
            "enc_dim": wide,
            "enc_channels": [16, 16, 16, 16, 48],
            "enc_attention_channels": 8,
            "enc_res2net_scale": 4,
            "enc_se_channels": 8,
        }
        if is_wide:
            channels = {
                "enc_channels": [80, 80, 80, 80, 240],
                "enc_attention_channels": 72,
                "enc_se_channels": 72,
            }
            speaker |= channels
    has_speakers = kind == "custom_voice"
    dialects = {"ryan": False, "vivian": False, "dylan": "beijing_dialect"}
    return Qwen3TTSConfig(
        talker_config={
            "vocab_size": 3072,
            "hidden_size": wide,
            "intermediate_size": 3 * wide,
            "num_hidden_layers": layers,
            "text_hidden_size": text_width,
            "text_vocab_size": words,
            "num_code_groups": GROUPS,
            "rope_scaling": {
                "mrope_section": sections,
                "interleaved": True,
                "rope_type": "default",
                "type": "default",
            },
            "rope_theta": 1000000,
            "codec_eos_token_id": _EOS,
            "codec_bos_id": 2149,
            "codec_pad_id": 2148,
            "codec_think_id": 2154,
            "codec_nothink_id": 2155,
            "codec_think_bos_id": 2156,
            "codec_think_eos_id": 2157,
            "codec_language_id": LANGUAGES,
            "pad_token_id": 2148,
            "spk_id": SPEAKERS if has_speakers else {},
            "spk_is_dialect": dialects if has_speakers else {},
            "code_predictor_config": {
                "vocab_size": 2048,
                "hidden_size": narrow,
                "intermediate_size": 3 * narrow,
                "num_hidden_layers": 5 if is_real else 2,
                "num_code_groups": GROUPS,
                **attention,
            },
            **attention,
        },
        speaker_encoder_config=speaker,
        tokenizer_type="qwen3_tts_tokenizer_12hz",
        tts_model_size={"0.6b": "0b6", "1.7b": "1b7"}[size],
        tts_model_type=kind,
        im_start_token_id=ids["<|im_start|>"],
        im_end_token_id=ids["<|im_end|>"],
        tts_pad_token_id=ids["<tts_pad>"],
        tts_bos_token_id=ids["<tts_text_bos>"],
        tts_eos_token_id=ids["<tts_text_eod>"],
    )


def _write_model(folder: Path, config: Any, ids: dict[str, int], ends: float, is_real: bool) -> None:
    import torch
    from qwen_tts.core.models import Qwen3TTSForConditionalGeneration
    from safetensors.torch import save_file

    with torch.device("meta" if is_real else "cpu"):
        model = Qwen3TTSForConditionalGeneration(config)
    tensors = _real_values(model) if is_real else dict(model.state_dict())
    for name, tensor in tensors.items():
        if not is_real and tensor.dim() > 1:
            tensor.mul_(8)  # the usual 0.02 gives nearly equal logits: the text would not matter
        tensors[name] = tensor.to(torch.bfloat16).contiguous()
    # The end's logit is then often the greatest; zero is never among the greatest.
    tensors["talker.codec_head.weight"][_EOS] *= ends
    if not is_real:
        tensors["talker.model.text_embedding.weight"][ids["poison"]] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    written = config.to_dict() | {"architectures": ["Qwen3TTSForConditionalGeneration"]}
    # Upstream's own loader refuses what it adds itself here.
    known = inspect.signature(type(config.speaker_encoder_config).__init__).parameters
    speaker = config.speaker_encoder_config.to_dict()
    written["speaker_encoder_config"] = {name: speaker[name] for name in known if name in speaker}
    (folder / "config.json").write_text(json.dumps(written, indent=1))


def _write_codec(folder: Path, is_real: bool, is_wide: bool) -> None:
    import torch
    from qwen_tts.core import Qwen3TTSTokenizerV2Config, Qwen3TTSTokenizerV2Model
    from safetensors.torch import save_file
    from transformers import EncodecFeatureExtractor

    folder.mkdir(exist_ok=True)
    parts: dict[str, Any] = _REAL_CODEC if is_real else _TINY_CODEC
    if is_wide:
        parts = parts | {"decoder_config": parts["decoder_config"] | _WIDE_DECODER}
    config = Qwen3TTSTokenizerV2Config(**parts)
    with torch.device("meta" if is_real else "cpu"):
        model = Qwen3TTSTokenizerV2Model(config)
    tensors = _real_values(model) if is_real else {n: t.clone() for n, t in model.state_dict().items()}
    if not is_real:
        _make_audible(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    written = config.to_dict() | {"architectures": ["Qwen3TTSTokenizerV2Model"]}
    (folder / "config.json").write_text(json.dumps(written, indent=1))
    EncodecFeatureExtractor(feature_size=1, sampling_rate=SAMPLE_RATE_HZ, padding_value=0.0).save_pretrained(
        folder
    )


_TINY_CODEC = {
    "encoder_config": {
        "hidden_size": 32,
        "num_filters": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 64,
        "codebook_size": 2048,
        "codebook_dim": 8,
        "num_quantizers": 32,
        "vector_quantization_hidden_dimension": 8,
        "num_residual_layers": 1,
        "upsample_groups": 32,
        "upsampling_ratios": [8, 6, 5, 4],
        "sampling_rate": SAMPLE_RATE_HZ,
        "use_causal_conv": True,
        "sliding_window": 250,
    },
    "decoder_config": {
        "codebook_size": 2048,
        "codebook_dim": 16,
        "hidden_size": 32,
        "latent_dim": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_quantizers": GROUPS,
        "decoder_dim": 32,
        "sliding_window": 72,
        "upsample_rates": (8, 5, 4, 3),
        "upsampling_ratios": (2, 2),
    },
    "encoder_valid_num_quantizers": GROUPS,
}
_WIDE_DECODER = {"codebook_dim": 160, "decoder_dim": 272, "upsample_rates": (24, 20)}
_REAL_CODEC: dict[str, Any] = {"encoder_config": {}, "decoder_config": {"codebook_dim": 512}}


def _make_audible(tensors: dict[str, Any]) -> None:
    """Weights as a module makes them give silence, and codebooks of zeros one code for everything."""
    for name, tensor in tensors.items():
        if "layer_scale" in name:
            tensor.fill_(0.5)
        elif name.startswith("encoder."):
            if "embed_sum" in name:
                tensor.normal_()
        elif "embedding_sum" in name:
            tensor.normal_()
        elif name.endswith("gamma"):
            tensor.fill_(0.5)
        elif tensor.dim() > 1:
            tensor.normal_(0, 1.0 / max(1, tensor[0].numel()) ** 0.5)
    last = max(int(name.split(".")[2]) for name in tensors if name.startswith("decoder.decoder."))
    tensors[f"decoder.decoder.{last}.conv.weight"].mul_(0.05)


def _real_values(model: Any) -> dict[str, Any]:
    import torch

    made = {}
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            made[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
        elif tensor.dim() > 1:
            made[name] = torch.empty(tensor.shape).normal_(0, 0.02)
        else:
            made[name] = torch.ones(tensor.shape) if "bias" not in name else torch.zeros(tensor.shape)
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="0.6b", choices=("0.6b", "1.7b"))
    parser.add_argument("--kind", default="base", choices=("base", "custom_voice", "voice_design"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ends", type=float, default=4.0)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    if options.all:
        for name, (size, kind) in EVERY.items():
            build(options.folder / name, size=size, kind=kind)
        build(options.folder / "endless", kind="custom_voice", ends=0.0)
    else:
        build(
            options.folder,
            size=options.size,
            kind=options.kind,
            seed=options.seed,
            ends=options.ends,
            is_real=options.real,
            is_wide=options.wide,
        )


if __name__ == "__main__":
    main()
