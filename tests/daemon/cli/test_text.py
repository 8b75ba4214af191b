"""Values as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.cli import text as t


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0.00 s"),
        (0.844, "0.84 s"),
        (12.54, "12.5 s"),
        (187, "3:07"),
        (7387, "2:03:07"),
        (59.99, "60.0 s"),
    ],
)
def test_spans(seconds: float | None, shown: str) -> None:
    assert t.span(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (812, "812 B"), (4404019, "4.2 MiB"), (8 << 30, "8.0 GiB"), (500 << 20, "500 MiB")],
)
def test_sizes(number: int, shown: str) -> None:
    assert t.size(number) == shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("1.5H", 5400)],
)
def test_times(text: str, seconds: float) -> None:
    assert t.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "-1h", "1h30", "0s", "1..5h", "\u0661h", "1e3s"])
def test_no_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        t.seconds_of(text)


@given(st.integers(1, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_times_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert t.seconds_of(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@given(st.text())
def test_a_terminal_is_told_nothing(text: str) -> None:
    shown = t.printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert not text.isprintable() or shown == text


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=8))
def test_tables_have_a_line_for_each_row(rows: list[tuple[str, str, str]]) -> None:
    lines = t.table(("A", "B", "C"), rows)
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)


def test_wide_letters_are_aligned() -> None:
    assert t.table(("AB", "C"), [("书", "x"), ("ab", "y"), ("e\u0301e", "z")]) == [
        "AB  C",
        "书  x",
        "ab  y",
        "e\u0301e  z",
    ]
