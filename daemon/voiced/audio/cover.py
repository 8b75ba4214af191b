"""A picture that goes into a file as it is: looked at, never decoded."""

import base64
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 10 << 20
"""FLAC and ID3 end at 16 MiB; nobody sees the difference."""
_MAX_SIDE = 10_000
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_FRAME_STARTS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that say how large the picture is: those of ITU T.81, table B.1, that start a frame."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without anything behind them."""
_FRONT_COVER = 3


class Cover(NamedTuple):
    """A picture."""

    data: bytes
    media_type: str
    """`image/jpeg` or `image/png`."""
    width: int
    height: int
    depth_bits: int
    """Of one pixel."""


class NoCover(ValueError):
    """It cannot be a cover; the message says why."""


def read_cover(path: Path) -> Cover:
    """Return the picture in a file.

    Raises:
        NoCover: If it cannot be read, is too large, or is no JPEG or PNG.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise NoCover(f"it cannot be read ({error.strerror or error})") from error
    if len(data) > MAX_BYTES:
        raise NoCover(f"it is larger than {MAX_BYTES >> 20} MiB")
    cover = _as_png(data) if data.startswith(_PNG) else _as_jpeg(data)
    if cover is None:
        raise NoCover("it is no JPEG and no PNG")
    if not (0 < cover.width <= _MAX_SIDE and 0 < cover.height <= _MAX_SIDE):
        raise NoCover(f"{cover.width} x {cover.height} is no size for it; at most {_MAX_SIDE} a side")
    return cover


def picture_block(cover: Cover) -> str:
    """Return what the Vorbis comment `METADATA_BLOCK_PICTURE` holds: FLAC's block (RFC 9639, 8.8) in base64."""
    kind = cover.media_type.encode()
    head = struct.pack(">II", _FRONT_COVER, len(kind)) + kind + struct.pack(">I", 0)
    facts = struct.pack(">IIIII", cover.width, cover.height, cover.depth_bits, 0, len(cover.data))
    return base64.b64encode(head + facts + cover.data).decode()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NoCover("it is no regular file")
        return file.read(MAX_BYTES + 1)


def _as_png(data: bytes) -> Cover | None:
    if len(data) < 33 or data[12:16] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour, 0)  # PNG, 11.2.1; a palette holds RGB
    return Cover(data, "image/png", width, height, channels * (8 if colour == 3 else bits))


def _as_jpeg(data: bytes) -> Cover | None:
    """Walk from marker to marker up to the one that tells the size."""
    place = 2
    if not data.startswith(_JPEG):
        return None
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
        elif marker in _ALONE:
            place += 2
        elif marker in _FRAME_STARTS:
            if place + 10 > len(data):
                return None
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            return Cover(data, "image/jpeg", width, height, bits * channels)
        else:
            place += 2 + max(2, struct.unpack_from(">H", data, place + 2)[0])
    return None
