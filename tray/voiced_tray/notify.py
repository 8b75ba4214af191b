"""Notifications that never wait for the notification server.

pystray's own notifier calls it synchronously on the menu's thread: a server that hangs freezes the menu for 25 s, a
missing one ends the program with a traceback. This one has the same methods, sends and forgets.
"""

import contextlib
import logging
import os
from html import escape
from types import ModuleType
from typing import TYPE_CHECKING

from voiced_tray.preflight import session_bus

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

logger = logging.getLogger(__name__)

_NAME = "org.freedesktop.Notifications"
_PATH = "/org/freedesktop/Notifications"
_ICON = "audio-x-generic"
_SERVER_DECIDES_MS = -1


class QuietNotifier:
    """Stands in for `pystray._util.notify_dbus.Notifier`."""

    def __init__(self) -> None:
        self._connection: DBusConnection | None = None

    def notify(self, title: str, message: str, icon: str) -> None:
        """Show a notification; without a server it is lost.

        Args:
            title: Its first line.
            message: The text; shown as it is, not as markup.
            icon: The tray icon's file, which the next update removes: a themed icon is named instead.
        """
        from jeepney import DBusAddress, MessageFlag, new_method_call

        if self._connection is None:
            self._connection = session_bus(os.environ)
        if self._connection is None:
            return
        call = new_method_call(
            DBusAddress(_PATH, bus_name=_NAME, interface=_NAME),
            "Notify",
            "susssasa{sv}i",
            ("voiced", 0, _ICON, title, escape(message, quote=False), [], {}, _SERVER_DECIDES_MS),
        )
        call.header.flags |= MessageFlag.no_reply_expected
        try:
            self._forget_answers(self._connection)
            self._connection.send(call)
        except OSError:
            logger.debug("a notification was lost: the session bus is gone")
            self.close()

    def hide(self) -> None:
        """Do nothing: a notification stays until it is read."""

    def close(self) -> None:
        """Let go of the bus; the next notification takes it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _forget_answers(self, connection: "DBusConnection") -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                connection.receive(timeout=0)


def make_quiet(pystray: ModuleType) -> None:
    """Let pystray's D-Bus backends use `QuietNotifier`; nothing changes where they are built otherwise."""
    if not pystray.Icon.__module__.endswith(("_appindicator", "_gtk")):
        return
    with contextlib.suppress(ImportError):
        from pystray._util import notify_dbus

        notify_dbus.Notifier = QuietNotifier
