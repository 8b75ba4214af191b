"""Piper's own package called directly: one process, one thread that asks.

    python piper_voice.py OVERLAY GRAPH

Each line of the input is a JSON map with text and times. It is spoken so often and answered by a map with
milliseconds to the first audio and to the end of the last, and utterances per second.
"""

import json
import sys
import time


def main() -> None:
    overlay, graph = sys.argv[1:]
    sys.path.insert(0, overlay)
    from piper import PiperVoice

    voice = PiperVoice.load(graph)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        all_began = time.perf_counter()
        for _ in range(asked["times"]):
            began = time.perf_counter()
            first_s = 0.0
            for chunk in voice.synthesize(asked["text"]):
                first_s = first_s or time.perf_counter() - began
                _ = chunk.audio_int16_bytes  # what a server would send
            whole_s = time.perf_counter() - began
        per_s = asked["times"] / (time.perf_counter() - all_began)
        print(
            json.dumps({"first_ms": first_s * 1000, "whole_ms": whole_s * 1000, "per_s": per_s}), flush=True
        )


if __name__ == "__main__":
    main()
