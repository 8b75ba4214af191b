"""Starting the tray with the desktop: an XDG autostart file on Linux, a launchd agent on macOS.

Written and removed only when asked to (`voiced-tray --autostart on|off|status`). The macOS part is checked as text;
it has not been run there.
"""

import plistlib
import sys
from collections.abc import Mapping
from pathlib import Path

DESKTOP_NAME = "voiced-tray.desktop"
AGENT_LABEL = "local.voiced.tray"
"""The same as `voiced service` gives it: one agent, whoever wrote it."""


def autostart_file(environ: Mapping[str, str], home: Path, platform: str = sys.platform) -> Path:
    """Return where the entry of this user lies. Pure."""
    if platform == "darwin":
        return home / "Library/LaunchAgents" / f"{AGENT_LABEL}.plist"
    config = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(config) if config.startswith("/") else home / ".config"
    return folder / "autostart" / DESKTOP_NAME


def command(executable: Path = Path(sys.executable)) -> tuple[str, ...]:
    """Return the command of this installation that waits for a panel and shows the tray."""
    script = executable.with_name("voiced-tray")
    if script.is_file():
        return (str(script), "--wait")
    return (str(executable), "-P", "-m", "voiced_tray", "--wait")


def desktop_entry(arguments: tuple[str, ...]) -> str:
    """Return the text of the autostart file. Pure."""
    return "\n".join(
        (
            "[Desktop Entry]",
            "Type=Application",
            "Version=1.0",
            "Name=voiced",
            "Comment=Shows what the speech service does, and locks its device",
            f"Exec={' '.join(_quoted(argument) for argument in arguments)}",
            f"TryExec={_escaped(arguments[0])}",
            "Icon=audio-x-generic",
            "Terminal=false",
            "NoDisplay=true",
            "X-GNOME-Autostart-enabled=true",
            "",
        )
    )


def launch_agent(arguments: tuple[str, ...]) -> bytes:
    """Return the property list of the agent. Pure.

    Restarted on failure only, so that Quit holds; only in a graphical login.
    """
    return plistlib.dumps(
        {
            "Label": AGENT_LABEL,
            "ProgramArguments": list(arguments),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "LimitLoadToSessionType": "Aqua",
            "ProcessType": "Interactive",
            "ThrottleInterval": 10,
        }
    )


def is_on(file: Path) -> bool:
    """Return whether the desktop will start the tray."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return False
    lines = {line.replace(" ", "").lower() for line in text.splitlines()}
    return not lines & {"hidden=true", "x-gnome-autostart-enabled=false"}


def turn_on(file: Path, platform: str = sys.platform) -> None:
    """Write the entry whole or not at all.

    Raises:
        OSError: If the folder cannot be written.
    """
    arguments = command()
    content = launch_agent(arguments) if platform == "darwin" else desktop_entry(arguments).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(content)
    fresh.replace(file)


def turn_off(file: Path) -> None:
    """Remove the entry.

    Raises:
        OSError: If the folder cannot be written.
    """
    file.unlink(missing_ok=True)


def _escaped(text: str) -> str:
    """A value of type string: a backslash is written twice."""
    return text.replace("\\", "\\\\")


def _quoted(argument: str) -> str:
    """One argument of Exec: quoted, its own escapes, then those of a string; % begins a field code."""
    quoted = "".join(f"\\{char}" if char in '"`$\\' else char for char in argument.replace("%", "%%"))
    return _escaped(f'"{quoted}"')
