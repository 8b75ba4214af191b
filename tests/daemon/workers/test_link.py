"""Frames of the link: whatever the pieces they come in; what is no frame is told."""

import itertools
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.workers.link import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, ChildLink, FrameReader, LinkError, pack

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FRAMES = st.lists(
    st.tuples(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), st.binary(max_size=60)), max_size=6
)


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_any_frames_in_any_pieces_come_out_whole(
    frames: list[tuple[dict[str, Any], bytes]], cuts: list[int]
) -> None:
    sent = [({**fields, "type": "t"}, payload) for fields, payload in frames]
    stream = b"".join(pack(fields, payload) for fields, payload in sent)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader, got = FrameReader(), []
    for start, end in itertools.pairwise(places):
        got += reader.feed(memoryview(stream)[start:end])
    assert got == sent


@given(st.binary(max_size=200))
def test_nonsense_is_a_link_error_or_waits_for_more(data: bytes) -> None:
    try:
        frames = FrameReader().feed(data)
    except LinkError:
        return
    assert all(isinstance(fields["type"], str) for fields, _ in frames)


@pytest.mark.parametrize(
    "data",
    [
        (MAX_HEADER_BYTES + 1).to_bytes(4, "little") + bytes(4),
        bytes(4) + (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "little"),
        bytes(8),
        b"\1\0\0\0\0\0\0\0\xc1",
        b"\1\0\0\0\0\0\0\0\x90",
        b"\2\0\0\0\0\0\0\0\x80\x80",
        pack({"no": "type"}),
        pack({"type": 7}),
    ],
    ids=["header", "payload", "empty", "not msgpack", "no map", "two maps", "no type", "type no string"],
)
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(LinkError):
        FrameReader().feed(data)


def test_a_length_beyond_its_bound_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(LinkError):
        FrameReader().feed(b"\xff" * 8)


def test_the_greatest_payload_passes() -> None:
    payload = bytes(MAX_PAYLOAD_BYTES)
    assert FrameReader().feed(pack({"type": "t"}, payload)) == [({"type": "t"}, payload)]


def test_file_names_that_are_no_utf8_come_back() -> None:
    name = b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    assert FrameReader().feed(pack({"type": "t", "name": name})) == [({"type": "t", "name": name}, b"")]


def test_the_childs_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        link = ChildLink(theirs.detach())
        ours.sendall(pack({"type": "a"}) + pack({"type": "b"}, b"x"))
        assert link.receive() == ({"type": "a"}, b"")
        assert link.receive() == ({"type": "b"}, b"x")
        ours.sendall(pack({"type": "c"})[:5])
        assert link.receive_ready() == []
        ours.sendall(pack({"type": "c"})[5:])
        assert link.receive_ready() == [({"type": "c"}, b"")]
        link.send({"type": "d"}, b"yz")
        assert FrameReader().feed(ours.recv(100)) == [({"type": "d"}, b"yz")]
        ours.shutdown(socket.SHUT_WR)
        assert link.receive() is None
        assert link.receive_ready() is None
        link._socket.close()
