"""A tiny Maya1 as a GGUF file (version 3), with its SNAC beside it. Writes the format itself: numpy is all it needs."""

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.daemon.engines.checkpoints.maya1 import EOS, LAUGH, SPECIAL, VOCABULARY, write_snac

_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _INT32 = 4, 6, 7, 8, 9, 5
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_ALIGNMENT = 32
_HEADS, _KV_HEADS = 4, 2


def build(folder: Path, *, ending: float = 38.0, hidden: int = 32, layers: int = 2, seed: int = 0) -> None:
    """Write the model; arguments as in `tests.daemon.engines.checkpoints.maya1`."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tensors = _tensors(hidden, layers, ending, np.random.default_rng(seed))
    (folder / "maya1-f32.gguf").write_bytes(_file(_values(hidden, layers), tensors))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_snac(folder / "snac")


def _tensors(hidden: int, layers: int, ending: float, random: np.random.Generator) -> dict[str, Any]:
    def made(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.3).astype(np.float32)

    wide, head = 2 * hidden, hidden // _HEADS
    embedding = made(VOCABULARY, hidden)
    embedding[:, 0] = 1.0
    embedding[EOS] = 0.0
    embedding[EOS, 0] = 1.0 + ending
    tensors = {"token_embd.weight": embedding, "output_norm.weight": np.ones(hidden, np.float32)}
    for layer in range(layers):
        shapes = {
            "attn_q": (hidden, hidden),
            "attn_k": (_KV_HEADS * head, hidden),
            "attn_v": (_KV_HEADS * head, hidden),
            "attn_output": (hidden, hidden),
            "ffn_gate": (wide, hidden),
            "ffn_up": (wide, hidden),
            "ffn_down": (hidden, wide),
        }
        tensors |= {f"blk.{layer}.{name}.weight": made(*shape) for name, shape in shapes.items()}
        for name in ("attn_output", "ffn_down"):
            tensors[f"blk.{layer}.{name}.weight"][0] = 0.0  # as in the other builder
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = np.ones(hidden, np.float32)
    return tensors


def _values(hidden: int, layers: int) -> list[tuple[str, int, Any]]:
    names, kinds = _vocabulary()
    return [
        ("general.architecture", _STRING, "llama"),
        ("llama.context_length", _UINT32, 8192),
        ("llama.embedding_length", _UINT32, hidden),
        ("llama.block_count", _UINT32, layers),
        ("llama.feed_forward_length", _UINT32, 2 * hidden),
        ("llama.attention.head_count", _UINT32, _HEADS),
        ("llama.attention.head_count_kv", _UINT32, _KV_HEADS),
        ("llama.attention.layer_norm_rms_epsilon", _FLOAT32, 1e-5),
        ("llama.rope.dimension_count", _UINT32, hidden // _HEADS),
        ("llama.rope.freq_base", _FLOAT32, 500000.0),
        ("llama.vocab_size", _UINT32, VOCABULARY),
        ("tokenizer.ggml.model", _STRING, "gpt2"),
        ("tokenizer.ggml.pre", _STRING, "llama-bpe"),
        ("tokenizer.ggml.tokens", _ARRAY, (_STRING, names)),
        ("tokenizer.ggml.token_type", _ARRAY, (_INT32, kinds)),
        ("tokenizer.ggml.merges", _ARRAY, (_STRING, ["a a"])),
        ("tokenizer.ggml.bos_token_id", _UINT32, 128000),
        ("tokenizer.ggml.eos_token_id", _UINT32, EOS),
        ("tokenizer.ggml.add_bos_token", _BOOL, False),
    ]


def _vocabulary() -> tuple[list[str], list[int]]:
    """Bytes as GPT-2 writes them, then fillers, so that the real ids keep their place."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    signs = {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + number) for number, byte in enumerate(others)
    }
    names = [signs[byte] for byte in range(256)]
    names += [SPECIAL.get(number, f"<|filler_{number}|>") for number in range(256, VOCABULARY)]
    names[LAUGH] = "<laugh>"
    kinds = [_NORMAL] * 256 + [_USER_DEFINED] * (128000 - 256) + [_CONTROL] * (VOCABULARY - 128000)
    kinds[LAUGH] = _USER_DEFINED
    return names, kinds


def _file(values: list[tuple[str, int, Any]], tensors: dict[str, Any]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for name, kind, value in values:
        head += _text(name) + struct.pack("<I", kind) + _value(kind, value)
    body = bytearray()
    for name, tensor in tensors.items():
        dimensions = tensor.shape[::-1]
        head += _text(name) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
        head += struct.pack("<IQ", 0, len(body))  # 0 = 32-bit floats
        body += tensor.tobytes()
        body += bytes(-len(body) % _ALIGNMENT)
    return head + bytes(-len(head) % _ALIGNMENT) + bytes(body)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    if kind == _ARRAY:
        inner, items = value
        return struct.pack("<IQ", inner, len(items)) + b"".join(_value(inner, item) for item in items)
    return struct.pack({_UINT32: "<I", _INT32: "<i", _FLOAT32: "<f", _BOOL: "<?"}[kind], value)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
