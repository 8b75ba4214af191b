"""What the rows of the scorecard share: their size, and the lines of figures at the end of the run.

`pytest tests/scorecard --full` or, from anywhere, `VOICED_FULL=1 pytest` runs the stated counts (pytest knows the
option only where it is given this folder or a file in it). `VOICED_SEED` changes the seed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scorecard.card import IS_FULL, Card
from tests.scorecard.torch_models import Stock

LINES = pytest.StashKey[list[str]]()
FULL_TIMEOUT_S = 1500
_HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", default=False, help="the stated counts of the scorecard's rows"
    )


def _is_full(config: pytest.Config) -> bool:
    return IS_FULL or bool(config.getoption("--full", default=False))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _is_full(config):
        for item in items:
            if _HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(FULL_TIMEOUT_S))


@pytest.fixture
def card(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Card]:
    """The row that the test's file is named after."""
    row = request.path.stem.removeprefix("test_row_")
    made = Card(row, is_full=_is_full(request.config), record=record_property)
    yield made
    request.config.stash.setdefault(LINES, []).extend(made.lines)


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Tiny models for torch workers, each built once."""
    return Stock(tmp_path_factory.mktemp("stock"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("scorecard")
        for line in lines:
            terminalreporter.write_line(line)
