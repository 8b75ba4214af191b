"""A tiny Maya1 in the layout of maya-research/maya1 (sharded safetensors) and hubertsiuzdak/snac_24khz (.bin)."""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

BOS, EOT, SOS, EOS, SOH, EOH, SOA = 128000, 128009, 128257, 128258, 128259, 128260, 128261
SPECIAL = {
    BOS: "<|begin_of_text|>",
    EOT: "<|eot_id|>",
    SOS: "<custom_token_1>",
    EOS: "<custom_token_2>",
    SOH: "<custom_token_3>",
    EOH: "<custom_token_4>",
    SOA: "<custom_token_5>",
}
LAUGH = 156938
VOCABULARY = 156960
SNAC_CONFIG = {
    "sampling_rate": 24000,
    "encoder_dim": 4,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 64,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "codebook_dim": 8,
    "vq_strides": [4, 2, 1],
    "noise": True,
    "depthwise": True,
}


def build(folder: Path, *, ending: float = 42.0, hidden: int = 32, layers: int = 2, seed: int = 0) -> None:
    """Write the model: random weights, real token ids.

    Args:
        folder: Where.
        ending: How much it wants to end between two frames: at 42 after a few, at 100 after the first, at 0 never.
        hidden: Width.
        layers: Depth.
        seed: Of the weights.
    """
    import torch
    from transformers import LlamaForCausalLM
    from transformers.utils import logging

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(_config(hidden, layers))
        write_snac(folder / "snac")
    # One number of every token's vector is the same and no layer changes it: that of the end is its bias.
    embedding = model.model.embed_tokens.weight.data
    embedding[:, 0] = 1.0
    embedding[EOS] = 0.0
    embedding[EOS, 0] = 1.0 + ending
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.data[0] = 0.0
        layer.mlp.down_proj.weight.data[0] = 0.0
    for weight in model.parameters():
        weight.data = weight.data.to(torch.bfloat16)
    talk: Any = logging
    talk.disable_progress_bar()  # a bar leaves a thread behind
    model.save_pretrained(folder, max_shard_size="8MB")


def write_tokenizer(folder: Path) -> None:
    """Byte-level BPE without merges: 256 tokens cover every text, special ones have their real ids."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {char: number for number, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {name: number for number, name in SPECIAL.items()} | {"<laugh>": LAUGH}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL.values()])
    tokenizer.add_tokens([AddedToken("<laugh>")])
    fast: Any = PreTrainedTokenizerFast
    fast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[BOS], eos_token=SPECIAL[EOT], pad_token=SPECIAL[EOT]
    ).save_pretrained(folder)


def write_snac(folder: Path) -> None:
    """SNAC with thin layers, as its package saves it."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its import uses torch.jit
        from snac import SNAC
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(SNAC_CONFIG))
    torch.save(SNAC(**SNAC_CONFIG).state_dict(), folder / "pytorch_model.bin")


def _config(hidden: int, layers: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=131072,
        tie_word_embeddings=True,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=EOT,
        initializer_range=0.3,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
        },
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]), ending=float(sys.argv[2]) if len(sys.argv) > 2 else 42.0)
