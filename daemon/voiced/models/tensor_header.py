"""The head of a safetensors file, read with suspicion: a file of a cache may hold anything. Needs no numpy."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

MAX_HEADER_BYTES = 256 << 10
"""A voice's prompt has a handful of tensors, and its words."""
MAX_DIMENSIONS = 8

ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "F32": 4,
    "I64": 8,
    "F64": 8,
}
"""The types of the format that are used here."""


class TensorPlace(NamedTuple):
    """One tensor of a file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """First byte, counted from the end of the header."""
    end: int


class TensorHeader(NamedTuple):
    """What a file says of itself."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorPlace]
    data_start: int
    """Where the tensors begin in the file."""
    data_bytes: int


def read_header(path: Path) -> TensorHeader:
    """Return the header of a file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no safetensors file, cut off, or its tensors do not fill it exactly.
    """
    with path.open("rb") as file:
        return header_of(file)


def header_of(file: BinaryIO) -> TensorHeader:
    """Return the header of an open file, and leave it where the tensors begin; see `read_header`."""
    length = int.from_bytes(file.read(8), "little")
    size = file.seek(0, 2)
    file.seek(8)
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise ValueError("its header is cut off or beyond all measure")
    try:
        fields = json.loads(file.read(length))
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError("its header is no JSON") from error
    if not isinstance(fields, dict):
        raise ValueError("its header is no table")
    metadata = fields.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its header has no table of words")
    tensors = {name: _place(place) for name, place in fields.items()}
    data_start = 8 + length
    _check_filled(tensors, size - data_start)
    return TensorHeader(metadata, tensors, data_start, size - data_start)


def _place(fields: Any) -> TensorPlace:
    try:
        dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
        start, end = offsets
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError("a tensor has no place in it") from error
    numbers = [start, end, *(shape if isinstance(shape, list) else [None])]
    if not all(type(number) is int and 0 <= number < 1 << 40 for number in numbers):
        raise ValueError("a tensor has a place that is none")
    if dtype not in ITEM_BYTES or len(shape) > MAX_DIMENSIONS:
        raise ValueError("a tensor has a type or shape that is not used here")
    if math.prod(shape) * ITEM_BYTES[dtype] != end - start:
        raise ValueError("a tensor is not as long as its shape")
    return TensorPlace(dtype, tuple(shape), start, end)


def _check_filled(tensors: Mapping[str, TensorPlace], data_bytes: int) -> None:
    """Tensors lie one after the other, without gaps: nothing is hidden, and nothing read twice."""
    end = 0
    for place in sorted(tensors.values(), key=lambda place: (place.start, place.end)):
        if place.start != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = place.end
    if end != data_bytes:
        raise ValueError("it is cut off, or has more than its tensors")
