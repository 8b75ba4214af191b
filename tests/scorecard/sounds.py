"""Audio files as anybody would look at them: whether they are whole, and what is in them."""

import hashlib
import struct
from pathlib import Path

from tests.scorecard.leftovers import below

SUFFIXES = (".wav", ".flac")
_FLAC_INFO = slice(8, 42)
"""STREAMINFO, after the mark and the block's header: RFC 9639, 8.2."""


def visible(audio: Path) -> dict[str, Path]:
    """Return what lies under a final name, by its path below `audio`; our own hidden folder is left out."""
    found = {str(path.relative_to(audio)): path for path in below(audio) if path.is_file()}
    return {name: path for name, path in found.items() if not name.startswith(".")}


def digests(audio: Path) -> dict[str, str]:
    """Return the digests of all visible files."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in visible(audio).items()}


def fault_of(path: Path) -> str:
    """Return what is torn about an audio file: its header must tell exactly the data that follows; empty = nothing."""
    data = path.read_bytes()
    if path.suffix == ".wav":
        return _wav_fault(data)
    if path.suffix == ".flac":
        return _flac_fault(data, path)
    return f"{path.suffix} is no audio"


def _wav_fault(data: bytes) -> str:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return f"{len(data)} bytes without a wav header"
    (riff_bytes,) = struct.unpack("<I", data[4:8])
    if riff_bytes + 8 != len(data):
        return f"the header tells of {riff_bytes + 8} bytes, {len(data)} are there"
    chunks, place = {}, 12
    while place + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[place : place + 8])
        chunks[name] = size
        place += 8 + size
    if place != len(data) or not chunks.get(b"data"):
        return f"the chunks {chunks} end at byte {place} of {len(data)}, or there is no sound"
    return ""


def _flac_fault(data: bytes, path: Path) -> str:
    import soundfile

    if data[:4] != b"fLaC":
        return f"{len(data)} bytes without a flac header"
    info = data[_FLAC_INFO]
    told = int.from_bytes(info[10:18]) & (1 << 36) - 1
    try:
        samples, _ = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError as error:
        return str(error)
    if not told or len(samples) != told:
        return f"the header tells of {told} samples, {len(samples)} are there"
    digest = hashlib.md5(samples.tobytes(), usedforsecurity=False).digest()
    return "" if digest == info[18:34] else "the digest in the header is another"
