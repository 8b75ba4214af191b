"""What the tray does outside the protocol: folders, the clipboard, and `voiced` as a command.

Everything here runs other programs and may take long: call it from a thread of its own.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

OPEN_TIMEOUT_S = 10.0
CLIPBOARD_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 60.0
MAX_CLIPBOARD_BYTES = 8 << 20
"""A book; more is no text that somebody copied to hear it."""

_VOICED = (sys.executable, "-P", "-m", "voiced")
"""This installation's own command; -P keeps the working directory out of the import path."""


class DesktopError(Exception):
    """It could not be done; the message says why and what to do."""


def open_folder(path: Path) -> None:
    """Show a folder in the desktop's file manager.

    Raises:
        DesktopError: If it is not there, or nothing can show it.
    """
    if not path.is_dir():
        raise DesktopError(f"{path} is not there yet: the daemon makes it when it first needs it")
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(opener) is None:
        raise DesktopError(f"{opener} is not installed, so no file manager can be asked to show {path}")
    process = subprocess.Popen(
        [opener, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):  # some stay as long as the window is open
        if process.wait(OPEN_TIMEOUT_S) != 0:
            raise DesktopError(f"the desktop knows no program that shows {path}")


def clipboard_command(
    environ: Mapping[str, str], which: Callable[[str], str | None] = shutil.which
) -> tuple[str, ...] | None:
    """Return the command that prints the clipboard as text; None where none is installed. Pure."""
    if sys.platform == "darwin":
        commands: list[tuple[str, ...]] = [("pbpaste",)]
    else:
        wayland = [("wl-paste", "--no-newline", "--type", "text")] if environ.get("WAYLAND_DISPLAY") else []
        x11 = [("xclip", "-out", "-selection", "clipboard"), ("xsel", "--output", "--clipboard")]
        commands = [*wayland, *(x11 if environ.get("DISPLAY") else [])]
    return next((command for command in commands if which(command[0])), None)


def clipboard_hint(environ: Mapping[str, str]) -> str:
    """Return what to install so that the clipboard can be read; empty where it can."""
    if clipboard_command(environ) is not None:
        return ""
    return f"install {'wl-clipboard' if environ.get('WAYLAND_DISPLAY') else 'xclip'}"


def read_clipboard(command: Sequence[str]) -> bytes:
    """Return the clipboard's text, UTF-8.

    Raises:
        DesktopError: If there is none, it is too long, or its owner does not give it.
    """
    try:
        found = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLIPBOARD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DesktopError(
            "the program that owns the clipboard does not answer: copy the text again"
        ) from None
    except OSError as error:
        raise DesktopError(f"{command[0]} cannot be run: {error.strerror}") from error
    if found.returncode != 0 or not found.stdout.strip():
        raise DesktopError("there is no text on the clipboard: select some and copy it first")
    if len(found.stdout) > MAX_CLIPBOARD_BYTES:
        raise DesktopError(
            "the text on the clipboard is too long to be read aloud: drop it as a file instead"
        )
    return found.stdout


def run_voiced(*arguments: str) -> None:
    """Run `voiced` with `arguments` to its end.

    Raises:
        DesktopError: With what it said, if it failed.
    """
    try:
        done = subprocess.run(
            [*_VOICED, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DesktopError(
            f"`voiced {' '.join(arguments)}` did not end within {COMMAND_TIMEOUT_S:g} s: try it in a terminal"
        ) from None
    if done.returncode != 0:
        raise DesktopError(
            _said(done.stderr) or f"`voiced {' '.join(arguments)}` failed: see `voiced status`"
        )


class Reader:
    """Reads the clipboard aloud, one text at a time, through `voiced say -`."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def read(self, command: Sequence[str]) -> None:
        """Read aloud what `command` prints; returns at the end of it.

        Raises:
            DesktopError: If there is nothing to read, or it could not be spoken.
        """
        text = read_clipboard(command)
        with self._guard:
            if self._process is not None:
                return
            self._is_stopped = False
            self._process = process = subprocess.Popen(
                [*_VOICED, "say", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        try:
            _, said = process.communicate(text)
        finally:
            with self._guard:
                self._process = None
        if process.returncode != 0 and not self._is_stopped:
            raise DesktopError(_said(said) or "the clipboard could not be read aloud: try `voiced say hello`")

    def stop(self) -> None:
        """Silence it; does nothing where nothing is being read."""
        with self._guard:
            if self._process is not None:
                self._is_stopped = True
                self._process.send_signal(signal.SIGINT)


def _said(stderr: bytes) -> str:
    """The last line of what `voiced` printed, without its name."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("voiced: ")[:300] if lines else ""
