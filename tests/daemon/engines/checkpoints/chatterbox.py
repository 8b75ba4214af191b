"""A small random Chatterbox in the published layout: T3 64 wide, S3Gen as wide as ever and as shallow as it can be.

T3 ends after a number of tokens that the builder is told: one direction of its width says nothing but "ended".
`python -m tests.daemon.engines.checkpoints.chatterbox FOLDER [TOKENS]`, with the overlay on PYTHONPATH.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

WIDTH = 64
POISON = "#"
"""A character whose embedding is no number."""
_END = 0
"""The direction that says "ended"."""
_STOP = 6562
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-\"()" + POISON
_SPECIAL = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, "[PAD]": 3, "[START]": 255}


def build(folder: Path, tokens: int = 12) -> None:
    """Write a checkpoint.

    Args:
        folder: Made if it is not there.
        tokens: How many speech tokens T3 makes for any text, 25 of them a second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with torch.no_grad():
        _write_t3(folder, tokens)
        _save(small_s3gen(), folder / "s3gen.safetensors")
        _write_voices(folder)
    _write_tokenizer(folder)


def _save(module: Any, file: Path) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in module.state_dict().items()}, file)


def small_t3() -> Any:
    """T3 as the package makes it, with other sizes in its table."""
    from voiced.engines.chatterbox_package import LLAMA_CONFIGS, T3, Perceiver, T3Config

    settings = T3Config.english_only()
    LLAMA_CONFIGS["tiny"] = LLAMA_CONFIGS[settings.llama_config_name] | {
        "hidden_size": WIDTH,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 64,
    }
    settings.llama_config_name = "tiny"
    t3 = T3(settings)
    t3.cond_enc.perceiver = Perceiver(32, WIDTH, WIDTH)
    return t3


def _write_t3(folder: Path, tokens: int) -> None:
    t3 = small_t3()
    # Loud enough that every letter is heard in the tokens.
    for parameter in t3.parameters():
        if parameter.dim() > 1:
            parameter.mul_(8)
    for layer in t3.tfmr.layers:
        layer.self_attn.o_proj.weight[_END] = 0
        layer.mlp.down_proj.weight[_END] = 0
    t3.speech_emb.weight[:, _END] = 0
    t3.speech_pos_emb.emb.weight[:, _END] = 0
    t3.speech_pos_emb.emb.weight[tokens:, _END] = 100
    t3.speech_head.weight[:, _END] = 0
    # Nothing outside the speech tokens is likely, and the end as likely as the direction says.
    t3.speech_head.weight[6561:] = 0
    t3.speech_head.weight[_STOP, _END] = 100
    t3.text_emb.weight[3 + _LETTERS.index(POISON) + 1] = float("nan")
    _save(t3, folder / "t3_cfg.safetensors")


def small_s3gen() -> Any:
    """S3Gen as the package makes it, with most layers taken out."""
    from voiced.engines.chatterbox_package import S3Gen

    s3gen = S3Gen()
    estimator = s3gen.flow.decoder.estimator
    s3gen.tokenizer.encoder.blocks = s3gen.tokenizer.encoder.blocks[:1]
    s3gen.flow.encoder.encoders = s3gen.flow.encoder.encoders[:1]
    estimator.mid_blocks = estimator.mid_blocks[:1]
    for blocks in (*estimator.down_blocks, *estimator.mid_blocks, *estimator.up_blocks):
        blocks[1] = blocks[1][:1]
    return s3gen


def _write_voices(folder: Path) -> None:
    from voiced.engines.chatterbox_package import VoiceEncoder

    _save(VoiceEncoder(), folder / "ve.safetensors")
    speaker = torch.rand(1, 256)
    t3 = {
        "speaker_emb": speaker / speaker.norm(),
        "clap_emb": None,
        "cond_prompt_speech_tokens": torch.randint(0, 6561, (1, 150)),
        "cond_prompt_speech_emb": None,
        "emotion_adv": 0.5 * torch.ones(1, 1, 1),
    }
    gen = {
        "prompt_token": torch.randint(0, 6561, (1, 25)),
        "prompt_token_len": torch.tensor([25]),
        "prompt_feat": torch.randn(1, 50, 80),
        "prompt_feat_len": None,
        "embedding": torch.randn(1, 192),
    }
    torch.save({"t3": t3, "gen": gen}, folder / "conds.pt")


def _write_tokenizer(folder: Path) -> None:
    vocabulary = _SPECIAL | {letter: 4 + place for place, letter in enumerate(_LETTERS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    build(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
