"""What must be there before pystray is imported: a session, a bus, a panel that shows icons, the packages.

Without these pystray hangs, dies with a traceback or runs unseen; here each case is one sentence and an exit code:
69 = it cannot work here, 75 = no panel shows icons yet. Pure Python: jeepney for D-Bus, python-xlib for X.
"""

import contextlib
import importlib
import importlib.util
import os
import socket
import sys
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

WATCHER = "org.kde.StatusNotifierWatcher"
BUS_TIMEOUT_S = 2.0
XEMBED_INTERVAL_S = 5.0
"""How often an old-style tray is looked for while waiting; a new one announces itself."""

LINUX_PACKAGES = (
    "install python3-gi, gir1.2-gtk-3.0 and gir1.2-ayatanaappindicator3-0.1 (names of Debian and Ubuntu), "
    "and let this Python see PyGObject"
)


class TrayUnavailable(Exception):
    """The tray cannot be shown; the message says what to do.

    Args:
        code: The process's exit status.
        message: One sentence.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Notifier(Enum):
    """What the session bus says about panels of the new kind (StatusNotifier)."""

    HOST = "host"
    WATCHER = "watcher"
    """Somebody keeps a list of icons, nobody shows them."""
    NONE = "none"
    NO_BUS = "no-bus"


class Screen(Enum):
    """What the X server says about panels of the old kind (XEmbed)."""

    HOST = "host"
    NONE = "none"
    NO_DISPLAY = "no-display"


class Session(NamedTuple):
    """What was found in this login session."""

    screen: Screen
    has_wayland: bool
    notifier: Notifier

    @property
    def has_host(self) -> bool:
        """Whether some panel shows icons."""
        return self.notifier is Notifier.HOST or self.screen is Screen.HOST


def judge(session: Session) -> TrayUnavailable | None:
    """Return what keeps the tray from being shown; None where nothing does. Pure."""
    if session.screen is Screen.NO_DISPLAY and not session.has_wayland:
        return TrayUnavailable(
            os.EX_UNAVAILABLE,
            "no graphical session (neither DISPLAY nor WAYLAND_DISPLAY works): start the tray from the desktop; "
            "the daemon does not need it",
        )
    if session.notifier is Notifier.NO_BUS:
        return TrayUnavailable(
            os.EX_UNAVAILABLE, "no D-Bus session bus: start the tray from the desktop session"
        )
    if not session.has_host:
        return TrayUnavailable(
            os.EX_TEMPFAIL,
            "no panel of this desktop shows tray icons (on GNOME install and enable the AppIndicator extension); "
            "`voiced-tray --wait` waits for one",
        )
    return None


def check(environ: Mapping[str, str] | None = None) -> None:
    """Do nothing where the tray can be shown.

    Raises:
        TrayUnavailable: With what is missing.
    """
    check_packages()
    if sys.platform.startswith("linux"):
        problem = judge(look(os.environ if environ is None else environ))
        if problem:
            raise problem


def check_packages() -> None:
    """Do nothing where the Python packages are installed.

    Raises:
        TrayUnavailable: Naming those that are missing.
    """
    wanted = {"pystray": "pystray", "PIL": "pillow"}
    if sys.platform.startswith("linux"):
        wanted |= {"jeepney": "jeepney", "Xlib": "python-xlib"}
    missing = [name for module, name in wanted.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise TrayUnavailable(
            os.EX_UNAVAILABLE, f"{', '.join(missing)} not installed: pip install 'voiced[tray]'"
        )


def look(environ: Mapping[str, str]) -> Session:
    """Return what this login session has."""
    return Session(_screen(environ), _has_wayland(environ), _notifier(environ))


def wait_for_host(environ: Mapping[str, str] | None = None) -> None:
    """Return as soon as the tray can be shown; waits as long as only the panel is missing.

    Raises:
        TrayUnavailable: If something else is missing, or the session ends meanwhile.
    """
    env = os.environ if environ is None else environ
    while True:
        try:
            check(env)
            return
        except TrayUnavailable as problem:
            if problem.code != os.EX_TEMPFAIL:
                raise
        _wait_for_change(env)


def load_pystray(environ: "os._Environ[str] | dict[str, str] | None" = None) -> ModuleType:
    """Return pystray with a backend that has a menu.

    Raises:
        TrayUnavailable: If there is none; the message names the packages.
    """
    env = os.environ if environ is None else environ
    if sys.platform.startswith("linux"):
        # Without it a missing library ends in a backend without a menu, and no word about why.
        env.setdefault("PYSTRAY_BACKEND", "appindicator")
    backend = env.get("PYSTRAY_BACKEND", sys.platform)
    try:
        pystray = importlib.import_module("pystray")
    except Exception as error:  # backends raise what their libraries do: ValueError, Xlib's own ...
        reason = " ".join(str(error).split())
        raise TrayUnavailable(os.EX_UNAVAILABLE, _backend_message(backend, reason)) from error
    if not pystray.Icon.HAS_MENU or backend == "dummy":
        raise TrayUnavailable(
            os.EX_UNAVAILABLE, f"the tray backend {backend} has no menu: unset PYSTRAY_BACKEND"
        )
    return pystray


def _backend_message(backend: str, reason: str) -> str:
    if backend == "appindicator":
        return f"the tray's library is missing ({reason}): {LINUX_PACKAGES}"
    if backend == "darwin":
        return f"the tray's library is missing ({reason}): pip install 'voiced[tray]'"
    return f"the tray backend {backend} does not work here ({reason}): unset PYSTRAY_BACKEND"


def _has_wayland(environ: Mapping[str, str]) -> bool:
    name = environ.get("WAYLAND_DISPLAY", "")
    if not name:
        return False
    path = Path(environ.get("XDG_RUNTIME_DIR", ""), name)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _screen(environ: Mapping[str, str]) -> Screen:
    name = environ.get("DISPLAY", "")
    if not name:
        return Screen.NO_DISPLAY
    import Xlib.display
    import Xlib.error

    try:
        display = Xlib.display.Display(name)
    except (Xlib.error.DisplayError, Xlib.error.XauthError, OSError):
        return Screen.NO_DISPLAY
    try:
        atom = display.intern_atom(f"_NET_SYSTEM_TRAY_S{display.get_default_screen()}")
        return Screen.HOST if display.get_selection_owner(atom) else Screen.NONE
    except (Xlib.error.ConnectionClosedError, OSError):
        return Screen.NO_DISPLAY
    finally:
        with contextlib.suppress(Xlib.error.ConnectionClosedError, OSError):
            display.close()


def _notifier(environ: Mapping[str, str]) -> Notifier:
    from jeepney import DBusErrorResponse, message_bus
    from jeepney.wrappers import Properties, unwrap_msg

    connection = session_bus(environ)
    if connection is None:
        return Notifier.NO_BUS
    try:
        reply = connection.send_and_get_reply(message_bus.NameHasOwner(WATCHER), timeout=BUS_TIMEOUT_S)
        if not unwrap_msg(reply)[0]:
            return Notifier.NONE
        asked = Properties(_watcher()).get("IsStatusNotifierHostRegistered")
        value = unwrap_msg(connection.send_and_get_reply(asked, timeout=BUS_TIMEOUT_S))[0]
        return Notifier.HOST if value == ("b", True) else Notifier.WATCHER
    except (DBusErrorResponse, TimeoutError):
        return Notifier.WATCHER
    except OSError:
        return Notifier.NO_BUS
    finally:
        connection.close()


def _watcher() -> Any:
    from jeepney import DBusAddress

    return DBusAddress("/StatusNotifierWatcher", bus_name=WATCHER, interface=WATCHER)


def session_bus(environ: Mapping[str, str]) -> "DBusConnection | None":
    """Return a connection to the session bus, found as GLib finds it; None where there is none."""
    from jeepney.io.blocking import open_dbus_connection

    address = environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={environ.get('XDG_RUNTIME_DIR', '')}/bus"
    try:
        return open_dbus_connection(address)
    except (OSError, ValueError, RuntimeError, StopIteration):
        return None  # no such socket, not an address, not one that jeepney knows, nothing in it


def _wait_for_change(environ: Mapping[str, str]) -> None:
    """Return when a panel may have come: its name appeared on the bus, it registered, or some seconds passed."""
    from jeepney import MatchRule, message_bus

    rules = (
        MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged"),
        MatchRule(type="signal", interface=WATCHER),
    )
    rules[0].add_arg_condition(0, WATCHER)
    connection = session_bus(environ)
    if connection is None:
        return
    try:
        for rule in rules:
            connection.send_and_get_reply(message_bus.AddMatch(rule), timeout=BUS_TIMEOUT_S)
        end = time.monotonic() + XEMBED_INTERVAL_S
        while (left := end - time.monotonic()) > 0:
            message = connection.receive(timeout=left)
            if any(rule.matches(message) for rule in rules):
                return
    except OSError:
        return  # nothing came (TimeoutError), or the bus is gone: the next look tells
    finally:
        connection.close()
