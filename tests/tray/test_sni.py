"""The real tray on a private desktop, read and clicked over D-Bus as a panel does."""

import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.told import told_model
from tests.tray.daemon_standin import DaemonStandIn, make_job
from tests.tray.desktop_session import Desktop, TrayProcess, need_appindicator, session, x_server
from tests.tray.sni_host import Item, Server, SniHost
from voiced_ipc import messages as m
from voiced_ipc.errors import QueueFull

pytestmark = pytest.mark.tray


@pytest.fixture(autouse=True)
def _appindicator() -> None:
    need_appindicator()


@pytest.fixture
def host(desktop: Desktop) -> Iterator[SniHost]:
    with SniHost(desktop.bus) as made:
        yield made


@pytest.fixture
def tray(desktop: Desktop, standin: DaemonStandIn, host: SniHost) -> Iterator[TrayProcess]:
    with TrayProcess(desktop.environ()) as made:
        yield made


@pytest.fixture
def item(tray: TrayProcess, host: SniHost) -> Item:
    found = host.item()
    found.wait_title("Ready")
    return found


def test_the_icon_is_registered_with_a_file_that_the_panel_can_read(desktop: Desktop, item: Item) -> None:
    icon = item.icon()
    assert icon.parent == desktop.tray_folder / "icons"
    assert icon.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(desktop.tray_folder.stat().st_mode) == 0o700
    assert item.properties()["Status"] == "Active"
    assert item.title() == "voiced: Ready on CPU, no model loaded"


def test_the_menu_of_an_idle_daemon(item: Item) -> None:
    menu = item.wait_menu("Pause")
    assert menu.labels() == [
        "Ready on CPU, no model loaded",
        "",
        "Device: automatic",
        "Pause",
        "Cancel current job",
        menu.children[5].label,  # depends on what reads the clipboard here
        "",
        "Open Audio folder",
        "Open Drop folder",
        "Open Failed folder",
        "",
        "Quit tray",
    ]
    assert menu.children[5].label.startswith("Read clipboard aloud")
    assert not menu.find("Ready*").is_enabled
    assert not menu.find("Cancel*").is_enabled
    assert menu.find("Automatic").is_checked
    assert not menu.find("CPU").is_checked
    assert menu.find("CPU").toggle == "radio"


def test_a_click_on_a_device_locks_it(standin: DaemonStandIn, item: Item) -> None:
    item.wait_menu("Device: *")
    item.click("CPU")
    request = standin.requests.get(timeout=5)
    assert isinstance(request, m.SetDeviceLock)
    assert (request.device, request.for_s, request.until_pid) == ("cpu", None, None)
    item.wait_title("locked to CPU")
    menu = item.wait_menu("Device: CPU")
    assert menu.find("CPU").is_checked
    assert not menu.find("Automatic").is_checked


def test_a_lock_can_have_an_end(standin: DaemonStandIn, tray: TrayProcess, item: Item) -> None:
    item.wait_menu("Device: *")
    item.click("CPU for 2 hours")
    request = standin.requests.get(timeout=5)
    assert isinstance(request, m.SetDeviceLock)
    assert request.for_s == 7200
    item.wait_title("locked to CPU until Thu 01 Jan 12:00")
    item.click("CPU until I log out*")
    request = standin.requests.get(timeout=5)
    assert isinstance(request, m.SetDeviceLock)
    assert request.until_pid == tray.pid
    item.wait_title("locked to CPU until log-out")


def test_pause_and_resume_change_icon_and_menu(standin: DaemonStandIn, item: Item) -> None:
    item.wait_menu("Pause")
    before = item.icon()
    item.click("Pause")
    assert isinstance(standin.requests.get(timeout=5), m.Pause)
    menu = item.wait_menu("Resume")
    assert not menu.has("Pause")
    item.wait_title("Paused")
    assert item.icon() != before
    assert not before.exists()
    item.click("Resume")
    assert isinstance(standin.requests.get(timeout=5), m.Resume)
    item.wait_menu("Pause")


def test_events_show_a_job_and_a_click_cancels_it(standin: DaemonStandIn, host: SniHost, item: Item) -> None:
    job = make_job()
    idle = item.icon()
    standin.change(jobs=[job], running=1, models=[told_model()])
    standin.publish(m.JobStarted, job=job)
    item.wait_menu("report.epub: 40 %, about 3 min left")
    item.wait_menu("Unload espeak on CPU")
    host.wait(lambda: item.icon() != idle, "another icon")
    item.click("Cancel report.epub")
    request = standin.requests.get(timeout=5)
    assert isinstance(request, m.Cancel)
    assert request.job_id == job.job_id


def test_a_failed_job_is_told_once_and_can_be_tried_again(
    standin: DaemonStandIn, host: SniHost, item: Item
) -> None:
    item.wait_menu("Pause")
    job = make_job(state=m.JobState.FAILED, name="<b>.txt", error="a < b & c: do this")
    standin.publish(m.JobFailed, job=job)
    item.wait_menu("Try again: <b>.txt")
    host.wait(lambda: bool(host.notes), "a notification")
    assert host.notes == [("Not finished: <b>.txt", "a &lt; b &amp; c: do this")]
    item.click("Try again*")
    assert isinstance(standin.requests.get(timeout=5), m.RetryJob)


def test_a_refused_request_is_shown(standin: DaemonStandIn, host: SniHost, item: Item) -> None:
    item.wait_menu("Pause")
    standin.refusal = QueueFull("try again later")
    item.click("Pause")
    menu = item.wait_menu("Not done: try again later")
    assert menu.has("Pause")
    host.wait(lambda: bool(host.notes), "a notification")
    assert host.notes[0].message == "try again later"
    standin.refusal = None
    item.click("Pause")
    assert not item.wait_menu("Resume").has("Not done*")


def test_quit_in_the_menu_ends_it(desktop: Desktop, tray: TrayProcess, item: Item) -> None:
    item.wait_menu("Quit tray")
    item.click("Quit tray")
    outcome = tray.ends()
    assert outcome.code == 0
    assert "Traceback" not in outcome.stderr
    assert not (desktop.tray_folder / "icons").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_takes_the_icon_away(tray: TrayProcess, item: Item, number: int) -> None:
    icon = item.icon()
    outcome = tray.stop(number)
    assert outcome.code == 0
    assert outcome.seconds < 2
    assert "Traceback" not in outcome.stderr
    assert not icon.exists()


def test_a_tray_that_was_killed_leaves_nothing_for_long(
    desktop: Desktop, tray: TrayProcess, host: SniHost, item: Item
) -> None:
    left = item.icon()
    tray.stop(signal.SIGKILL)
    assert left.exists()
    host.wait(lambda: not host.items, "the icon is gone")
    with TrayProcess(desktop.environ()):
        host.item()
        assert not left.exists()


def test_a_second_tray_says_so_and_ends(desktop: Desktop, tray: TrayProcess, item: Item) -> None:
    with TrayProcess(desktop.environ()) as second:
        outcome = second.ends()
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "another tray runs" in outcome.stdout
    assert tray.is_alive


def test_it_follows_the_daemon_down_and_up(desktop: Desktop, host: SniHost) -> None:
    with TrayProcess(desktop.environ()):
        item = host.item()
        item.wait_title("not running")
        assert item.wait_menu("Start daemon").has("Quit tray")
        with DaemonStandIn(desktop.endpoint):
            item.wait_title("Ready", 10)
            assert not item.wait_menu("Pause").has("Start daemon")
        item.wait_title("not running", 10)
        with DaemonStandIn(desktop.endpoint) as again:
            item.wait_title("Ready", 10)
            item.wait_menu("Pause")
            item.click("Pause")
            assert isinstance(again.requests.get(timeout=5), m.Pause)
    assert host.notes == []


def test_a_deaf_daemon_is_an_error_that_is_told(desktop: Desktop, host: SniHost) -> None:
    with DaemonStandIn(desktop.endpoint, is_deaf=True), TrayProcess(desktop.environ()):
        item = host.item()
        item.wait_title("does not answer", 10)
        assert item.wait_menu("Restart daemon").has("no answer from the daemon*")
        assert [note.title for note in host.notes] == ["voiced does not answer"]


def test_an_older_daemon_is_named_with_the_remedy(desktop: Desktop, host: SniHost) -> None:
    with DaemonStandIn(desktop.endpoint) as standin, TrayProcess(desktop.environ()):
        standin.change(version="0.0.9")
        host.item().wait_menu("Restart daemon (daemon 0.0.9, installed *")


def test_the_clipboard_is_read_aloud_through_the_command(
    desktop: Desktop, standin: DaemonStandIn, host: SniHost
) -> None:
    said = desktop.home / "said"
    environ = _with_stand_in_commands(
        desktop, f"pathlib.Path({str(said)!r}).write_bytes(sys.stdin.buffer.read())"
    )
    with TrayProcess(environ):
        item = host.item()
        item.wait_menu("Read clipboard aloud")
        item.click("Read clipboard aloud")
        item.wait_menu("Stop reading aloud")
        (desktop.home / "go").write_text("")
        item.wait_menu("Read clipboard aloud")
    assert said.read_text() == "words to hear"


def test_reading_aloud_can_be_stopped(desktop: Desktop, standin: DaemonStandIn, host: SniHost) -> None:
    environ = _with_stand_in_commands(desktop, "sys.stdin.buffer.read()")
    with TrayProcess(environ):
        item = host.item()
        item.wait_menu("Read clipboard aloud")
        item.click("Read clipboard aloud")
        item.wait_menu("Stop reading aloud")
        item.click("Stop reading aloud")
        item.wait_menu("Read clipboard aloud")
    assert host.notes == []


def test_start_daemon_runs_the_command_and_shows_its_sentence(desktop: Desktop, host: SniHost) -> None:
    environ = _with_stand_in_commands(desktop, "sys.exit('voiced: no room: free some')")
    (desktop.home / "go").unlink()
    with TrayProcess(environ):
        item = host.item()
        item.wait_menu("Start daemon")
        item.click("Start daemon")
        item.wait_menu("Not done: no room: free some")


def _with_stand_in_commands(desktop: Desktop, ending: str) -> dict[str, str]:
    """An `xclip` and a `voiced` of our own; the latter waits for the pipe `go`, where there is one."""
    modules, programs = desktop.home / "modules", desktop.home / "bin"
    (modules / "voiced").mkdir(parents=True)
    (modules / "voiced/__init__.py").write_text("")
    (modules / "voiced/__main__.py").write_text(
        "import pathlib, sys\n"
        f"go = pathlib.Path({str(desktop.home / 'go')!r})\n"
        "if go.exists():\n    go.read_text()\n"
        f"{ending}\n"
    )
    os.mkfifo(desktop.home / "go")
    programs.mkdir()
    xclip = programs / "xclip"
    xclip.write_text("#!/bin/sh\nprintf 'words to hear'\n")
    xclip.chmod(0o755)
    environ = desktop.environ()
    return environ | {"PATH": f"{programs}:{environ['PATH']}", "PYTHONPATH": str(modules)}


# -- panels and servers that come and go --------------------------------------------------------------------


def test_it_waits_for_a_panel(desktop: Desktop, standin: DaemonStandIn) -> None:
    with TrayProcess(desktop.environ(), "--wait") as tray:
        _wait_for_lock(desktop)
        with SniHost(desktop.bus) as host:
            host.item(10).wait_title("Ready")
        assert tray.is_alive


def test_it_can_be_stopped_while_it_waits(desktop: Desktop) -> None:
    with TrayProcess(desktop.environ(), "--wait") as tray, SniHost(desktop.bus, has_panel=False) as host:
        host.wait(lambda: (desktop.tray_folder / "icons").exists(), "it waits")
        outcome = tray.stop()
    assert "Traceback" not in outcome.stderr
    assert outcome.seconds < 2


def test_a_panel_that_starts_again_gets_the_icon_again(desktop: Desktop, standin: DaemonStandIn) -> None:
    with SniHost(desktop.bus) as host, TrayProcess(desktop.environ()) as tray:
        host.item().wait_title("Ready")
        host.close()
        with SniHost(desktop.bus) as again:
            item = again.item()
            item.wait_title("Ready")
            item.wait_menu("Pause")
            item.click("Pause")
            assert isinstance(standin.requests.get(timeout=5), m.Pause)
        assert tray.is_alive


@pytest.mark.parametrize("server", [Server.NONE, Server.HUNG])
def test_a_notification_server_is_never_waited_for(
    desktop: Desktop, standin: DaemonStandIn, server: Server
) -> None:
    with SniHost(desktop.bus, server=server) as host, TrayProcess(desktop.environ()) as tray:
        item = host.item()
        item.wait_menu("Pause")
        standin.publish(m.JobFailed, job=make_job(state=m.JobState.FAILED, error="why"))
        item.wait_menu("Try again*", 2)
        item.click("Pause")
        item.wait_menu("Resume", 2)
        outcome = tray.stop()
    assert outcome.code == 0
    assert outcome.seconds < 2
    assert "Traceback" not in outcome.stderr


def test_the_session_ends_it(standin: DaemonStandIn, desktop: Desktop) -> None:
    with SniHost(desktop.bus) as host, TrayProcess(desktop.environ()) as tray:
        host.item()
        desktop.bus_daemon.kill()
        outcome = tray.ends()
    assert "Traceback" not in outcome.stderr


@pytest.mark.process
def test_the_end_of_the_x_server_ends_it() -> None:
    with (
        x_server() as (name, process),
        session(name) as desktop,
        SniHost(desktop.bus) as host,
        TrayProcess(desktop.environ()) as tray,
    ):
        host.item()
        process.kill()
        outcome = tray.ends()
    assert outcome.code == 1
    assert "Traceback" not in outcome.stderr


def _wait_for_lock(desktop: Desktop) -> None:
    """The tray has its lock, so it waits or is about to."""
    end = time.monotonic() + 5
    folder: Path = desktop.tray_folder / "icons"
    while not folder.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
