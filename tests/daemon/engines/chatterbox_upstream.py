"""Compares the adapter with chatterbox-tts' own way, on the same weights; prints what came out, as JSON.

`python -m tests.daemon.engines.chatterbox_upstream PUBLISHED CONVERTED RECORDING.wav`, with the overlay on PYTHONPATH.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tests.daemon.engines.checkpoints.chatterbox import small_s3gen, small_t3
from voiced.engines.base import LoadSettings, Reference, SegmentRequest
from voiced.engines.chatterbox import ChatterboxEngine
from voiced.engines.chatterbox_package import ChatterboxTTS, perth
from voiced_ipc.errors import InvalidRequest, SynthesisFailed

TEXT, SEED = "Hello world.", 3


def _upstream(folder: Path) -> Any:
    """The package's own loading, with the two classes whose sizes it fixes replaced."""
    module: Any = sys.modules[ChatterboxTTS.__module__]
    module.T3, module.S3Gen = small_t3, small_s3gen
    return ChatterboxTTS.from_local(folder, "cpu")


def main() -> None:
    """Print the comparison."""
    published, converted, recording = map(Path, sys.argv[1:4])
    engine = ChatterboxEngine()
    for _ in engine.load(converted, LoadSettings(threads=1)):
        pass

    def ours(text: str = TEXT, **fields: Any) -> Any:
        request = SegmentRequest(0, text, "en", "", SEED, **fields)
        return np.concatenate([chunk for _, chunk in engine.speak([request], threading.Event())])

    samples, rate = soundfile.read(recording, dtype="float32")
    prompt = engine.make_voice([Reference(samples, rate)])
    plain, voiced = ours(), ours(prompt=prompt)
    upstream = _upstream(published)
    torch.manual_seed(SEED)
    their_plain = upstream.generate(TEXT).numpy()[0]
    torch.manual_seed(SEED)
    their_voiced = upstream.generate(TEXT, audio_prompt_path=str(recording)).numpy()[0]
    printed = {
        "samples": len(plain),
        "plain": _difference(plain, their_plain),
        "voiced": _difference(voiced, their_voiced),
        "voices": _difference(plain, voiced),
        "broken": _refused(SynthesisFailed, lambda: ours("He#llo.")),
        "after": bool(np.array_equal(ours(), plain)),
        "short": _refused(InvalidRequest, lambda: engine.make_voice([Reference(samples[:rate], rate)])),
        "silent": _refused(InvalidRequest, lambda: engine.make_voice([Reference(0 * samples, rate)])),
        # Random weights make sounds that drown any mark: what is seen is that one is put on.
        "marked": perth.PerthImplicitWatermarker is not None,
    }
    print(json.dumps(printed))


def _refused(error: type[Any], call: Any) -> str:
    try:
        call()
    except error as raised:
        return str(raised.message)
    return ""


def _difference(ours: Any, theirs: Any) -> float:
    """Greatest difference of samples; lengths that differ are 1."""
    return float(np.abs(ours - theirs).max()) if len(ours) == len(theirs) else 1.0


if __name__ == "__main__":
    main()
