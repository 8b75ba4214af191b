"""The list of acceptance is kept true: every number has its row, every row its code and its test."""

import ast
import functools
import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TOTAL = 394
STATUSES = {"done", "superseded", "not-applicable", "open"}

with (ROOT / "tests/acceptance.toml").open("rb") as file:
    ROWS: list[dict[str, Any]] = tomllib.load(file)["row"]


def test_every_number_has_exactly_one_row() -> None:
    numbers = sorted(number for row in ROWS for number in row["numbers"])
    assert numbers == list(range(1, TOTAL + 1))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['numbers'][0]}-{row['status']}")
def test_a_row_holds_what_its_status_promises(row: dict[str, Any]) -> None:
    assert row["status"] in STATUSES
    if row["status"] == "done":
        importlib.import_module(row["where"])
        assert exists(row["test"]), f"there is no test {row['test']}"
    else:
        assert len(row["why"]) > 10


@functools.cache
def statements(file: str) -> list[ast.stmt]:
    return ast.parse((ROOT / file).read_text()).body


def exists(node: str) -> bool:
    """Whether a test of that node id is written."""
    file, *names = node.split("::")
    body = statements(file)
    for name in names:
        found = [
            item for item in body if isinstance(item, ast.FunctionDef | ast.ClassDef) and item.name == name
        ]
        if not found:
            return False
        body = found[0].body
    return bool(names)
