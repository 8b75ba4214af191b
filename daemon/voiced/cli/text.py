"""Values as people read them: spans, sizes, tables. Pure."""

import math
from collections.abc import Iterable, Sequence

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def printable(text: str) -> str:
    """Return `text` without control characters, which a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def span(seconds: float | None) -> str:
    """Return a span of time: `0.84 s`, `12.5 s`, `3:07`, `2:03:07`; `-` where unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def size(number: float) -> str:
    """Return a number of bytes: `812 B`, `4.2 MiB`."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    place = 0
    while number >= 1024 and place < len(units) - 1:
        number /= 1024
        place += 1
    return f"{number:.0f} {units[place]}" if place == 0 or number >= 100 else f"{number:.1f} {units[place]}"


def percent(fraction: float | None) -> str:
    """Return a share: `42 %`; `-` where unknown."""
    return "-" if fraction is None else f"{fraction * 100:.0f} %"


def counted(number: int, noun: str) -> str:
    """Return `1 job`, `2 jobs`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def seconds_of(text: str) -> float:
    """Return the seconds in `90s`, `30m`, `2h`, `1h30m`, `1d`.

    Raises:
        ValueError: If it is none of these, or zero.
    """
    total, digits = 0.0, ""
    for letter in text.strip().lower():
        if letter.isascii() and (letter.isdigit() or letter == "."):
            digits += letter
        elif letter in _UNITS and digits:
            total, digits = total + float(digits) * _UNITS[letter], ""
        else:
            raise ValueError(f"{text!r} is not a time")
    if digits or total <= 0:
        raise ValueError(f"{text!r} is not a time")
    return total


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return aligned lines; the last column is not padded."""
    every = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(_cells(row[place]) for row in every) for place in range(len(header))]
    lines = []
    for row in every:
        cells = [cell + " " * (width - _cells(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _cells(text: str) -> int:
    """Columns of a terminal: Chinese and Japanese letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
