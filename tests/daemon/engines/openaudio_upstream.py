"""Compares the adapter with fish-speech's own way, on the same weights; prints what came out, as JSON.

`python -m tests.daemon.engines.openaudio_upstream PUBLISHED CONVERTED`, with the overlay on PYTHONPATH.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.daemon.engines.checkpoints.openaudio import small_codec
from voiced.engines.base import LoadSettings, Reference, SegmentRequest
from voiced.engines.openaudio import OpenAudioEngine
from voiced.engines.openaudio_package import DualARTransformer, inference
from voiced.engines.torch_setup import seed_all
from voiced_ipc.errors import SynthesisFailed

TEXT, SEED = "Hello world.", 2


def _theirs(folder: Path, prompt_text: list[str], prompt_tokens: list[torch.Tensor]) -> torch.Tensor:
    model = DualARTransformer.from_pretrained(str(folder), load_weights=True).eval()
    seed_all(SEED)
    made = inference.generate_long(
        model=model,
        device="cpu",
        decode_one_token=inference.decode_one_token_ar,
        text=TEXT,
        max_new_tokens=100,
        top_p=0.8,
        temperature=0.8,
        repetition_penalty=1.1,
        prompt_text=prompt_text,
        prompt_tokens=prompt_tokens,
    )
    codes: torch.Tensor = next(part.codes for part in made if part.action == "sample")
    return codes


def _their_audio(folder: Path, codes: torch.Tensor) -> Any:
    codec = small_codec().eval()
    codec.load_state_dict(torch.load(folder / "codec.pth", weights_only=True))
    with torch.inference_mode():
        return codec.decode(codes[None].long(), torch.tensor([codes.shape[1]]))[0][0, 0].numpy()


def _their_codes(folder: Path, samples: Any) -> torch.Tensor:
    codec = small_codec().eval()
    codec.load_state_dict(torch.load(folder / "codec.pth", weights_only=True))
    with torch.inference_mode():
        wave = torch.from_numpy(samples)[None, None]
        codes: torch.Tensor = codec.encode(wave, torch.tensor([len(samples)]))[0][0]
    return codes


def main() -> None:
    """Print the comparison."""
    published, converted = map(Path, sys.argv[1:3])
    engine = OpenAudioEngine()
    for _ in engine.load(converted, LoadSettings(threads=1)):
        pass

    def ours(text: str = TEXT, **fields: Any) -> list[Any]:
        request = SegmentRequest(0, text, "en", "", SEED, **fields)
        return [chunk for _, chunk in engine.speak([request], threading.Event())]

    rng = np.random.default_rng(0)
    samples = (0.2 * rng.standard_normal(4 * 44100)).astype(np.float32)
    prompt = engine.make_voice([Reference(samples, 44100, "What is said.")])
    codes = torch.from_numpy(prompt.tensors["codes.0"])
    plain, voiced = ours(), ours(prompt=prompt)
    their_plain = _their_audio(published, _theirs(published, [], []))
    their_voiced = _their_audio(published, _theirs(published, ["What is said."], [codes]))
    broken = ""
    try:
        ours("He#llo.")
    except SynthesisFailed as error:
        broken = error.message
    printed = {
        "chunks": [len(chunk) for chunk in plain],
        "plain": _difference(plain, their_plain),
        "voiced": _difference(voiced, their_voiced),
        "peak": float(np.abs(their_plain).max()),
        "encoded": torch.equal(codes, _their_codes(published, samples)),
        "broken": broken,
        "after": bool(np.array_equal(np.concatenate(ours()), np.concatenate(plain))),
    }
    print(json.dumps(printed))


def _difference(ours: list[Any], theirs: Any) -> float:
    """Greatest difference of samples; lengths that differ are 1."""
    whole = np.concatenate(ours)
    return float(np.abs(whole - theirs).max()) if len(whole) == len(theirs) else 1.0


if __name__ == "__main__":
    main()
