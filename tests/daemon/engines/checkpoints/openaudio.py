"""A tiny random OpenAudio S1 in the published layout: 27 MB, the codec with every part of the published one.

`python -m tests.daemon.engines.checkpoints.openaudio FOLDER [END]`, with the overlay on PYTHONPATH.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import torch

WIDTH = 64
POISON = "#"
"""A character whose embedding is no number."""
END = "<|im_end|>"
SEMANTIC = 4096


def build(folder: Path, end: float = 28.0) -> None:
    """Write a checkpoint.

    Args:
        folder: Made if it is not there.
        end: How likely the end is: 28 after some ten frames, 0 hardly ever.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    _write_tokenizer(folder)
    with torch.no_grad():
        _write_model(folder, end)
        torch.save(small_codec().state_dict(), folder / "codec.pth")


def _special() -> list[str]:
    from fish_speech.tokenizer import ALL_SPECIAL_TOKENS

    plain = [token for token in ALL_SPECIAL_TOKENS if not token.startswith("<|semantic")]
    return [*plain, *(f"<|semantic:{number}|>" for number in range(SEMANTIC))]


def _write_tokenizer(folder: Path) -> None:
    from voiced.engines import openaudio_package  # noqa: F401 - fish_speech can be imported after it

    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)]
    (folder / "tokenizer.tiktoken").write_text("".join(lines))
    special = {token: 256 + place for place, token in enumerate(_special())}
    (folder / "special_tokens.json").write_text(json.dumps(special))


def _write_model(folder: Path, end: float) -> None:
    from fish_speech.models.text2semantic.llama import DualARModelArgs

    from voiced.engines.openaudio_package import DualARTransformer, FishTokenizer

    tokenizer = FishTokenizer.from_pretrained(str(folder))
    settings = DualARModelArgs(
        vocab_size=256 + len(_special()),
        n_layer=2,
        n_head=4,
        n_local_heads=2,
        head_dim=16,
        dim=WIDTH,
        intermediate_size=128,
        max_seq_len=8192,
        codebook_size=SEMANTIC,
        num_codebooks=10,
        n_fast_layer=1,
        tie_word_embeddings=False,
        attention_qk_norm=True,
        fast_attention_qk_norm=False,
        rope_base=1000000,
        initializer_range=0.2,
    )
    model = DualARTransformer(settings, tokenizer=tokenizer)
    model.embeddings.weight[ord(POISON)] = float("nan")
    # One direction of the width is the same everywhere: a weight on it is a bias. A word is never said.
    _make_constant(model)
    model.output.weight[: tokenizer.semantic_begin_id, 0] = -1000
    model.output.weight[tokenizer.get_token_id(END)] = 0
    model.output.weight[tokenizer.get_token_id(END), 0] = end
    settings.save(str(folder / "config.json"))
    torch.save(model.state_dict(), folder / "model.pth")


def _make_constant(model: Any) -> None:
    model.embeddings.weight[:, 0] = 1
    model.embeddings.weight[ord(POISON)] = float("nan")
    model.codebook_embeddings.weight[:, 0] = 0
    for layer in model.layers:
        layer.attention.wo.weight[0] = 0
        layer.feed_forward.w2.weight[0] = 0


def small_codec() -> Any:
    """The published codec with fewer and narrower layers; its layer scales are louder, so that attention is heard."""
    from voiced.engines.openaudio_package import (
        DAC,
        DownsampleResidualVectorQuantize,
        ModelArgs,
        WindowLimitedTransformer,
    )

    def attention(**sizes: int) -> Any:
        return ModelArgs(**({"block_size": 2048, "head_dim": 64, "rope_base": 10000} | sizes))

    def window() -> Any:
        sizes = attention(n_layer=2, n_head=WIDTH // 64, dim=WIDTH, intermediate_size=3 * WIDTH)
        return WindowLimitedTransformer(sizes, input_dim=WIDTH, window_size=128, causal=True)

    quantizer = DownsampleResidualVectorQuantize(
        input_dim=WIDTH,
        n_codebooks=9,
        codebook_size=1024,
        codebook_dim=8,
        downsample_factor=[2, 2],
        pre_module=window(),
        post_module=window(),
        semantic_codebook_size=SEMANTIC,
    )
    codec = DAC(
        encoder_dim=4,
        encoder_rates=[2, 4, 8, 8],
        decoder_dim=64,
        decoder_rates=[8, 8, 4, 2],
        encoder_transformer_layers=[0, 0, 0, 1],
        decoder_transformer_layers=[4, 0, 0, 0],
        transformer_general_config=attention,
        quantizer=quantizer,
        latent_dim=WIDTH,
        causal=True,
    )
    for name, parameter in codec.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(0.3)
    return codec


if __name__ == "__main__":
    build(Path(sys.argv[1]), *map(float, sys.argv[2:3]))
