"""A program of its own, run with Kokoro's packages on the path and the network denied: ours against upstream's.

Prints the greatest difference between the audio of `KokoroEngine` and of the package's own loader and call, over the
same phonemes, voice and seed. Fails where words begin elsewhere than upstream's durations say.
"""

import re
import sys
import threading
from pathlib import Path

SAMPLES_PER_FRAME = 600
"""Of the durations that upstream tells: its timestamps divide them by 40."""


def main(published: Path, converted: Path) -> None:
    """Compare a published folder, as upstream reads it, with a converted one."""
    sys.addaudithook(_deny)
    import numpy as np
    import torch

    from voiced.engines.base import Heard, LoadSettings, SegmentRequest
    from voiced.engines.kokoro import KokoroEngine
    from voiced.engines.kokoro_phonemes import Phonemizer

    text, voice, seed = "Hello world, this is a test.", "am_adam", 7
    engine = KokoroEngine()
    for _ in engine.load(converted, LoadSettings(model="kokoro", threads=2)):
        pass
    request = SegmentRequest(0, text, "en-US", voice, seed, tells_words=True)
    *chunks, heard = (chunk for _, chunk in engine.speak([request], threading.Event()))
    assert isinstance(heard, Heard)
    ours = np.concatenate(chunks)

    from kokoro.model import KModel

    upstream = KModel(
        repo_id="local", config=str(published / "config.json"), model=str(published / "kokoro-v1_0.pth")
    ).eval()
    table = torch.load(published / "voices" / f"{voice}.pt", weights_only=True)
    phonemes = Phonemizer().pronounce(text, "en-US", upstream.vocab).symbols
    torch.manual_seed(seed)
    told = upstream(phonemes, table[len(phonemes) - 1], 1.0, return_output=True)
    theirs = told.audio.numpy()
    begins = np.cumsum(told.pred_dur.numpy())[:-2] * SAMPLES_PER_FRAME
    words = zip(re.finditer(r"\S+", text), re.finditer(r"\S+", phonemes), strict=True)
    assert [tuple(word) for word in heard.words] == [
        (written.start(), begins[symbol.start()]) for written, symbol in words
    ]
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    print(float(np.abs(ours - theirs).max()), float(np.abs(theirs).max()))


def _deny(event: str, arguments: object) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError(f"the network was asked: {event}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
