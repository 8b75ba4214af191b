"""The plan as bytes."""

from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.segments import (
    PLAN_FORMAT,
    Break,
    Edit,
    Plan,
    PlanDamaged,
    Segment,
    covers,
    pack_plan,
    read_plan,
    unpack_plan,
)
from voiced_ipc.errors import StorageFailed

LENGTHS = st.lists(
    st.tuples(
        st.integers(1, 50), st.integers(0, 100), st.sampled_from(list(Break)), st.none() | st.text(max_size=9)
    ),
    max_size=12,
)


def plan_of(rows: list[tuple[int, int, Break, str | None]], chapters: tuple[str, ...] = ()) -> Plan:
    segments, place, byte = [], 0, 0
    for length, more, after, spoken in rows:
        segments.append(
            Segment(place, place + length, byte, byte + length + more, "de", after, len(chapters), spoken)
        )
        place, byte = place + length, byte + length + more
    return Plan(place, "de", tuple(segments), chapters)


@given(rows=LENGTHS, chapters=st.lists(st.text(max_size=9), max_size=3))
def test_a_plan_comes_back(rows: list[tuple[int, int, Break, str | None]], chapters: list[str]) -> None:
    plan = plan_of(rows, tuple(chapters))
    again = unpack_plan(pack_plan(plan))
    assert again == plan
    assert all(isinstance(segment.after, Break) for segment in again.segments)


@given(edits=st.lists(st.builds(Edit, *[st.integers(0, 2**40)] * 3), max_size=5).map(tuple))
def test_edits_come_back(edits: tuple[Edit, ...]) -> None:
    segment = Segment(0, 3, 0, 3, "en", Break.END, spoken="other", edits=edits)
    plan = Plan(3, "en", (segment,))
    again = unpack_plan(pack_plan(plan))
    assert again == plan
    assert all(isinstance(edit, Edit) for edit in again.segments[0].edits)


def test_the_plan_of_an_earlier_version_is_read() -> None:
    (segment,) = unpack_plan(
        msgpack.packb([PLAN_FORMAT, 1, "en", [[0, 1, 0, 1, "en", 5, 0, "a"]], []])
    ).segments
    assert segment == Segment(0, 1, 0, 1, "en", Break.END, 0, "a", ())


@given(rows=LENGTHS, place=st.integers(0, 400), byte=st.integers(0, 255), cut=st.integers(0, 400))
def test_damage_is_told_or_harmless(
    rows: list[tuple[int, int, Break, str | None]], place: int, byte: int, cut: int
) -> None:
    packed = bytearray(pack_plan(plan_of(rows)))
    packed[place % len(packed)] = byte
    for data in (bytes(packed), bytes(packed[: cut % len(packed)])):
        try:
            plan = unpack_plan(data)
        except PlanDamaged:
            continue
        assert covers(plan)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [PLAN_FORMAT + 1, 0, "en", [], []],
        [PLAN_FORMAT, 1, "en", [], []],
        [PLAN_FORMAT, "1", "en", [["0", "1", 0, 1, "en", 2, 0, None]], []],
        [PLAN_FORMAT, 1, "en", [[0, 1, 0, 1, "en", 77, 0, None]], []],
        [PLAN_FORMAT, 1, "en", [[0, 1, 0, 1, "en"]], []],
        [PLAN_FORMAT, 1, "en", [[0, 1, 0, 1, "en", 2, 0, None, "more"]], []],
        [PLAN_FORMAT, 1, "en", [[0, 1, 0, 1, "en", 2, 0, None, [[0, 1]]]], []],
        [PLAN_FORMAT, 1, "en", [[0, 1, 0, 1, "en", 2, 0, None, [[0, 1, "x"]]]], []],
        [PLAN_FORMAT, 1, "en", [[None, 1, 0, 1, "en", 2, 0, None]], []],
        [PLAN_FORMAT, 0, "en", 5, []],
        [PLAN_FORMAT, 0, "en", [], None],
        [PLAN_FORMAT, 1, "en", [{"a": 1}], []],
    ],
)
def test_what_is_no_plan(value: Any) -> None:
    with pytest.raises(PlanDamaged):
        unpack_plan(msgpack.packb(value))


def test_a_plan_in_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot be read"):
        read_plan(tmp_path)
    (tmp_path / "plan").write_bytes(b"nonsense")
    with pytest.raises(StorageFailed, match="hand the text in again"):
        read_plan(tmp_path)
    plan = Plan(0, "en", ())
    (tmp_path / "plan").write_bytes(pack_plan(plan))
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize(
    ("rows", "chars", "is_whole"),
    [
        ([(0, 3), (3, 5)], 5, True),
        ([], 0, True),
        ([(0, 3)], 5, False),
        ([(0, 3), (4, 5)], 5, False),
        ([(0, 3), (2, 5)], 5, False),
        ([(0, 3), (3, 3), (3, 5)], 5, False),
        ([(3, 5), (0, 3)], 5, False),
        ([], 1, False),
    ],
)
def test_every_character_belongs_to_one_segment(
    rows: list[tuple[int, int]], chars: int, is_whole: bool
) -> None:
    segments = tuple(Segment(start, end, start, end, "en", Break.NONE) for start, end in rows)
    assert covers(Plan(chars, "en", segments)) is is_whole
