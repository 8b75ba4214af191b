"""A tray host without pixels, in pure Python: what a panel and a notification server are on the session bus.

One thread plays `org.kde.StatusNotifierWatcher` and `org.freedesktop.Notifications` and keeps answering whatever the
test does. `Item` reads the icon and its menu (`com.canonical.dbusmenu`) over a second connection, as a panel does.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    MessageType,
    message_bus,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import DBusConnection, open_dbus_connection
from jeepney.wrappers import DBusErrorResponse, unwrap_msg

WATCHER = "org.kde.StatusNotifierWatcher"
WATCHER_PATH = "/StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
NOTIFICATIONS = "org.freedesktop.Notifications"
PROPERTIES = "org.freedesktop.DBus.Properties"
TIMEOUT_S = 5.0


class Server(Enum):
    """How the notification server behaves."""

    ANSWERING = "answering"
    HUNG = "hung"
    """It owns the name and never answers."""
    NONE = "none"


class Note(NamedTuple):
    """A notification that came."""

    title: str
    message: str


@dataclass(frozen=True)
class MenuNode:
    """A menu entry as a panel reads it."""

    id: int
    label: str
    kind: str
    is_enabled: bool
    toggle: str
    is_checked: bool
    children: list["MenuNode"] = field(default_factory=list)

    def walk(self) -> Iterator["MenuNode"]:
        for child in self.children:
            yield child
            yield from child.walk()

    def labels(self) -> list[str]:
        return [child.label for child in self.children]

    def find(self, label: str) -> "MenuNode":
        """The entry anywhere below with this label; one that ends in * names the beginning."""
        found = next((node for node in self.walk() if node.is_called(label)), None)
        assert found is not None, f"no {label!r} among {[node.label for node in self.walk()]}"
        return found

    def has(self, label: str) -> bool:
        return any(node.is_called(label) for node in self.walk())

    def is_called(self, label: str) -> bool:
        return self.label.startswith(label[:-1]) if label.endswith("*") else self.label == label


class SniHost:
    """The host; a context manager.

    Args:
        address: The private bus.
        server: How the notification server behaves.
        has_panel: Somebody shows the icons, not only keeps a list.
    """

    def __init__(self, address: str, *, server: Server = Server.ANSWERING, has_panel: bool = True) -> None:
        self.items: dict[str, str] = {}
        """Sender to object path of the icons that registered."""
        self.notes: list[Note] = []
        self._has_panel = has_panel
        self._server = server
        self._address = address
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._connection = open_dbus_connection(address)
        self._reader = open_dbus_connection(address)
        self._thread = threading.Thread(target=self._serve, name="sni-host")

    def __enter__(self) -> "SniHost":
        gone = MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged")
        for rule in (
            MatchRule(type="signal", interface=ITEM),
            MatchRule(type="signal", interface=MENU),
            gone,
        ):
            self._ask(message_bus.AddMatch(rule))
        # The watcher's name last: icons register the moment it appears, and asking drops what comes meanwhile.
        for name in ([] if self._server is Server.NONE else [NOTIFICATIONS]) + [WATCHER]:
            owned = self._ask(message_bus.RequestName(name))[0]
            assert owned == 1, f"{name} is owned already: this is not a private bus"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Vanish, as a panel that was killed."""
        self._stopping.set()
        self._thread.join(TIMEOUT_S)
        self._connection.close()
        self._reader.close()

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until `condition` holds; it is looked at whenever something came over the bus, and now and then."""
        end = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                assert left > 0, f"not within {timeout_s} s: {what}"
                self._changed.wait(min(left, 0.05))

    def item(self, timeout_s: float = TIMEOUT_S) -> "Item":
        """The icon that registered, or will."""
        self.wait(lambda: bool(self.items), "an icon registers", timeout_s)
        sender, path = next(iter(self.items.items()))
        return Item(self, self._reader, sender, path)

    def _ask(self, message: Any) -> Any:
        return unwrap_msg(self._connection.send_and_get_reply(message, timeout=TIMEOUT_S))

    def _serve(self) -> None:
        announced = new_signal(DBusAddress(WATCHER_PATH, interface=WATCHER), "StatusNotifierHostRegistered")
        self._connection.send(announced)
        while not self._stopping.is_set():
            try:
                message = self._connection.receive(timeout=0.05)
                with self._changed:
                    self._take(message)
                    self._changed.notify_all()
            except TimeoutError:
                continue
            except OSError:
                return  # the bus is gone

    def _take(self, message: Any) -> None:
        fields = message.header.fields
        member = fields.get(HeaderFields.member)
        if message.header.message_type is MessageType.signal:
            if member == "NameOwnerChanged" and not message.body[2]:
                self.items.pop(message.body[0], None)
        elif message.header.message_type is MessageType.method_call:
            self._serve_call(message, fields.get(HeaderFields.interface), member)

    def _serve_call(self, message: Any, interface: str, member: str) -> None:
        path = message.header.fields.get(HeaderFields.path)
        if path == "/org/freedesktop/Notifications":
            self._notification(message, member)
        elif member == "RegisterStatusNotifierItem":
            self._register(message)
        elif interface == PROPERTIES and message.body[0] == WATCHER:
            known = {
                "RegisteredStatusNotifierItems": ("as", [name + place for name, place in self.items.items()]),
                "IsStatusNotifierHostRegistered": ("b", self._has_panel),
                "ProtocolVersion": ("i", 0),
            }
            if member == "Get":
                self._reply(message, "v", (known[message.body[1]],))
            else:
                self._reply(message, "a{sv}", (known,))
        elif member == "Introspect":
            self._reply(message, "s", (_INTROSPECTION,))
        else:
            self._connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))

    def _register(self, message: Any) -> None:
        sender = message.header.fields[HeaderFields.sender]
        name = message.body[0]
        self.items[sender] = name if name.startswith("/") else "/StatusNotifierItem"
        self._reply(message)
        told = new_signal(
            DBusAddress(WATCHER_PATH, interface=WATCHER),
            "StatusNotifierItemRegistered",
            "s",
            (sender + self.items[sender],),
        )
        self._connection.send(told)

    def _notification(self, message: Any, member: str) -> None:
        if member == "Notify":
            self.notes.append(Note(message.body[3], message.body[4]))
        if self._server is Server.HUNG:
            return
        if member == "Notify":
            self._reply(message, "u", (len(self.notes),))
        elif member == "GetAll":
            self._reply(message, "a{sv}", ({},))
        else:
            self._reply(message)

    def _reply(self, message: Any, signature: str | None = None, body: tuple[Any, ...] = ()) -> None:
        self._connection.send(new_method_return(message, signature, body))


class Item:
    """One icon, read as a panel reads it."""

    def __init__(self, host: SniHost, connection: DBusConnection, sender: str, path: str) -> None:
        self._host = host
        self._connection = connection
        self._sender = sender
        self._path = path
        self._menu_path = self.properties()["Menu"]

    def properties(self) -> dict[str, Any]:
        found = self._call(self._path, PROPERTIES, "GetAll", "s", (ITEM,))[0]
        return {name: value for name, (_, value) in found.items()}

    def title(self) -> str:
        return str(self.properties()["Title"])

    def icon(self) -> Path:
        return Path(self.properties()["IconName"])

    def menu(self) -> MenuNode:
        self._call(self._menu_path, MENU, "AboutToShow", "i", (0,))
        return _node(self._call(self._menu_path, MENU, "GetLayout", "iias", (0, -1, []))[1])

    def click(self, label: str) -> None:
        """Click an entry, named as for `MenuNode.find`; it must be there now."""
        for _ in range(5):
            node = self.menu().find(label)
            assert node.is_enabled, f"{label} is disabled"
            # An error: the menu was drawn anew meanwhile and the number is gone. Nothing was clicked.
            with contextlib.suppress(DBusErrorResponse):
                self._call(self._menu_path, MENU, "Event", "isvu", (node.id, "clicked", ("i", 0), 0))
                return
        raise AssertionError(f"{label} cannot be clicked: the menu changes all the time")

    def wait_menu(self, label: str, timeout_s: float = TIMEOUT_S) -> MenuNode:
        """The menu as soon as it has an entry, named as for `MenuNode.find`."""
        self._host.wait(lambda: self.menu().has(label), f"menu entry {label!r}", timeout_s)
        return self.menu()

    def wait_title(self, part: str, timeout_s: float = TIMEOUT_S) -> None:
        self._host.wait(lambda: part in self.title(), f"title with {part!r}", timeout_s)

    def _call(self, path: str, interface: str, member: str, signature: str, body: tuple[Any, ...]) -> Any:
        call = new_method_call(DBusAddress(path, self._sender, interface), member, signature, body)
        return unwrap_msg(self._connection.send_and_get_reply(call, timeout=TIMEOUT_S))


def _node(raw: Any) -> MenuNode:
    number, told, children = raw
    known = {name: value for name, (_, value) in told.items()}
    label = known.get("label", "").replace("__", "\0").replace("_", "").replace("\0", "_")
    return MenuNode(
        id=number,
        label=label,
        kind=known.get("type", "standard"),
        is_enabled=known.get("enabled", True),
        toggle=known.get("toggle-type", ""),
        is_checked=known.get("toggle-state", 0) == 1,
        children=[_node(child[1]) for child in children],
    )


_INTROSPECTION = """<node><interface name="org.kde.StatusNotifierWatcher">
<method name="RegisterStatusNotifierItem"><arg name="s" type="s" direction="in"/></method>
<method name="RegisterStatusNotifierHost"><arg name="s" type="s" direction="in"/></method>
<property name="RegisteredStatusNotifierItems" type="as" access="read"/>
<property name="IsStatusNotifierHostRegistered" type="b" access="read"/>
<property name="ProtocolVersion" type="i" access="read"/>
<signal name="StatusNotifierItemRegistered"><arg type="s"/></signal>
<signal name="StatusNotifierItemUnregistered"><arg type="s"/></signal>
<signal name="StatusNotifierHostRegistered"/></interface></node>"""
