"""The tray: pystray's icon on the main thread, the poller beside it.

State is changed on the main thread alone: other threads hand over with `ui`. A click never waits: requests go to the
poller, programs run in threads. Import only after `preflight` has found everything.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from voiced_ipc.endpoint import Endpoint
from voiced_tray import desktop, icons, words
from voiced_tray.actions import Action, ActionKind, request_for
from voiced_tray.menu import Entry, EntryKind, build_menu
from voiced_tray.poller import Poller
from voiced_tray.state import (
    IconState,
    Input,
    Notice,
    ReadingChanged,
    RequestFailed,
    TrayState,
    icon_state,
    reduce,
)

logger = logging.getLogger(__name__)

Work = Callable[[], None]

STOP_LIMIT_S = 3.0
"""A notification server that hangs keeps GTK for 25 s: after this the process just ends."""
START_COMMAND = ("start",)
RESTART_COMMAND = ("restart",)


class View(NamedTuple):
    """What is seen; drawn again only where it differs."""

    icon: IconState
    title: str
    menu: tuple[Entry, ...]


def view_of(state: TrayState, now: datetime) -> View:
    """Return what `state` looks like."""
    return View(icon_state(state), words.title(state, now), build_menu(state, now))


def ui(work: Work) -> None:
    """Have `work` done on the main thread: the menus of GTK and macOS are drawn nowhere else."""
    if sys.platform == "darwin":
        from PyObjCTools import AppHelper

        AppHelper.callAfter(work)
        return
    from gi.repository import GLib

    def once() -> bool:
        work()
        return False

    GLib.idle_add(once)


class TrayApp:
    """The tray of one daemon.

    Args:
        pystray: The library with a working backend.
        endpoint: Where the daemon listens.
        state: What is known before the daemon is asked.
        on_main: Has work done on the main thread.
        end: Ends the process at once.
    """

    def __init__(
        self,
        pystray: ModuleType,
        endpoint: Endpoint,
        state: TrayState,
        on_main: Callable[[Work], None] = ui,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._pystray = pystray
        self._on_main = on_main
        self._end = end
        self._state = state
        self._view = view_of(state, _now())
        self._stopping = threading.Event()
        self._limit: threading.Timer | None = None
        self._reader = desktop.Reader()
        self._poller = Poller(endpoint, self._hand_over)
        self._icon: Any = pystray.Icon(
            "voiced", icons.draw_icon(self._view.icon), self._view.title, pystray.Menu(self._items)
        )

    def run(self) -> int:
        """Show the icon until it is stopped; return the exit code. Only on the main thread."""
        self._take_signals()
        code = os.EX_OK
        try:
            self._icon.run(self._setup)
        except Exception as error:  # noqa: BLE001 - GLib, Cocoa or pystray: whatever it is, it ends here
            if self._stopping.is_set():
                logger.debug("the icon did not end cleanly: %s", error)
            else:
                logger.error("the icon cannot be shown: %s", error)
                code = os.EX_SOFTWARE
        self._stopping.set()
        self._reader.stop()
        self._poller.stop(1.0)
        if self._limit is not None:
            self._limit.cancel()
        return code

    def stop(self) -> None:
        """Take the icon away and let `run` return; the process ends within `STOP_LIMIT_S` in any case."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._limit = threading.Timer(STOP_LIMIT_S, self._end, (os.EX_OK,))
        self._limit.daemon = True
        self._limit.start()
        self._icon.stop()

    # -- the icon --------------------------------------------------------------------------------------

    def _setup(self, icon: Any) -> None:
        """Runs in pystray's thread when its loop has begun."""
        self._on_main(self._take_signals)  # pystray has just taken SIGINT for itself
        icon.visible = True
        self._poller.start()

    def _take_signals(self) -> None:
        def ended(*_: object) -> None:
            if self._stopping.is_set():
                self._end(os.EX_OK)
            self.stop()

        if sys.platform == "darwin":
            from PyObjCTools import MachSignals

            set_handler: Callable[[int, Any], object] = MachSignals.signal
        else:
            set_handler = signal.signal
        for number in (signal.SIGTERM, signal.SIGINT):
            set_handler(number, ended)

    def _hand_over(self, found: Input) -> None:
        self._on_main(lambda: self._guarded(lambda: self._apply(found)))

    def _apply(self, found: Input) -> None:
        step = reduce(self._state, found)
        self._state = step.state
        for notice in step.notices:
            self._notify(notice)
        self._refresh()

    def _refresh(self) -> None:
        if self._stopping.is_set():
            return
        old, new = self._view, view_of(self._state, _now())
        self._view = new
        if new.icon is not old.icon:
            self._icon.icon = icons.draw_icon(new.icon)
        if new.title != old.title:
            self._icon.title = new.title
        if new.menu != old.menu:
            self._icon.update_menu()

    def _notify(self, notice: Notice) -> None:
        if self._icon.HAS_NOTIFICATION and not self._stopping.is_set():
            self._icon.notify(notice.message or notice.title, notice.title)

    # -- the menu --------------------------------------------------------------------------------------

    def _items(self) -> Iterator[Any]:
        return (self._item(entry) for entry in self._view.menu)

    def _item(self, entry: Entry) -> Any:
        item = self._pystray.MenuItem
        if entry.kind is EntryKind.SEPARATOR:
            return self._pystray.Menu.SEPARATOR
        if entry.kind is EntryKind.SUBMENU:
            return item(entry.label, self._pystray.Menu(*(self._item(child) for child in entry.children)))
        callback = self._callback(entry.action)
        if entry.kind is EntryKind.RADIO:
            is_checked = entry.is_checked
            return item(
                entry.label, callback, checked=lambda _: is_checked, radio=True, enabled=entry.is_enabled
            )
        return item(entry.label, callback, enabled=entry.is_enabled)

    def _callback(self, action: Action | None) -> Callable[[Any, Any], None] | None:
        if action is None:
            return None
        wanted = action
        return lambda icon, item: self._guarded(lambda: self.do(wanted))

    def do(self, action: Action) -> None:
        """Carry out a click; returns at once."""
        request = request_for(action, self._state.own_pid)
        if request is not None:
            self._poller.send(request)
            return
        match action.kind:
            case ActionKind.OPEN_FOLDER:
                self._in_background(lambda: desktop.open_folder(Path(action.target)))
            case ActionKind.START:
                self._in_background(lambda: self._run_voiced(START_COMMAND))
            case ActionKind.RESTART:
                self._in_background(lambda: self._run_voiced(RESTART_COMMAND))
            case ActionKind.READ_CLIPBOARD:
                self._in_background(self._read_clipboard)
            case ActionKind.STOP_READING:
                self._reader.stop()
            case ActionKind.QUIT:
                self.stop()

    def _run_voiced(self, command: tuple[str, ...]) -> None:
        desktop.run_voiced(*command)
        self._poller.hurry()

    def _read_clipboard(self) -> None:
        command = desktop.clipboard_command(os.environ)
        if command is None:
            raise desktop.DesktopError(desktop.clipboard_hint(os.environ))
        self._hand_over(ReadingChanged(True))
        try:
            self._reader.read(command)
        finally:
            self._hand_over(ReadingChanged(False))

    def _in_background(self, work: Work) -> None:
        def run() -> None:
            try:
                work()
            except desktop.DesktopError as error:
                self._hand_over(RequestFailed(str(error)))
            except Exception as error:
                logger.exception("a click could not be carried out")
                self._hand_over(RequestFailed(f"a fault of the tray itself: {error}"))

        threading.Thread(target=run, name="click", daemon=True).start()

    def _guarded(self, work: Work) -> None:
        """What fails on the main thread is shown: pystray would only print it."""
        try:
            work()
        except Exception as error:
            logger.exception("the tray could not do what was asked")
            self._notify(Notice("A fault of the tray itself", str(error)))


def _now() -> datetime:
    return datetime.now().astimezone()
