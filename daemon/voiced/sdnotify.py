"""The talk with systemd: ready, status, watchdog, and the sockets that it hands over.

The protocol is a datagram of lines (sd_notify(3)) and inherited descriptors from 3 on (sd_listen_fds(3)). Without
systemd every call does nothing. Used by the daemon's main thread before READY, so it imports next to nothing.
"""

import os
import socket
import time
from collections.abc import Mapping, MutableMapping

_FIRST_PASSED = 3  # SD_LISTEN_FDS_START
_SEND_TIMEOUT_S = 1.0


class Notifier:
    """Tells systemd how the daemon is.

    Args:
        address: The value of NOTIFY_SOCKET: a path, or `@name` for an abstract socket; empty = not under systemd.

    Every method returns whether systemd was told. A manager that does not listen never stops the daemon. The one
    socket is kept open, so that a daemon out of descriptors can still feed the watchdog.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(_SEND_TIMEOUT_S)

    def ready(self, status: str = "") -> bool:
        """Say that start or reload is finished: the sockets answer."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """Show one line in `systemctl --user status voiced`."""
        return self._send(*_status(text))

    def reloading(self) -> bool:
        """Say that the configuration is read again; `ready` must follow."""
        # MONOTONIC_USEC tells systemd which reload this answers; without it `systemctl reload` may wait for ever.
        return self._send(
            "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        )

    def stopping(self, status: str = "") -> bool:
        """Say that the daemon takes no more work and ends."""
        return self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> bool:
        """Feed the watchdog."""
        return self._send("WATCHDOG=1")

    def close(self) -> None:
        """Close the socket; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True


def find_notifier(environ: MutableMapping[str, str] | None = None) -> Notifier:
    """Return the notifier that NOTIFY_SOCKET asks for; the variable is removed, so that no child speaks for us."""
    env = os.environ if environ is None else environ
    return Notifier(env.pop("NOTIFY_SOCKET", ""))


def watchdog_interval_s(environ: Mapping[str, str] | None = None) -> float | None:
    """Return how often to feed the watchdog, in seconds; None where nobody watches this process.

    Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) recommends.
    """
    env = os.environ if environ is None else environ
    watched = env.get("WATCHDOG_PID", "")
    if watched and watched != str(os.getpid()):
        return None
    limit_us = _number(env.get("WATCHDOG_USEC", ""))
    return limit_us / 2e6 if limit_us else None


def passed_sockets(environ: MutableMapping[str, str] | None = None) -> dict[str, int]:
    """Return the listening unix sockets that systemd handed over: path to descriptor.

    All three sockets come from one unit and so share one name; their paths tell them apart. The descriptors are
    closed on exec, and the variables removed, so that no child takes them for its own. Whoever closes such a
    socket must not unlink its path: systemd goes on listening there.
    """
    env = os.environ if environ is None else environ
    intended, count = env.pop("LISTEN_PID", ""), _number(env.pop("LISTEN_FDS", ""))
    env.pop("LISTEN_FDNAMES", None)
    if intended != str(os.getpid()):
        return {}
    found: dict[str, int] = {}
    for descriptor in range(_FIRST_PASSED, _FIRST_PASSED + count):
        path = _listening_path(descriptor)
        if path is not None:
            found[path] = descriptor
    return found


def _listening_path(descriptor: int) -> str | None:
    try:
        os.set_inheritable(descriptor, False)
        probe = socket.socket(fileno=descriptor)
    except OSError:
        return None  # not open, or no socket
    try:
        is_listening = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        name = probe.getsockname()
    except OSError:
        return None
    finally:
        probe.detach()
    is_path = isinstance(name, str) and name.startswith("/")
    return name if is_listening and is_path else None


def _status(text: str) -> tuple[str, ...]:
    # A line break would begin another variable.
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
