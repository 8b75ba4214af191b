"""An engine of ours called directly: no daemon, no link, no other process.

    python engine.py OVERLAY ENGINE MODEL FOLDER [RECORDING]

OVERLAY is a folder of packages, or empty; RECORDING makes the voice where there is one. OMP_NUM_THREADS counts.
Then each line of the input is a JSON map with text, language, voice and description, and is answered by one with
milliseconds to the first audio and to the end, and seconds of audio.
"""

import importlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main() -> None:
    overlay, name, model, folder, *recording = sys.argv[1:]
    if overlay:
        sys.path.insert(0, overlay)
    # After the path: an engine's packages are the overlay's.
    from voiced.child.worker import ENGINES
    from voiced.engines.base import LoadSettings, Reference
    from voiced.models.catalogue import find_spec

    spec = find_spec(model)
    assert spec is not None
    # What a daemon takes on a CPU that nobody told otherwise.
    settings = LoadSettings(
        model=model, precision=spec.precisions[0], threads=int(os.environ["OMP_NUM_THREADS"])
    )
    module, engine_class = ENGINES[name]
    engine = getattr(importlib.import_module(module), engine_class)()
    for _ in engine.load(Path(folder), settings):
        pass
    prompt = None
    if recording:
        import soundfile

        samples, rate_hz = soundfile.read(recording[0], dtype="float32")
        prompt = engine.make_voice([Reference(samples, rate_hz, "What is said.")])
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_speak(engine, json.loads(line), prompt)), flush=True)


def _speak(engine: Any, asked: dict[str, Any], prompt: Any) -> dict[str, float]:
    from voiced.engines.base import SegmentRequest

    request = SegmentRequest(**{"place": 0, "seed": 1, "prompt": prompt, **asked})
    began = time.perf_counter()
    first_s = samples = 0.0
    for _, chunk in engine.speak([request], threading.Event()):
        first_s = first_s or time.perf_counter() - began
        samples += len(chunk)
    whole_s = time.perf_counter() - began
    audio_s = samples / engine.capabilities.sample_rate_hz
    return {"first_ms": first_s * 1000, "whole_ms": whole_s * 1000, "audio_s": audio_s}


if __name__ == "__main__":
    main()
