"""Waiting for finished audio: the file itself is looked for, as a person would."""

import time
from pathlib import Path

from voiced.audio.wav import WAV_HEADER_BYTES

_LOOK_S = 0.0005
_RATE_HZ = 22050


def wait_for_file(path: Path, timeout_s: float) -> None:
    """Return when a file has appeared.

    Raises:
        TimeoutError: If it does not.
    """
    end = time.monotonic() + timeout_s
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path.name} did not appear within {timeout_s:g} s")
        time.sleep(_LOOK_S)


def audio_s(path: Path, header_bytes: int = WAV_HEADER_BYTES) -> float:
    """Return the seconds of audio in a WAV of espeak."""
    return (path.stat().st_size - header_bytes) / 2 / _RATE_HZ
