"""Everything that can be missing: one sentence, the right exit code, no traceback, and soon."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tray.desktop_session import Desktop, Outcome, TrayProcess
from tests.tray.sni_host import SniHost

pytestmark = pytest.mark.process


@pytest.fixture
def bare() -> Iterator[dict[str, str]]:
    """A login without a screen: what ssh gives."""
    with tempfile.TemporaryDirectory(prefix="vt") as home:
        yield {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home, "LC_ALL": "C.UTF-8"}


def outcome_of(environ: dict[str, str], *arguments: str) -> Outcome:
    with TrayProcess(environ, *arguments) as tray:
        return tray.ends(5.0)


def assert_refused(outcome: Outcome, code: int, *words: str) -> None:
    assert outcome.code == code, outcome.stderr
    assert outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1, outcome.stderr
    assert outcome.stderr.startswith("voiced-tray: ")
    for word in words:
        assert word in outcome.stderr


def test_no_display(bare: dict[str, str]) -> None:
    assert_refused(outcome_of(bare), 69, "no graphical session")


def test_waiting_does_not_help_where_there_is_no_display(bare: dict[str, str]) -> None:
    assert_refused(outcome_of(bare, "--wait"), 69, "no graphical session")


def test_a_dead_display(bare: dict[str, str]) -> None:
    assert_refused(outcome_of(bare | {"DISPLAY": ":987"}), 69, "no graphical session")


@pytest.mark.parametrize("name", ["nonsense", ":", "a:b:c", "unix:"])
def test_a_display_that_is_none(bare: dict[str, str], name: str) -> None:
    assert_refused(outcome_of(bare | {"DISPLAY": name}), 69, "no graphical session")


def test_a_dead_wayland_socket(bare: dict[str, str]) -> None:
    (Path(bare["XDG_RUNTIME_DIR"]) / "wayland-0").touch()
    assert_refused(outcome_of(bare | {"WAYLAND_DISPLAY": "wayland-0"}), 69, "no graphical session")


def test_an_endpoint_with_too_long_a_path(bare: dict[str, str]) -> None:
    assert_refused(outcome_of(bare | {"VOICED_ENDPOINT": "/tmp/" + "x" * 120}), 69, "VOICED_ENDPOINT")


def test_a_tray_folder_that_is_open_to_others(bare: dict[str, str]) -> None:
    folder = Path(bare["XDG_RUNTIME_DIR"]) / "voiced-tray"
    folder.mkdir()
    folder.chmod(0o755)
    assert_refused(outcome_of(bare), 69, "chmod 700")


def test_a_tray_folder_that_cannot_be_made(bare: dict[str, str]) -> None:
    assert_refused(outcome_of(bare | {"XDG_RUNTIME_DIR": "/proc/nowhere"}), 69, "cannot be used")


def test_packages_that_are_missing(bare: dict[str, str]) -> None:
    blocked = "import sys; sys.modules.update(pystray=None, PIL=None); sys.argv = ['voiced-tray']"
    run = "from voiced_tray.__main__ import main; sys.exit(main([]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{blocked}; {run}"], env=bare, capture_output=True, text=True, timeout=5
    )
    assert_refused(
        Outcome(done.returncode, done.stdout, done.stderr, 0), 69, "pystray, pillow", "voiced[tray]"
    )


def test_a_wrong_option(bare: dict[str, str]) -> None:
    outcome = outcome_of(bare, "--nonsense")
    assert outcome.code == 64
    assert "--nonsense" in outcome.stderr


@pytest.mark.tray
class TestWithADisplay:
    @pytest.mark.parametrize(
        "address",
        ["", "unix:path=/nonexistent", "nonsense", "tcp:host=localhost,port=1", "unix:path=/dev/null"],
    )
    def test_no_bus(self, desktop: Desktop, address: str) -> None:
        environ = desktop.environ() | {"DBUS_SESSION_BUS_ADDRESS": address}
        assert_refused(outcome_of(environ), 69, "no D-Bus session bus")

    def test_a_bus_of_the_runtime_folder_is_found_without_its_variable(self, desktop: Desktop) -> None:
        environ = desktop.environ()
        del environ["DBUS_SESSION_BUS_ADDRESS"]
        (desktop.runtime / "bus").symlink_to(desktop.home / "bus")
        assert_refused(outcome_of(environ), 75, "GNOME")

    def test_no_panel(self, desktop: Desktop) -> None:
        assert_refused(outcome_of(desktop.environ()), 75, "GNOME", "--wait")

    def test_a_list_of_icons_that_nobody_shows(self, desktop: Desktop) -> None:
        with SniHost(desktop.bus, has_panel=False):
            assert_refused(outcome_of(desktop.environ()), 75, "GNOME")

    def test_a_session_that_ends_while_it_is_waited_for(self, desktop: Desktop) -> None:
        with TrayProcess(desktop.environ(), "--wait") as tray, SniHost(desktop.bus, has_panel=False) as host:
            host.wait(lambda: (desktop.tray_folder / "icons").exists(), "it waits")
            host.close()
            desktop.bus_daemon.kill()
            assert_refused(tray.ends(), 69, "no D-Bus session bus")

    @pytest.mark.parametrize("backend", ["xorg", "win32", "darwin", "nonsense", "dummy"])
    def test_a_backend_without_a_menu_or_none_at_all(self, desktop: Desktop, backend: str) -> None:
        with SniHost(desktop.bus):
            outcome = outcome_of(desktop.environ() | {"PYSTRAY_BACKEND": backend})
        assert_refused(outcome, 69, backend if backend != "darwin" else "missing")

    def test_pygobject_is_missing(self, desktop: Desktop) -> None:
        environ = _with_gi(desktop, "raise ModuleNotFoundError(\"No module named 'gi'\")")
        with SniHost(desktop.bus):
            assert_refused(outcome_of(environ), 69, "No module named 'gi'", "python3-gi")

    def test_the_library_that_draws_the_icon_is_missing(self, desktop: Desktop) -> None:
        environ = _with_gi(
            desktop,
            "def require_version(name, version):\n"
            "    if 'Indicator' in name:\n"
            "        raise ValueError(f'Namespace {name} not available')\n",
        )
        with SniHost(desktop.bus):
            assert_refused(outcome_of(environ), 69, "gir1.2-ayatanaappindicator3-0.1")

    def test_check_says_whether_it_would_work(self, desktop: Desktop) -> None:
        assert_refused(outcome_of(desktop.environ(), "--check"), 75, "GNOME")
        with SniHost(desktop.bus):
            outcome = outcome_of(desktop.environ(), "--check")
        assert (outcome.code, outcome.stderr) == (0, "")


def _with_gi(desktop: Desktop, text: str) -> dict[str, str]:
    """A PyGObject that is missing something."""
    package = desktop.home / "modules/gi"
    (package / "repository").mkdir(parents=True)
    (package / "__init__.py").write_text(text)
    (package / "repository/__init__.py").write_text("Gtk = None\n")
    return desktop.environ() | {"PYTHONPATH": str(package.parent)}
