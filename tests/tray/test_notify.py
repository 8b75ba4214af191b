import os
from collections.abc import Iterator

import pytest

from tests.tray.desktop_session import Desktop
from tests.tray.sni_host import Server, SniHost
from voiced_tray.notify import QuietNotifier

pytestmark = pytest.mark.tray


@pytest.fixture(autouse=True)
def _bus(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DBUS_SESSION_BUS_ADDRESS", desktop.bus)


@pytest.fixture
def notifier() -> Iterator[QuietNotifier]:
    made = QuietNotifier()
    yield made
    made.close()


@pytest.mark.parametrize("server", [Server.ANSWERING, Server.HUNG])
def test_what_is_told_arrives_and_is_no_markup(
    desktop: Desktop, notifier: QuietNotifier, server: Server
) -> None:
    with SniHost(desktop.bus, server=server) as host:
        for number in range(3):
            notifier.notify("Title & more", f"<b>{number}</b>", "/no/file")
        host.wait(lambda: len(host.notes) == 3, "three notifications")
        assert host.notes[2] == ("Title & more", "&lt;b&gt;2&lt;/b&gt;")
        notifier.hide()


def test_without_a_server_it_is_lost_without_a_word(desktop: Desktop, notifier: QuietNotifier) -> None:
    with SniHost(desktop.bus, server=Server.NONE):
        notifier.notify("Title", "message", "")
    with SniHost(desktop.bus) as host:
        notifier.notify("Title", "message", "")
        host.wait(lambda: bool(host.notes), "the next one")


def test_without_a_bus_too(desktop: Desktop, notifier: QuietNotifier) -> None:
    notifier.notify("Title", "message", "")
    desktop.bus_daemon.kill()
    desktop.bus_daemon.wait(5)
    for _ in range(3):
        notifier.notify("Title", "message", "")
