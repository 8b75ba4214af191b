"""Rows for people and for programs: a table for a terminal, plain lines for anything else, JSON on request."""

from collections.abc import Mapping, Sequence

import rich.box
import rich.console
import rich.markup
import rich.table

from tests.bench.figures import RATIO, Row, Spread

_COLOURS = {"held": "green", "missed": "red", "shown": "dim", "absent": "dim"}


def show(rows: Sequence[Row]) -> None:
    """Print rows as a table for a terminal."""
    table = rich.table.Table("what", box=rich.box.SIMPLE_HEAD)
    for name in ("figure", "min - max", "hold", ""):
        table.add_column(name, no_wrap=True, justify="right")
    for row in rows:
        details = "\n".join(rich.markup.escape(line) for line in details_of(row))
        verdict = f"[{_COLOURS[row.verdict]}]{row.verdict}[/]"
        table.add_row(
            rich.markup.escape(row.what) + (f"\n[dim]{details}[/]" if details else ""),
            with_unit(row.figure.median, row.unit) if row.figure else "",
            _bounds(row.figure) if row.figure else "",
            _hold(row),
            verdict,
        )
    rich.console.Console().print(table)


def plain(row: Row) -> str:
    """Return a row as lines of text."""
    lines = [f"{row.verdict:<7}{row.what}"]
    if row.figure is not None:
        hold = f"  hold {_hold(row)}" if row.limit is not None else ""
        lines.append(f"{with_unit(row.figure.median, row.unit)}  ({_bounds(row.figure)}){hold}")
    lines += details_of(row)
    return "\n       ".join(lines)


def details_of(row: Row) -> list[str]:
    """Return what stands below a row: the absolute figures, and its note."""
    lines = []
    if row.ours is not None and row.floor is not None:
        ours, floor = (_spread(spread, row.absolute_unit) for spread in (row.ours, row.floor))
        lines.append(f"{ours} against {row.against} {floor}{at_best(row)}")
    elif row.against:
        lines.append(f"against {row.against}")
    return [*lines, row.note] if row.note else lines


def at_best(row: Row) -> str:
    """Return the ratio of the best measurements, which other programs on the machine spoil the least."""
    if row.ours is None or row.floor is None:
        return ""
    best = (row.ours.greatest, row.floor.greatest) if row.is_least else (row.ours.least, row.floor.least)
    return f"; at best {number(best[0] / best[1])}x"


def number(value: float) -> str:
    """Return a number with three digits that count."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:.{digits}f}"


def with_unit(value: float, unit: str) -> str:
    """Return a number and its unit; a ratio as 1.40x."""
    return f"{number(value)}{'' if unit in (RATIO, '/s') else ' '}{unit}"


def _hold(row: Row) -> str:
    if row.limit is None:
        return ""
    return f"{'>=' if row.is_least else '<='} {with_unit(row.limit, row.unit)}"


def _bounds(spread: Spread) -> str:
    return f"{number(spread.least)} - {number(spread.greatest)}"


def _spread(spread: Spread, unit: str) -> str:
    return f"{with_unit(spread.median, unit)} ({_bounds(spread)})"


def document(heading: Mapping[str, str], rows: Sequence[Row], failed: Mapping[str, str]) -> dict[str, object]:
    """Return everything for JSON.

    Args:
        heading: Where and with what was measured.
        rows: The result.
        failed: Families whose measurement failed, and why.
    """
    return {"heading": dict(heading), "rows": [_fields(row) for row in rows], "failed": dict(failed)}


def _fields(row: Row) -> dict[str, object]:
    fields = row._asdict()
    for name in ("figure", "ours", "floor"):
        spread = fields[name]
        fields[name] = None if spread is None else spread._asdict()
    return {**fields, "verdict": row.verdict}
