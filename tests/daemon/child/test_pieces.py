"""Segments in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.child.pieces import pieces_of


@pytest.mark.parametrize(
    ("text", "max_chars", "pieces"),
    [
        ("It stays whole.", 0, ["It stays whole."]),
        ("It fits.", 80, ["It fits."]),
        ("One clause, and then another one.", 22, ["One clause,", "and then another one."]),
        ("no mark in these words", 12, ["no mark in", "these words"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("今日は、いい天気です。", 6, ["今日は、", "いい天気です", "。"]),
        ("", 10, [""]),
    ],
)
def test_cuts(text: str, max_chars: int, pieces: list[str]) -> None:
    assert pieces_of(text, max_chars) == pieces


@given(st.text(max_size=300), st.integers(1, 60))
def test_nothing_is_lost_and_nothing_too_long(text: str, max_chars: int) -> None:
    pieces = pieces_of(text, max_chars)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(len(piece) <= max_chars for piece in pieces) or not text.strip()
