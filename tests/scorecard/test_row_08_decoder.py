"""Row 8, decoder: at least 1,000,000 fuzzed payloads and the 29 bombs.

Target: only `ValueError` inside, one error reply each, at most 10 ms and 16 MB for a payload; duplicated keys, NaN and
extension types refused; unknown verbs answered by name; unknown fields pass.

In process: a server whose sockets only keep what is sent, so that nothing lies between the bytes and the answer. Time
is CPU time of the thread: what the decoder takes, on whatever machine.
"""

import asyncio
import gc
import math
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import msgpack
import pytest

from tests.scorecard.card import Card
from tests.support import need
from voiced.server.channel import Channel, Frames
from voiced.server.server import Server, SocketPeer
from voiced.server.sockets import Sockets
from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.errors import MalformedMessage

PAYLOAD_S = 0.01
PAYLOAD_MB = 16
ID = "a" * 22
_MIB = 1 << 20
_PEAK = Path("/proc/self/clear_refs")

BOMBS: dict[str, bytes] = {
    "arrays nested 1,000 deep": b"\x91" * 1000 + b"\xc0",
    "arrays nested 1,023 deep": b"\x91" * 1023 + b"\xc0",
    "arrays nested 1,025 deep": b"\x91" * 1025 + b"\xc0",
    "arrays nested a million deep": b"\x91" * _MIB + b"\xc0",
    "maps nested deep": b"\x81\xa1k" * (_MIB // 3) + b"\xc0",
    "array declares 2**32-1": b"\xdd\xff\xff\xff\xff",
    "map declares 2**32-1": b"\xdf\xff\xff\xff\xff",
    "string declares 2**32-1": b"\xdb\xff\xff\xff\xff",
    "bytes declare 2**32-1": b"\xc6\xff\xff\xff\xff",
    "extension declares 2**32-1": b"\xc9\xff\xff\xff\xff\x05",
    "nested arrays declare 1 MiB each": (b"\xdd" + struct.pack(">I", _MIB)) * 1000 + b"\xc0" * (_MIB - 5000),
    "nested arrays declare 64 KiB each": (b"\xdd" + struct.pack(">I", 65536)) * 1000 + b"\xc0" * 60536,
    "flat array of nil": b"\xdd" + struct.pack(">I", _MIB - 5) + b"\xc0" * (_MIB - 5),
    "flat array of maps": b"\xdd" + struct.pack(">I", _MIB - 5) + b"\x80" * (_MIB - 5),
    "flat array of arrays": b"\xdd" + struct.pack(">I", _MIB - 5) + b"\x90" * (_MIB - 5),
    "timestamp of a bad length": b"\xc7\x05\xff12345",
    "timestamp far ahead": b"\xc7\x0c\xff" + struct.pack(">Iq", 0, 2**62),
    "timestamp with too many ns": b"\xc7\x0c\xff" + struct.pack(">Iq", 0xFFFFFFFF, 0),
    "unknown extension": b"\xd4\x05x",
    "duplicated key": b"\x82\xa1k\x01\xa1k\x02",
    "number as key": b"\x81\x01\x02",
    "list as key": b"\x81\x91\x01\x02",
    "string that is no UTF-8": b"\x81\xa1k\xa2\xff\xfe",
    "lone surrogate": b"\x81\xa1k\xa3\xed\xa0\x80",
    "reserved byte": b"\xc1",
    "trailing bytes": b"\x80\x02",
    "cut short": b"\x82\xa1k\x01",
    "empty": b"",
    "NaN": b"\x81\xa1k\xcb\x7f\xf8\0\0\0\0\0\0",
}


class Wire:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[list[Any]] = []

    def send(self, frames: list[Any]) -> None:
        self.sent.append(frames)

    def take(self) -> list[m.Reply]:
        """Return what was sent since the last look."""
        replies = [codec.decode_reply([bytes(part) for part in frames[1:]])[0] for frames in self.sent]
        self.sent.clear()
        return replies


class _Desk:
    """Serves everything at once."""

    def answer(self, request: m.Request) -> m.Reply | None:
        return m.Acknowledged(request_id=request.request_id)

    async def serve(self, request: m.Request, payload: bytes, peer: SocketPeer) -> m.Reply | None:
        raise AssertionError("everything was answered")


class Decoder:
    """A server without a network."""

    def __init__(self) -> None:
        self.wire = Wire()
        self._channel = cast(Channel, self.wire)
        sockets = SimpleNamespace(speech=self._channel, control=None, events=None)
        self._server = Server(cast(Sockets, sockets), _Desk())
        self.slowest_s = 0.0

    def answer(self, *parts: bytes) -> m.Reply:
        """Return the one answer to a message."""
        began = time.thread_time()
        self._server._received(self._channel, Frames(b"peer", [*parts]))
        self.slowest_s = max(self.slowest_s, time.thread_time() - began)
        (reply,) = self.wire.take()
        return reply


@pytest.fixture
def decoder() -> Decoder:
    return Decoder()


@pytest.fixture
def quiet_collector() -> Iterator[None]:
    """What the tests before have left is not weighed into a payload's time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def header(**fields: object) -> bytes:
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed


def peak_mb() -> float:
    """Return the greatest memory since the last `forget_peak`."""
    text = Path("/proc/self/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def forget_peak() -> float:
    """Return the present memory; the peak begins here."""
    _PEAK.write_text("5")  # proc(5)
    return peak_mb()


def refusal(packed: bytes, limit: int = codec.MAX_HEADER_BYTES) -> BaseException | None:
    """Return what was raised inside for a header; None where it was read, or refused for what it says."""
    try:
        codec.unpack_header(packed, limit=limit)
    except MalformedMessage as error:
        return error.__cause__
    return None


def is_value_error(error: BaseException | None) -> bool:
    return error is None or isinstance(error, ValueError)


@pytest.mark.usefixtures("quiet_collector")
def test_the_bombs(card: Card, decoder: Decoder) -> None:
    need("linux", _PEAK.exists(), "needs /proc/self/clear_refs, to weigh a payload")
    grown_mb = 0.0
    for name, bomb in BOMBS.items():
        for wrapped in (bomb, b"\x83" + header(type="get-status", request_id=ID)[1:] + b"\xa1x" + bomb):
            before_mb = forget_peak()
            reply = decoder.answer(m.PROTOCOL_TAG, wrapped)
            # The limits inside must hold by themselves, were the header's own ever wider.
            assert is_value_error(refusal(wrapped, limit=2 * _MIB)), name
            grown_mb = max(grown_mb, peak_mb() - before_mb)
            assert isinstance(reply, m.ErrorReply), name
            assert reply.code == "malformed-message", name
    card.tell(bombs=len(BOMBS), slowest_ms=decoder.slowest_s * 1000, grown_mb=grown_mb)
    assert len(BOMBS) == 29
    assert decoder.slowest_s <= PAYLOAD_S
    assert grown_mb <= PAYLOAD_MB


def seeds() -> list[bytes]:
    """Return proper headers, to be damaged."""
    whole = {"type": "synthesize", "request_id": ID, "voice": "en-gb", "speed": 1.5, "credit_bytes": 70_000}
    return [
        header(**whole),
        header(type="get-status", request_id=ID),
        header(type="list-jobs", request_id=ID, states=["done", "failed"], limit=20),
        header(type="set-device-lock", request_id=ID, device="cpu", for_s=3600.0),
        header(type="sing", request_id=ID, deep={"a": [1, {"b": None}]}),
    ]


def mutant(source: Random, seed: bytes) -> bytes:
    """Return a damaged header, or one of chance."""
    if source.random() < 0.3:
        return source.randbytes(source.randint(0, 200))
    data = bytearray(seed)
    for _ in range(source.randint(1, 8)):
        at, how = source.randrange(len(data) + 1), source.random()
        if how < 0.6:
            data[at : at + 1] = source.randbytes(1)
        elif how < 0.8:
            del data[at : at + source.randint(1, 4)]
        else:
            data[at:at] = source.randbytes(source.randint(1, 6))
    return bytes(data)


@pytest.mark.usefixtures("quiet_collector")
def test_fuzzed_payloads(card: Card, decoder: Decoder) -> None:
    count, codes, source, proper = card.count(40_000, 1_000_000), Counter[str](), card.random, seeds()
    asked_s, before_mb = time.thread_time(), forget_peak()
    for _ in range(count):
        packed = mutant(source, source.choice(proper))
        reply = decoder.answer(m.PROTOCOL_TAG, packed)
        codes[reply.code if isinstance(reply, m.ErrorReply) else "answered"] += 1
        assert is_value_error(refusal(packed))
    grown_mb = peak_mb() - before_mb
    card.tell(
        payloads=count, slowest_ms=decoder.slowest_s * 1000, cpu_s=time.thread_time() - asked_s, **codes
    )
    card.tell(payloads=count, grown_mb=grown_mb)
    assert set(codes) == {"malformed-message", "unknown-message", "not-served", "answered"}
    assert codes["answered"] > count // 1000
    assert decoder.slowest_s <= PAYLOAD_S
    assert grown_mb <= PAYLOAD_MB


def test_what_is_refused_and_what_passes(decoder: Decoder) -> None:
    tag = m.PROTOCOL_TAG
    refused = {
        "duplicated key": header(type="get-status", request_id=ID).replace(b"\x82", b"\x83")
        + b"\xa4type\xa1x",
        "NaN": header(type="synthesize", request_id=ID, speed=math.nan),
        "infinity": header(type="get-status", request_id=ID, x=-math.inf),
        "extension": header(type="get-status", request_id=ID, x=msgpack.ExtType(5, b"x")),
    }
    for name, packed in refused.items():
        reply = decoder.answer(tag, packed)
        assert isinstance(reply, m.ErrorReply), name
        assert reply.code == "malformed-message", name
    unknown = decoder.answer(tag, header(type="sing", request_id=ID))
    assert isinstance(unknown, m.ErrorReply)
    assert (unknown.code, unknown.request_id) == ("unknown-message", ID)
    assert "'sing'" in unknown.message
    passed = decoder.answer(tag, header(type="get-status", request_id=ID, colour="blue", deep={"a": [1]}))
    assert passed == m.Acknowledged(request_id=ID)


def test_nothing_waits_for_an_answer(decoder: Decoder) -> None:
    """One reply, at once: the server begins no task for what it cannot read."""

    async def main() -> None:
        for bomb in BOMBS.values():
            assert isinstance(decoder.answer(m.PROTOCOL_TAG, bomb), m.ErrorReply)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
