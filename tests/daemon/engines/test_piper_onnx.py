"""An ONNX file read and written by hand: pure, on bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.engines.checkpoints.piper import graph
from voiced.engines.piper_onnx import NOISE_INPUT, field, fields, node, seeded, varint


@given(st.integers(0, 2**63 - 1))
def test_a_number_is_read_as_it_was_written(value: int) -> None:
    (found,) = fields(memoryview(field(3, value)))
    assert (found.number, found.value) == (3, value)


@given(st.lists(st.tuples(st.integers(1, 1000), st.binary(max_size=300))))
def test_fields_are_read_as_they_were_written(written: list[tuple[int, bytes]]) -> None:
    message = b"".join(field(number, value) for number, value in written)
    found = list(fields(memoryview(message)))
    assert [(one.number, bytes(one.value)) for one in found if not isinstance(one.value, int)] == written
    assert b"".join(one.raw for one in found) == message


@given(st.binary(max_size=200))
def test_what_is_no_message_is_refused_or_read_to_its_end(raw: bytes) -> None:
    try:
        found = list(fields(memoryview(raw)))
    except ValueError:
        return
    assert b"".join(one.raw for one in found) == raw


@pytest.mark.parametrize("raw", [b"\x0a", b"\x0a\x05abc", b"\xff" * 12, b"\x0b", b"\x09\x00"])
def test_a_message_that_is_cut_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="protobuf"):
        list(fields(memoryview(raw)))


def test_a_graph_without_noise_is_left_as_it_is() -> None:
    raw = graph(has_speakers=False)
    assert seeded(raw) == (raw, 0, True)


def test_every_draw_becomes_an_input() -> None:
    made = seeded(graph(has_speakers=True, has_noise=True))
    assert (made.draws, made.is_repeatable) == (1, True)
    assert b"RandomNormalLike" not in made.model
    assert NOISE_INPUT.encode() in made.model
    assert seeded(made.model).model == made.model


def _model(*nodes: bytes) -> bytes:
    return field(7, b"".join(nodes))


@pytest.mark.parametrize("op", ["RandomUniform", "RandomNormal", "Multinomial", "Bernoulli"])
def test_what_cannot_be_taken_from_outside_makes_the_voice_unrepeatable(op: str) -> None:
    made = seeded(_model(node("Cos", ["a"], "b"), node(op, ["b"], "c")))
    assert (made.draws, made.is_repeatable) == (0, False)


def test_a_draw_with_a_mean_or_inside_a_branch_is_seen() -> None:
    mean = field(5, field(1, "mean") + bytes([2 << 3 | 5]) + b"\0\0\x80\x3f")
    other = field(1, field(1, "a") + field(2, "b") + field(4, "RandomNormalLike") + mean)
    assert not seeded(_model(other)).is_repeatable
    branch = field(5, field(1, "then_branch") + field(6, node("RandomNormalLike", ["a"], "b")))
    assert not seeded(_model(field(1, field(4, "If") + branch))).is_repeatable
    assert seeded(_model(field(1, field(4, "If") + field(5, field(1, "RandomNormalLike"))))).is_repeatable


def test_numbers_are_short() -> None:
    assert varint(0) == b"\0"
    assert varint(300) == b"\xac\x02"
