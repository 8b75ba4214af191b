"""The header of a WAV file as bytes: always of the same length, so that it can be written last.

Up to 4 GiB the file is plain RIFF with a JUNK chunk; beyond, that chunk becomes the `ds64` of RF64 (EBU Tech 3306)
and nothing moves. Imports no audio library; any thread, any process.
"""

import struct

from voiced.audio.pcm import SAMPLE_BYTES
from voiced.audio.tags import Tags, neat

WAV_HEADER_BYTES = 80
_DS64_BYTES = 28
_UNKNOWN = 0xFFFF_FFFF
_PCM = 1


def wav_header(data_bytes: int, sample_rate_hz: int, channels: int = 1, trailer_bytes: int = 0) -> bytes:
    """Return the `WAV_HEADER_BYTES` before `data_bytes` of PCM s16le.

    Args:
        data_bytes: Size of the sound.
        sample_rate_hz: Frames a second.
        channels: Samples in a frame.
        trailer_bytes: Size of what follows the sound, as `wav_trailer` makes it.
    """
    riff_bytes = WAV_HEADER_BYTES - 8 + data_bytes + trailer_bytes
    frame_bytes = SAMPLE_BYTES * channels
    fmt = struct.pack(
        "<4sIHHIIHH",
        *(
            b"fmt ",
            16,
            _PCM,
            channels,
            sample_rate_hz,
            sample_rate_hz * frame_bytes,
            frame_bytes,
            SAMPLE_BYTES * 8,
        ),
    )
    if riff_bytes < _UNKNOWN:
        start = struct.pack("<4sI4s4sI28x", b"RIFF", riff_bytes, b"WAVE", b"JUNK", _DS64_BYTES)
        return start + fmt + struct.pack("<4sI", b"data", data_bytes)
    start = struct.pack("<4sI4s4sI", b"RF64", _UNKNOWN, b"WAVE", b"ds64", _DS64_BYTES)
    sizes = struct.pack("<QQQI", riff_bytes, data_bytes, data_bytes // frame_bytes, 0)
    return start + sizes + fmt + struct.pack("<4sI", b"data", _UNKNOWN)


def wav_trailer(tags: Tags) -> bytes:
    """Return the chunk after the sound that tells about it, in UTF-8; nothing where nothing is known."""
    told = {
        b"INAM": neat(tags.title),
        b"IART": neat(tags.author),
        b"IPRD": neat(tags.album),
        b"ILNG": neat(tags.language),
        b"ICMT": neat(tags.comment),
    }
    entries = b"".join(_entry(name, text) for name, text in told.items() if text)
    return struct.pack("<4sI4s", b"LIST", 4 + len(entries), b"INFO") + entries if entries else b""


def _entry(name: bytes, text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2)
