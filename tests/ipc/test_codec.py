"""Frames to messages and back: every message there is, and everything that is none."""

import contextlib
import math
from typing import Any, get_type_hints

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.errors import MalformedMessage, ProtocolError, UnknownMessage, VersionMismatch

REQUEST_ID = "a" * 22


def sample(cls: type[msgspec.Struct]) -> msgspec.Struct:
    """A value of a message class with something in every field."""
    hints = get_type_hints(cls, include_extras=True)
    return cls(**{field: _value(hints[field], field) for field in cls.__struct_fields__})


def _value(hint: Any, field: str) -> Any:
    for candidate in (1, 0.5, 1.5, REQUEST_ID, "cpu", True, None, [], ["x"]):
        try:
            if candidate is True and hint is not bool:
                continue
            return msgspec.convert(candidate, hint, strict=True)
        except msgspec.ValidationError:
            continue
    origin = getattr(hint, "__args__", (hint,))[0]
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return sample(origin)
    return next(iter(origin))  # an enum


@pytest.mark.parametrize("cls", m.REQUESTS, ids=m.tag_of)
def test_every_request_comes_back(cls: type[m.Request]) -> None:
    request = sample(cls)
    assert isinstance(request, m.Request)
    frames = [bytes(frame) for frame in codec.encode(request, b"payload")]
    assert codec.decode_request(frames) == (request, b"payload")
    assert codec.request_id_of(frames) == REQUEST_ID


@pytest.mark.parametrize("cls", m.REPLIES, ids=m.tag_of)
def test_every_reply_comes_back(cls: type[m.Reply]) -> None:
    reply = sample(cls)
    assert isinstance(reply, m.Reply)
    frames = [bytes(frame) for frame in codec.encode(reply)]
    assert codec.decode_reply(frames) == (reply, b"")


@pytest.mark.parametrize("cls", m.EVENTS, ids=m.tag_of)
def test_every_event_comes_back(cls: type[m.Event]) -> None:
    event = sample(cls)
    assert isinstance(event, m.Event)
    frames = codec.encode_event(event)
    assert frames[0].decode() == m.tag_of(cls)
    assert codec.decode_event(frames) == event


def test_tags_are_unique() -> None:
    tags = [m.tag_of(cls) for cls in (*m.REQUESTS, *m.REPLIES, *m.EVENTS)]
    assert len(tags) == len(set(tags))


def test_every_request_has_a_socket() -> None:
    assert all(cls.on_control or cls.on_speech for cls in m.REQUESTS)


def header(**fields: object) -> list[bytes]:
    return [m.PROTOCOL_TAG, msgpack.packb(fields)]


def test_unknown_fields_pass() -> None:
    frames = header(type="get-status", request_id=REQUEST_ID, colour="blue", deep={"a": [1]})
    assert codec.decode_request(frames).request == m.GetStatus(request_id=REQUEST_ID)


def test_unknown_verbs_are_named() -> None:
    with pytest.raises(UnknownMessage, match="'sing'"):
        codec.decode_request(header(type="sing", request_id=REQUEST_ID))


def test_another_version_names_both() -> None:
    with pytest.raises(VersionMismatch, match=r"voiced/2.*voiced/1"):
        codec.decode_request([b"voiced/2", b"\x80"])


DEEP: dict[str, object] = {}
for _ in range(20):
    DEEP = {"a": DEEP}

BROKEN = {
    "nothing": [],
    "no tag": [b"hello"],
    "http": [b"GET / HTTP/1.1"],
    "no header": [m.PROTOCOL_TAG],
    "too many frames": [m.PROTOCOL_TAG, b"\x80", b"", b""],
    "no msgpack": [m.PROTOCOL_TAG, b"\xc1"],
    "trailing bytes": [m.PROTOCOL_TAG, b"\x80\x80"],
    "a list": [m.PROTOCOL_TAG, b"\x90"],
    "number as key": [m.PROTOCOL_TAG, b"\x81\x01\x01"],
    "duplicated key": [m.PROTOCOL_TAG, b"\x82\xa1a\x01\xa1a\x02"],
    "extension": [m.PROTOCOL_TAG, b"\x81\xa1a\xd4\x01\x00"],
    "too deep": header(type="get-status", request_id=REQUEST_ID, x=DEEP),
    "wide map": header(**{f"k{i}": i for i in range(80)}),
    "long list": header(type="get-status", request_id=REQUEST_ID, x=list(range(300))),
    "no request id": header(type="get-status"),
    "short request id": header(type="get-status", request_id="x"),
    "request id with a slash": header(type="get-status", request_id="../../../../etc/passwd"),
    "wrong type": header(type="get-job", request_id=REQUEST_ID, job_id=5),
    "NaN": header(type="synthesize", request_id=REQUEST_ID, speed=math.nan),
    "infinity": header(type="synthesize", request_id=REQUEST_ID, speed=math.inf),
    "NaN where nobody looks": header(type="get-status", request_id=REQUEST_ID, x={"y": [math.nan]}),
    "out of range": header(type="synthesize", request_id=REQUEST_ID, speed=9.0),
    "huge": [m.PROTOCOL_TAG, b"\xc6\xff\xff\xff\xff"],
    "large": [m.PROTOCOL_TAG, msgpack.packb({"a": "x" * 70_000})],
}


@pytest.mark.parametrize("frames", BROKEN.values(), ids=BROKEN.keys())
def test_broken_messages_are_malformed(frames: list[bytes]) -> None:
    with pytest.raises(MalformedMessage):
        codec.decode_request(frames)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_no_bytes_raise_anything_else(parts: list[bytes]) -> None:
    for frames in (parts, [m.PROTOCOL_TAG, *parts]):
        with contextlib.suppress(ProtocolError):
            codec.decode_request(frames)
        assert len(codec.request_id_of(frames)) <= 64
