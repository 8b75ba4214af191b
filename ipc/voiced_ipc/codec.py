"""Frames to message and back: the only module that knows msgpack.

A message is two or three ZeroMQ frames: the protocol tag, the header (a msgpack map with the field `type`),
and, where the message has one, the payload (text or audio, never inside the header). Events have the type
once more as a first frame, so that a subscriber can choose. Headers are small and are unpacked under tight
limits: a hostile one costs a few milliseconds and one error reply, never memory.
"""

import sys
from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import msgpack

if "typing_extensions" not in sys.modules:
    # msgspec takes typing's own names where typing_extensions is missing; on Python 3.11 they are the same,
    # and every `voiced` command starts 7 ms sooner.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec

    del sys.modules["typing_extensions"]
else:
    import msgspec

from voiced_ipc.errors import MalformedMessage, UnknownMessage, VersionMismatch
from voiced_ipc.messages import (
    EVENTS,
    PROTOCOL_TAG,
    REPLIES,
    REQUESTS,
    Event,
    Reply,
    Request,
    tag_of,
)

_Message = TypeVar("_Message", bound=msgspec.Struct)

MAX_HEADER_BYTES = 256 * 1024
"""Greatest header: a page of 200 jobs with long names fits."""
_REQUEST_HEADER_BYTES = 64 * 1024
_MAX_DEPTH = 8
# Ours go out by msgspec's own encoder, in a fifth of the time; what comes in goes through msgpack, which has limits.
_ENCODER = msgspec.msgpack.Encoder()

_REQUEST_TYPES: dict[str, type[Request]] = {tag_of(cls): cls for cls in REQUESTS}
_REPLY_TYPES: dict[str, type[Reply]] = {tag_of(cls): cls for cls in REPLIES}
_EVENT_TYPES: dict[str, type[Event]] = {tag_of(cls): cls for cls in EVENTS}


class Incoming(NamedTuple):
    """A decoded request and its payload."""

    request: Request
    payload: bytes


def encode(message: Request | Reply, payload: bytes | memoryview | None = None) -> list[bytes | memoryview]:
    """Return the frames of a request or a reply."""
    frames: list[bytes | memoryview] = [PROTOCOL_TAG, pack_header(message)]
    if payload is not None:
        frames.append(payload)
    return frames


def encode_event(event: Event) -> list[bytes]:
    """Return the frames of an event: its type, the protocol tag, the header."""
    return [tag_of(type(event)).encode(), PROTOCOL_TAG, pack_header(event)]


def pack_header(message: msgspec.Struct) -> bytes:
    """Return the msgpack map of a message; bytes of a name that are no UTF-8 become escapes."""
    try:
        return _ENCODER.encode(message)
    except UnicodeEncodeError:
        packed = msgpack.packb(msgspec.to_builtins(message), unicode_errors="backslashreplace")
        assert isinstance(packed, bytes)
        return packed


def decode_request(frames: Sequence[bytes]) -> Incoming:
    """Return the request in `frames` (without the peer's identity).

    Raises:
        VersionMismatch: If the tag is another protocol's.
        MalformedMessage: If frames, msgpack or fields are wrong.
        UnknownMessage: If the verb is unknown.
    """
    header, payload = _split(frames)
    fields = unpack_header(header, limit=_REQUEST_HEADER_BYTES)
    if not _is_finite(fields):
        raise MalformedMessage("a number in the header is not finite")
    return Incoming(_convert(fields, _REQUEST_TYPES), payload)


def decode_reply(frames: Sequence[bytes]) -> tuple[Reply, bytes]:
    """Return the reply in `frames`, and its payload.

    Raises:
        VersionMismatch, MalformedMessage, UnknownMessage: As for requests.
    """
    header, payload = _split(frames)
    return _convert(unpack_header(header), _REPLY_TYPES), payload


def decode_event(frames: Sequence[bytes]) -> Event:
    """Return the event in `frames`; the first frame is its type.

    Raises:
        VersionMismatch, MalformedMessage, UnknownMessage: As for requests.
    """
    header, _ = _split(frames[1:])
    return _convert(unpack_header(header), _EVENT_TYPES)


def request_id_of(frames: Sequence[bytes]) -> str:
    """Return the request id in frames that may be broken in any way; empty where none can be read."""
    try:
        value = unpack_header(frames[1], limit=_REQUEST_HEADER_BYTES).get("request_id")
    except (MalformedMessage, IndexError):
        return ""
    return value if isinstance(value, str) and len(value) <= 64 else ""


def unpack_header(header: bytes, *, limit: int = MAX_HEADER_BYTES) -> dict[str, Any]:
    """Return the map in `header`.

    Raises:
        MalformedMessage: If it is too large, not one msgpack map with string keys, nested deeper than 8, or
            has a duplicated key or an extension type.
    """
    if len(header) > limit:
        raise MalformedMessage(f"the header has {len(header)} bytes; at most {limit} are allowed")
    try:
        fields = msgpack.unpackb(
            header,
            object_pairs_hook=_unique,
            max_array_len=256,
            max_map_len=64,
            max_str_len=64 * 1024,
            max_bin_len=64 * 1024,
            max_ext_len=0,
            timestamp=0,
        )
    except (ValueError, RecursionError, OverflowError) as error:
        raise MalformedMessage(f"the header is not proper msgpack: {error}") from error
    if not isinstance(fields, dict):
        raise MalformedMessage("the header is not a msgpack map")
    if _is_deep(fields, _MAX_DEPTH):
        raise MalformedMessage(f"the header is nested deeper than {_MAX_DEPTH}")
    return fields


def _split(frames: Sequence[bytes]) -> tuple[bytes, bytes]:
    if not frames or not frames[0].startswith(b"voiced/"):
        raise MalformedMessage(
            f"not a voiced message: the first frame must be {PROTOCOL_TAG.decode()}, "
            "then a msgpack header, then an optional payload"
        )
    if frames[0] != PROTOCOL_TAG:
        raise VersionMismatch(
            f"the peer speaks {_short(frames[0].decode(errors='replace'))}, "
            f"this side speaks {PROTOCOL_TAG.decode()}: update the older one"
        )
    if not 2 <= len(frames) <= 3:
        raise MalformedMessage(f"{len(frames)} frames; a message has a tag, a header and at most one payload")
    return frames[1], frames[2] if len(frames) == 3 else b""


def _convert(fields: dict[str, Any], types: dict[str, type[_Message]]) -> _Message:
    name = fields.get("type")
    cls = types.get(name) if isinstance(name, str) else None
    if cls is None:
        raise UnknownMessage(f"unknown verb {_short(name)}; this side speaks {PROTOCOL_TAG.decode()}")
    try:
        return msgspec.convert(fields, cls)
    except msgspec.ValidationError as error:
        raise MalformedMessage(f"{name}: {error}") from error


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    fields = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise ValueError("a key is not a string")
        if key in fields:
            raise ValueError(f"duplicated key {key[:40]!r}")
        fields[key] = value
    return fields


def _is_deep(value: object, left: int) -> bool:
    if isinstance(value, dict):
        return left == 0 or any(_is_deep(item, left - 1) for item in value.values())
    if isinstance(value, list):
        return left == 0 or any(_is_deep(item, left - 1) for item in value)
    return False


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(_is_finite(item) for item in value.values())
    return not isinstance(value, list) or all(_is_finite(item) for item in value)


def _short(value: object) -> str:
    return repr(value)[:60]
