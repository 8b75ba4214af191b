"""What the rows of the scorecard share: their size, and the figures that they leave.

`pytest tests/scorecard --full` or, from anywhere, `VOICED_FULL=1 pytest` runs the stated counts (pytest knows the
option only where it is given this folder or a file in it). `VOICED_SEED` changes the seed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.scorecard.card import IS_FULL, SCORECARD, Card
from tests.scorecard.torch_models import Stock

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
    request.node.user_properties.extend((SCORECARD, line) for line in made.lines)


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    """Tiny models for torch workers, each built once."""
    return Stock(tmp_path_factory.mktemp("stock"))
