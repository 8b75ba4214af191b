"""The app on pystray's own classes and an icon without pixels: what the display tests cannot provoke."""

import importlib
import os
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.told import told_status
from tests.tray.daemon_standin import make_job
from voiced_ipc import messages as m
from voiced_ipc.endpoint import Endpoint
from voiced_tray import app as app_module
from voiced_tray import desktop
from voiced_tray.actions import Action, ActionKind
from voiced_tray.app import TrayApp, Work
from voiced_tray.state import StatusSeen, TrayState


class Loop:
    """A main loop: work handed over is done by `run`."""

    def __init__(self) -> None:
        self._work: queue.Queue[Work | None] = queue.Queue()

    def defer(self, work: Work) -> None:
        self._work.put(work)

    def quit(self) -> None:
        self._work.put(None)

    def run(self) -> None:
        while (work := self._work.get(timeout=5)) is not None:
            work()


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def pystray(monkeypatch: pytest.MonkeyPatch, loop: Loop) -> ModuleType:
    """pystray with an icon that counts what is drawn."""
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")
    library = importlib.import_module("pystray")
    base: Any = importlib.import_module("pystray._base").Icon

    class CountingIcon(base):  # type: ignore[misc]
        end_error: Exception | None = None
        ends_when_told = False

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.drawn: list[str] = []
            self.told: list[tuple[str, str]] = []

        def _run(self) -> None:
            self._mark_ready()
            loop.run()
            if self.end_error:
                raise self.end_error

        def _stop(self) -> None:
            loop.quit()

        def _show(self) -> None:
            self.drawn.append("shown")

        def _hide(self) -> None:
            pass

        def _update_icon(self) -> None:
            self._icon_valid = True
            self.drawn.append("icon")

        def _update_title(self) -> None:
            self.drawn.append("title")

        def _update_menu(self) -> None:
            self.drawn.append("menu")

        def _notify(self, message: str, title: str) -> None:
            self.told.append((title, message))
            if self.ends_when_told:
                loop.quit()

    monkeypatch.setattr(library, "Icon", CountingIcon)
    return library


@pytest.fixture
def ended() -> list[int]:
    return []


@pytest.fixture
def tray(pystray: ModuleType, tmp_path: Path, loop: Loop, ended: list[int]) -> Iterator[TrayApp]:
    made = TrayApp(pystray, Endpoint(tmp_path / "voiced"), TrayState(), loop.defer, ended.append)
    yield made
    made._poller.stop(5)


def icon_of(tray: TrayApp) -> Any:
    return tray._icon


def seen(**fields: Any) -> StatusSeen:
    return StatusSeen(told_status(**fields), "0.1.0")


def drawn_by(tray: TrayApp, work: Callable[[], None]) -> list[str]:
    icon = icon_of(tray)
    icon.visible = True
    icon.drawn.clear()
    work()
    return sorted(icon.drawn)


def test_only_what_differs_is_drawn(tray: TrayApp) -> None:
    assert drawn_by(tray, lambda: tray._apply(seen())) == ["icon", "menu", "title"]
    assert drawn_by(tray, lambda: tray._apply(seen())) == []
    assert drawn_by(tray, lambda: tray._apply(seen(uptime_s=9.0, finished=3))) == []
    assert drawn_by(tray, lambda: tray._apply(seen(jobs=[make_job()]))) == ["menu"]


def test_the_menu_is_read_anew_from_the_state(tray: TrayApp) -> None:
    tray._apply(seen(is_paused=True))
    labels = [item.text for item in icon_of(tray).menu]
    assert "Resume" in labels
    device = next(item for item in icon_of(tray).menu if item.text.startswith("Device"))
    assert [(item.text, item.checked, item.radio) for item in device.submenu][:2] == [
        ("Automatic", True, True),
        ("CPU", False, True),
    ]


def test_every_entry_can_be_clicked(tray: TrayApp, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Action] = []
    monkeypatch.setattr(tray, "do", done.append)
    tray._apply(seen(jobs=[make_job()], running=1))
    icon = icon_of(tray)
    for item in icon.menu:
        for entry in [*item.submenu] if item.submenu else [item]:
            entry(icon)
    kinds = [action.kind for action in done]
    assert kinds.count(ActionKind.LOCK) == 4
    assert {ActionKind.PAUSE, ActionKind.CANCEL, ActionKind.OPEN_FOLDER, ActionKind.QUIT} <= set(kinds)


def test_an_exception_in_a_click_is_shown(
    tray: TrayApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(action: Action) -> None:
        raise ArithmeticError("on purpose")

    monkeypatch.setattr(tray, "do", broken)
    quit_ = list(icon_of(tray).menu)[-1]
    quit_(icon_of(tray))
    assert icon_of(tray).told == [("A fault of the tray itself", "on purpose")]
    assert "on purpose" in caplog.text


def test_what_a_program_could_not_do_is_shown(tray: TrayApp, loop: Loop, tmp_path: Path) -> None:
    icon = icon_of(tray)
    icon.ends_when_told = True
    tray.do(Action(ActionKind.OPEN_FOLDER, str(tmp_path / "none")))
    loop.run()
    assert icon.told[0][0] == "voiced could not do that"
    assert "not there yet" in icon.told[0][1]


def test_it_runs_until_it_is_stopped(tray: TrayApp, loop: Loop, ended: list[int]) -> None:
    loop.defer(lambda: tray.do(Action(ActionKind.QUIT)))
    assert tray.run() == os.EX_OK
    assert ended == []


def test_an_error_after_the_stop_is_no_failure(tray: TrayApp, loop: Loop) -> None:
    icon_of(tray).end_error = RuntimeError("CloseNotification: no such name")
    loop.defer(tray.stop)
    assert tray.run() == os.EX_OK


def test_an_error_before_it_is_one(tray: TrayApp, loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    icon_of(tray).end_error = RuntimeError("no bus")
    loop.quit()
    assert tray.run() == os.EX_SOFTWARE
    assert "the icon cannot be shown: no bus" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_loop_that_does_not_end_is_left_by_force(
    tray: TrayApp, loop: Loop, ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "STOP_LIMIT_S", 0.05)

    def end(code: int) -> None:
        ended.append(code)
        loop.quit()

    monkeypatch.setattr(tray, "_end", end)
    icon_of(tray)._stop = lambda: None  # a notification server that hangs
    loop.defer(tray.stop)
    assert tray.run() == os.EX_OK
    assert ended == [os.EX_OK]


def test_a_failed_job_is_told(tray: TrayApp) -> None:
    tray._apply(seen())
    tray._apply(m.JobFailed(sequence=1, job=make_job(state=m.JobState.FAILED, error="why")))
    assert icon_of(tray).told == [("Not finished: report.epub", "why")]


def test_the_clipboard_without_a_tool_says_what_to_install(
    tray: TrayApp, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desktop, "clipboard_command", lambda environ: None)
    icon = icon_of(tray)
    icon.ends_when_told = True
    tray.do(Action(ActionKind.READ_CLIPBOARD))
    loop.run()
    assert icon.told[0][1].startswith("install ")
