"""Finished files as other programs read them."""

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from numpy.typing import NDArray

Samples = NDArray[np.float32]

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffprobe") is None or shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"
)


class Sound(NamedTuple):
    """What a decoder gives."""

    samples: Samples
    sample_rate_hz: int


def decoded(path: Path) -> Sound:
    """Return the sound of a file by FFmpeg's libraries, full scale at 1."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono")
        parts = [
            part.to_ndarray()[0] for frame in container.decode(stream) for part in resampler.resample(frame)
        ]
        return Sound(np.concatenate(parts).astype(np.float32), stream.rate)


def probe(path: Path) -> dict[str, Any]:
    """Return what ffprobe tells of a file."""
    asked = ("-show_format", "-show_streams", "-show_chapters", "-of", "json")
    done = subprocess.run(
        ["ffprobe", "-v", "error", *asked, str(path)], check=True, capture_output=True, timeout=60
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def tags_of(told: dict[str, Any]) -> dict[str, str]:
    """Return the tags that ffprobe found, whether it counts them to the file or to its sound."""
    sound = next(stream for stream in told["streams"] if stream["codec_type"] == "audio")
    tags = told["format"].get("tags", {}) | sound.get("tags", {})
    return {key.lower(): value for key, value in tags.items()}


def box(data: bytes, *names: bytes) -> bytes:
    """Return the content of an MP4 box inside boxes, the first of each name.

    Raises:
        KeyError: If there is none.
    """
    for name in names:
        place = 0
        while place + 8 <= len(data):
            size = int.from_bytes(data[place : place + 4], "big")
            if data[place + 4 : place + 8] == name:
                data = data[place + 8 : place + size]
                break
            place += max(size, 8)
        else:
            raise KeyError(name)
    return data


class WavSays(NamedTuple):
    """What the header of a WAV file declares."""

    sample_rate_hz: int
    channels: int
    data_bytes: int


def wav_says(header: bytes) -> WavSays:
    """Return what a header of ours says, by the offsets of its chunks: JUNK or ds64, fmt, data."""
    assert header[8:16] in (b"WAVEJUNK", b"WAVEds64")
    assert (header[48:52], header[72:76]) == (b"fmt ", b"data")
    channels, rate_hz = struct.unpack_from("<HI", header, 58)
    if header[:4] == b"RF64":
        assert header[4:8] == header[76:80] == b"\xff" * 4
        return WavSays(rate_hz, channels, struct.unpack_from("<Q", header, 28)[0])
    assert header[:4] == b"RIFF"
    return WavSays(rate_hz, channels, struct.unpack_from("<I", header, 76)[0])
