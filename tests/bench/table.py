"""Rows for people and for programs: a table on a terminal, plain lines elsewhere, JSON on request."""

import sys
from collections.abc import Mapping, Sequence

import rich.box
import rich.console
import rich.table

from tests.bench.figures import RATIO, Row, Spread

_COLUMNS = ("what", "figure", "min - max", "hold", "", "ours", "floor or peer")
_COLOURS = {"held": "green", "missed": "red", "shown": "dim"}


def show(rows: Sequence[Row]) -> None:
    """Print rows: a table on a terminal, else a block of lines for each."""
    if not sys.stdout.isatty():
        for row in rows:
            print(plain(row), flush=True)
        return
    table = rich.table.Table(*_COLUMNS, box=rich.box.SIMPLE_HEAD)
    for row in rows:
        cells = [rich.markup.escape(cell) for cell in cells_of(row)]
        cells[4] = f"[{_COLOURS[row.verdict]}]{cells[4]}[/]"
        table.add_row(*cells)
    rich.console.Console().print(table)


def plain(row: Row) -> str:
    """Return a row as lines of text."""
    what, figure, bounds, hold, verdict, ours, floor = cells_of(row)
    lines = [f"{verdict:<7}{what}", f"       {figure}  ({bounds})  {f'hold {hold}' if hold else ''}".rstrip()]
    if row.ours is not None:
        lines.append(f"       {ours} against {floor}{at_best(row)}")
    elif row.against:
        lines.append(f"       against {row.against}")
    if row.note:
        lines.append(f"       {row.note}")
    return "\n".join(lines)


def cells_of(row: Row) -> tuple[str, ...]:
    """Return the cells of a row, as `_COLUMNS` names them."""
    hold = ""
    if row.limit is not None:
        hold = f"{'>=' if row.is_least else '<='} {with_unit(row.limit, row.unit)}"
    ours = _spread(row.ours, row.absolute_unit) if row.ours else ""
    floor = f"{row.against} {_spread(row.floor, row.absolute_unit)}" if row.floor else row.against
    note = f"\n{row.note}" if row.note and sys.stdout.isatty() else ""
    floor += at_best(row) if sys.stdout.isatty() else ""
    return (
        row.what + note,
        with_unit(row.figure.median, row.unit),
        f"{number(row.figure.least)} - {number(row.figure.greatest)}",
        hold,
        row.verdict,
        ours,
        floor,
    )


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


def _spread(spread: Spread, unit: str) -> str:
    bounds = f"({number(spread.least)} - {number(spread.greatest)})"
    return f"{with_unit(spread.median, unit)} {bounds}"


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
