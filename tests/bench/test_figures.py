"""The rules of the benchmark that are pure: spreads, ratios of pairs, verdicts, how a row reads."""

import itertools
import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import __main__ as bench
from tests.bench import table
from tests.bench.figures import Peer, Row, Spread, absent, absolute, compared, interleaved, percentile
from tests.bench.session import Session
from tests.bench.texts import BOOK_BYTES, prose

_values = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30)


@given(_values)
def test_a_spread_encloses_its_values(values: list[float]) -> None:
    spread = Spread.of(values)
    assert (spread.least, spread.greatest) == (min(values), max(values))
    assert spread.median == statistics.median(values)


def test_a_ratio_is_the_median_of_the_pairs_and_not_of_the_halves() -> None:
    row = compared("it", [10, 300, 40], Peer("floor", [10, 100, 10]), 2.0)
    assert row.figure == Spread(3.0, 1.0, 4.0)
    assert row.ours == Spread(40, 10, 300)
    assert row.verdict == "missed"


def test_without_its_peer_a_row_is_only_shown() -> None:
    row = compared("it", [1.0, 2.0, 3.0], Peer("a program (not installed)", None), 0.5)
    assert (row.verdict, row.unit, row.figure) == ("shown", "ms", Spread(2.0, 1.0, 3.0))
    assert "not installed" in table.plain(row)


def test_what_cannot_be_measured_here_has_no_figure_and_says_why() -> None:
    row = absent("an engine", "its packages are not here")
    assert (row.verdict, row.figure) == ("absent", None)
    assert table.plain(row).split("\n       ") == ["absent an engine", "its packages are not here"]
    (found,) = json.loads(json.dumps(table.document({}, [row], {})))["rows"]
    assert (found["figure"], found["verdict"], found["note"]) == (None, "absent", "its packages are not here")


@pytest.mark.parametrize(
    ("value", "is_least", "verdict"),
    [(1.0, False, "held"), (1.1, False, "missed"), (1.0, True, "held"), (0.9, True, "missed")],
)
def test_a_limit_is_the_greatest_or_the_least_that_is_good(
    value: float, is_least: bool, verdict: str
) -> None:
    row = Row("it", "", Spread.of([value]), "x", 1.0, is_least)
    assert row.verdict == verdict


def test_measurements_alternate_and_warm_ups_do_not_count() -> None:
    order: list[str] = []
    numbers = itertools.count()

    def measure(name: str) -> float:
        order.append(name)
        return float(next(numbers))

    first, second = interleaved(2, lambda: measure("a"), lambda: measure("b"), warm_ups=1)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert (first, second) == ([2.0, 5.0], [3.0, 4.0])


@given(_values, st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_and_enough_lie_below(values: list[float], fraction: float) -> None:
    found = percentile(values, fraction)
    assert found in values
    assert sum(value <= found for value in values) >= fraction * len(values) * 0.99


def test_the_book_is_the_same_every_time_and_of_the_size_asked_for() -> None:
    assert prose(BOOK_BYTES) == prose(BOOK_BYTES)
    assert len(prose(BOOK_BYTES).encode()) == BOOK_BYTES
    assert prose(1000) == prose(BOOK_BYTES)[:1000]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.404, "1.40"), (36.94, "36.9"), (12140.4, "12140"), (0.0123, "0.012"), (-5.0, "-5.00")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert table.number(value) == text


def test_a_row_reads_with_its_limit_its_floor_and_its_note() -> None:
    text = table.plain(compared("start", [20.0, 22.0], Peer("floor", [10.0, 10.0]), 2.5, note="quiet"))
    for part in (
        "held",
        "start",
        "2.10x",
        "hold <= 2.50x",
        "21.0 ms (20.0 - 22.0)",
        "floor 10.0 ms",
        "quiet",
    ):
        assert part in text


def test_json_holds_every_row_and_every_failure() -> None:
    rows = [absolute("memory", [40.0], "MB", 45.0)]
    found = json.loads(json.dumps(table.document({"machine": "this"}, rows, {"book": "no disk"})))
    assert found["rows"][0]["verdict"] == "held"
    assert found["rows"][0]["figure"] == {"median": 40.0, "least": 40.0, "greatest": 40.0}
    assert found["failed"] == {"book": "no disk"}


def test_one_failing_family_costs_the_exit_code_and_no_other_family(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def good(session: Session) -> "itertools.chain[Row]":
        return itertools.chain([absolute("a row", [1.0], "ms", 2.0)])

    def bad(session: Session) -> "itertools.chain[Row]":
        raise ValueError("no disk")

    monkeypatch.setattr(bench, "FAMILIES", {"bad": bad, "good": good})
    assert bench.main(["--quick"]) == 1
    said = capsys.readouterr().out
    assert "a row" in said
    assert "FAILED bad: ValueError: no disk" in said
    assert bench.main(["--only", "good"]) == 0
