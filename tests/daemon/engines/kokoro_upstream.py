"""A program of its own, run with Kokoro's packages on the path and the network denied: ours against upstream's.

Prints the greatest difference between the audio of `KokoroEngine` and of the package's own loader and call, over the
same phonemes, voice and seed.
"""

import sys
import threading
from pathlib import Path


def main(published: Path, converted: Path) -> None:
    """Compare a published folder, as upstream reads it, with a converted one."""
    sys.addaudithook(_deny)
    import numpy as np
    import torch

    from voiced.engines.base import LoadSettings, SegmentRequest
    from voiced.engines.kokoro import KokoroEngine
    from voiced.engines.kokoro_phonemes import Phonemizer

    text, voice, seed = "Hello world, this is a test.", "am_adam", 7
    engine = KokoroEngine()
    for _ in engine.load(converted, LoadSettings(model="kokoro", threads=2)):
        pass
    request = SegmentRequest(0, text, "en-US", voice, seed)
    ours = np.concatenate([chunk for _, chunk in engine.speak([request], threading.Event())])

    from kokoro.model import KModel

    upstream = KModel(
        repo_id="local", config=str(published / "config.json"), model=str(published / "kokoro-v1_0.pth")
    ).eval()
    table = torch.load(published / "voices" / f"{voice}.pt", weights_only=True)
    phonemes = Phonemizer().symbols(text, "en-US", upstream.vocab)
    torch.manual_seed(seed)
    theirs = upstream(phonemes, table[len(phonemes) - 1], 1.0).numpy()
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    print(float(np.abs(ours - theirs).max()), float(np.abs(theirs).max()))


def _deny(event: str, arguments: object) -> None:
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError(f"the network was asked: {event}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
