from collections.abc import Iterator

import pytest

from tests.tray.daemon_standin import DaemonStandIn
from tests.tray.desktop_session import Desktop, need_session, session, x_server


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    need_session()
    with x_server() as (name, _):
        yield name


@pytest.fixture
def desktop(display: str) -> Iterator[Desktop]:
    with session(display) as made:
        yield made


@pytest.fixture
def standin(desktop: Desktop) -> Iterator[DaemonStandIn]:
    with DaemonStandIn(desktop.endpoint) as made:
        yield made
