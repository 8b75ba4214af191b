"""An ONNX voice gets its random numbers from outside, so that the same seed gives the same audio. Pure, on bytes.

A Piper voice draws noise inside its graph (`RandomNormalLike`), and onnxruntime seeds that once for a session: what
a segment sounds like would depend on what was spoken before it. Here each such node becomes a few that take their
numbers from one more input, `voiced_noise`, over and over where they need more than it holds. Field numbers are
those of onnx.proto; the weights pass through untouched.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

NOISE_INPUT = "voiced_noise"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT = 1, 5, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 1, 2, 3, 6, 11
FLOAT, INT64 = 1, 7
_DRAWS = "RandomNormalLike"
_RANDOM = frozenset(
    (_DRAWS, "RandomNormal", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)
_USUAL = {b"mean": b"\0\0\0\0", b"scale": b"\0\0\x80\x3f"}
"""Attributes of a draw as this module makes it: 0 and 1 as little-endian floats."""
_APART = 1_000_003
"""How far apart in the noise two nodes begin; a prime, so that they do not meet soon when it repeats."""


class Field(NamedTuple):
    """A field of a protobuf message."""

    number: int
    value: memoryview | int
    raw: memoryview
    """The whole field as it stands in the message."""


class SeededModel(NamedTuple):
    """A voice's graph, and whether its noise is now all from outside."""

    model: bytes
    draws: int
    """Nodes that take their numbers from `voiced_noise`; 0 = the model has no such input."""
    is_repeatable: bool


def varint(value: int) -> bytes:
    """Return an unsigned number as protobuf writes it."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def field(number: int, value: bytes | memoryview | str | int) -> bytes:
    """Return a field: a message, a text or a number."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _BYTES) + varint(len(raw)) + raw


def fields(message: memoryview) -> Iterator[Field]:
    """Return the fields of a message in order.

    Raises:
        ValueError: If it is no protobuf message.
    """
    place = 0
    while place < len(message):
        start = place
        key, place = _read_varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _read_varint(message, place)
            yield Field(number, value, message[start:place])
            continue
        size = _FIXED_BYTES.get(kind, 0)
        if kind == _BYTES:
            size, place = _read_varint(message, place)
        elif not size:
            raise ValueError("no protobuf message")
        end = place + size
        if end > len(message):
            raise ValueError("a protobuf message that ends too early")
        yield Field(number, message[place:end], message[start:end])
        place = end


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("a protobuf number that does not end")


def node(op: str, inputs: Sequence[str], output: str) -> bytes:
    """Return a node without attributes, as a field of a graph."""
    parts = [field(_NODE_INPUT, name) for name in inputs]
    return field(_GRAPH_NODE, b"".join([*parts, field(_NODE_OUTPUT, output), field(_NODE_OP, op)]))


def integers(name: str, values: Sequence[int], *, is_scalar: bool = False) -> bytes:
    """Return a constant of whole numbers that are not negative, as a field of a graph."""
    shape = b"" if is_scalar else field(1, len(values))
    raw = b"".join(value.to_bytes(8, "little") for value in values)
    return field(_GRAPH_INITIALIZER, shape + field(2, INT64) + field(8, name) + field(9, raw))


def value_info(name: str, kind: int, shape: Sequence[str | int]) -> bytes:
    """Return a named tensor's type, such as a graph's input is declared with.

    Args:
        name: Of the tensor.
        kind: `FLOAT` or `INT64`.
        shape: A number for a known dimension, a name for another.
    """
    dims = b"".join(field(1, field(1 if isinstance(dim, int) else 2, dim)) for dim in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def seeded(model: bytes) -> SeededModel:
    """Return the model with its noise as an input.

    Args:
        model: The ONNX file.

    Raises:
        ValueError: If it is no ONNX file.
    """
    parts: list[bytes | memoryview] = []
    draws, left = 0, 0
    for found in fields(memoryview(model)):
        if found.number == _MODEL_GRAPH and isinstance(found.value, memoryview):
            graph, draws, left = _seeded_graph(found.value)
            parts.append(field(_MODEL_GRAPH, graph))
        else:
            parts.append(found.raw)
    if not draws:
        return SeededModel(model, 0, not left)
    return SeededModel(b"".join(parts), draws, not left)


def _seeded_graph(graph: memoryview) -> tuple[bytes, int, int]:
    """Return the graph, how many nodes were replaced, and how many that draw numbers were left."""
    parts: list[bytes | memoryview] = []
    draws = left = 0
    for found in fields(graph):
        if (
            found.number != _GRAPH_NODE
            or not isinstance(found.value, memoryview)
            or not _may_draw(found.value)
        ):
            parts.append(found.raw)
        elif (ends := _plain_draw(found.value)) is not None:
            parts.append(_taken(*ends, draws))
            draws += 1
        else:
            left += sum(op in _RANDOM for op in _ops(found.value))
            parts.append(found.raw)
    if draws:
        parts.append(field(_GRAPH_INPUT, value_info(NOISE_INPUT, FLOAT, ["noise"])))
        parts.append(integers(_own("zero"), [0], is_scalar=True))
        parts.append(integers(_own("one"), [1], is_scalar=True))
    return b"".join(parts), draws, left


def _may_draw(message: memoryview) -> bool:
    """Looking at the bytes is quick, and a voice has thousands of nodes."""
    raw = bytes(message)
    return any(word in raw for word in (b"Random", b"Multinomial", b"Bernoulli"))


def _plain_draw(message: memoryview) -> tuple[str, str] | None:
    """Return the input and the output of a node that draws of mean 0 and scale 1; None = it is another node."""
    names: dict[int, str] = {}
    for found in fields(message):
        if isinstance(found.value, int):
            continue
        if found.number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OP):
            names[found.number] = bytes(found.value).decode()
        elif found.number == _NODE_ATTRIBUTE and _is_unusual(found.value):
            return None
    return (names[_NODE_INPUT], names[_NODE_OUTPUT]) if names.get(_NODE_OP) == _DRAWS else None


def _is_unusual(attribute: memoryview) -> bool:
    """Exporters write the usual values out, too."""
    parts = {found.number: found.value for found in fields(attribute)}
    name = bytes(value) if isinstance(value := parts.get(_ATTRIBUTE_NAME), memoryview) else b""
    if name == b"dtype":
        return parts.get(_ATTRIBUTE_INT) != FLOAT
    usual = _USUAL.get(name)
    return usual is not None and parts.get(_ATTRIBUTE_FLOAT, usual) != usual


def _ops(message: memoryview) -> Iterator[str]:
    """The operator of a node, and those of the graphs inside its attributes."""
    for found in fields(message):
        if isinstance(found.value, int):
            continue
        if found.number == _NODE_OP:
            yield bytes(found.value).decode()
        elif found.number == _NODE_ATTRIBUTE:
            for part in fields(found.value):
                if part.number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS) and not isinstance(part.value, int):
                    for inner in fields(part.value):
                        if inner.number == _GRAPH_NODE and not isinstance(inner.value, int):
                            yield from _ops(inner.value)


def _own(name: str) -> str:
    return f"{NOISE_INPUT}/{name}"


def _taken(like: str, output: str, place: int) -> bytes:
    """Nodes that give `output` the shape of `like` and numbers of the noise, from a place of their own on."""

    def name(part: str) -> str:
        return _own(f"{place}/{part}")

    return b"".join(
        (
            integers(name("start"), [_APART * place], is_scalar=True),
            node("Shape", [like], name("shape")),
            node("Size", [like], name("size")),
            node("Range", [_own("zero"), name("size"), _own("one")], name("range")),
            node("Add", [name("range"), name("start")], name("places")),
            node("Size", [NOISE_INPUT], name("length")),
            node("Mod", [name("places"), name("length")], name("indices")),
            node("Gather", [NOISE_INPUT, name("indices")], name("flat")),
            node("Reshape", [name("flat"), name("shape")], output),
        )
    )
