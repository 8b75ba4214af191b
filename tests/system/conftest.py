"""A real user manager for the tests of this folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import need
from tests.system.user_manager import UserManager, missing

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def manager(request: pytest.FixtureRequest) -> Iterator[UserManager]:
    """A user manager: of an ordinary user, or of the uid that the test is parametrised with."""
    lacking = missing()
    need("systemd", not lacking, lacking)
    folders = [Path(sys.prefix), Path(sys.base_prefix), REPOSITORY]
    with UserManager(getattr(request, "param", 1000), folders) as running:
        yield running
