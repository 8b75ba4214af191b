"""A look at the files that an engine will read, before a model is installed."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from voiced.child.weight_values import Refused, WeightValues

_CHUNK_BYTES = 16 << 20
_MAX_CONFIG_BYTES = 1 << 20
_MAX_JSON_BYTES = 64 << 20
"""Tokenizers have up to some 20 MB."""


def check_file(file: Path, moved: Callable[[int], None]) -> None:
    """Look at a file that an engine will read.

    Raises:
        Refused: If it is not what its name says.
        Exception: Whatever a library makes of a damaged file.
    """
    suffix = file.suffix.lower()
    size = file.stat().st_size
    if suffix == ".safetensors":
        _check_safetensors(file, moved)
    elif suffix == ".json":
        limit = _MAX_CONFIG_BYTES if file.name == "config.json" else _MAX_JSON_BYTES
        if size > limit:
            raise Refused(f"it has {size} bytes; at most {limit} are allowed")
        document = json.loads(file.read_bytes())
        if file.name == "config.json" and not isinstance(document, dict):
            raise Refused("it is no configuration")
    elif suffix == ".gguf":
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise Refused("it is no GGUF file")
    elif suffix == ".onnx" and not size:
        raise Refused("it is empty")


class _Stored(NamedTuple):
    """A tensor in a file."""

    begin: int
    end: int
    """Its bytes, counted from the beginning of the file."""
    name: str
    kind: str


def _check_safetensors(file: Path, moved: Callable[[int], None]) -> None:
    tensors = _tensors(file)
    with file.open("rb") as opened:
        for tensor in tensors:
            values = WeightValues(tensor.name, tensor.kind)
            opened.seek(tensor.begin)
            for size in _sizes(tensor.end - tensor.begin):
                values.look(opened.read(size))
                moved(size)


def _tensors(file: Path) -> list[_Stored]:
    """Return what a file holds, in its order."""
    from safetensors import safe_open

    # The package finds what is wrong with the header and the length.
    with safe_open(file, framework="np") as opened:
        names = set(opened.keys())
    if not names:
        raise Refused("it holds no tensor")
    with file.open("rb") as plain:
        (length,) = struct.unpack("<Q", plain.read(8))
        header = json.loads(plain.read(length))
    data = 8 + length
    fields = ((name, header[name]["dtype"], *header[name]["data_offsets"]) for name in names)
    return sorted(_Stored(data + begin, data + end, name, kind) for name, kind, begin, end in fields)


def _sizes(total: int) -> Iterator[int]:
    for done in range(0, total, _CHUNK_BYTES):
        yield min(_CHUNK_BYTES, total - done)
