"""A private desktop without pixels: an X server and a session bus of our own, and trays started in it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support import need
from voiced_ipc.endpoint import Endpoint

# No service directories: an installed notification server would be started and change the outcome.
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><auth>EXTERNAL</auth><listen>unix:path=%s</listen>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>"""

_PROBE = "import gi; gi.require_version('Gtk', '3.0'); gi.require_version('AyatanaAppIndicator3', '0.1')"


def need_session() -> None:
    """Skip, or fail where it is required, without an X server and a bus."""
    for program in ("Xvfb", "dbus-daemon"):
        need("tray", shutil.which(program) is not None, f"{program} is not installed")


def need_appindicator() -> None:
    """The same without PyGObject and the library that draws the icon."""
    need_session()
    need("tray", _has_appindicator(), "this Python has no PyGObject with GTK 3 and AyatanaAppIndicator3")


@cache
def _has_appindicator() -> bool:
    return subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False).returncode == 0


class Desktop(NamedTuple):
    """A login session."""

    display: str
    bus: str
    home: Path
    """HOME, and the runtime folder below it."""
    xvfb: "subprocess.Popen[bytes] | None"
    bus_daemon: "subprocess.Popen[bytes]"

    @property
    def runtime(self) -> Path:
        return self.home / "run"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.runtime / "voiced")

    @property
    def tray_folder(self) -> Path:
        return self.runtime / "voiced-tray"

    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "DISPLAY": self.display,
            "DBUS_SESSION_BUS_ADDRESS": self.bus,
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }


@contextmanager
def x_server() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """An X server of our own: its DISPLAY, and the process."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    process = subprocess.Popen(
        command, pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(writer)
    try:
        with open(reader) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}", process
    finally:
        _end(process)


@contextmanager
def session(display: str, xvfb: "subprocess.Popen[bytes] | None" = None) -> Iterator[Desktop]:
    """A session on `display` with a bus and folders of its own."""
    home = Path(tempfile.mkdtemp(prefix="vt"))  # short: the paths of sockets are limited
    (home / "run").mkdir(mode=0o700)
    socket_path = home / "bus"
    config = home / "bus.conf"
    config.write_text(_BUS % socket_path)
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline(), "dbus-daemon did not start"
        yield Desktop(display, f"unix:path={socket_path}", home, xvfb, process)
    finally:
        _end(process)
        shutil.rmtree(home, ignore_errors=True)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(5)


class Outcome(NamedTuple):
    """How a tray ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float


class TrayProcess:
    """A real tray in a desktop; a context manager that ends it."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "voiced_tray", *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> "TrayProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate(timeout=5)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ends(self, timeout_s: float = 5.0) -> Outcome:
        """Wait for the end."""
        began = time.monotonic()
        stdout, stderr = self._process.communicate(timeout=timeout_s)
        return Outcome(self._process.returncode, stdout, stderr, time.monotonic() - began)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 5.0) -> Outcome:
        """Send a signal and wait for the end."""
        self._process.send_signal(number)
        return self.ends(timeout_s)
