"""The service in systemd's user manager: three units, of which one starts the daemon."""

import re
from collections.abc import Iterable
from pathlib import Path

from voiced.service.host import Completed, Host, InstalledService, ServiceError, ServiceStatus
from voiced.service.template import read_template

DAEMON = "voiced.service"
SOCKETS = "voiced.socket"
TRAY = "voiced-tray.service"

_SHOWN = "ActiveState,SubState,Result,UnitFileState,MainPID,StatusText,NRestarts"


def fill_unit(template: str, program: Path) -> str:
    """Return a unit whose `ExecStart=` starts `program`, with its arguments kept.

    Raises:
        ServiceError: If systemd would refuse the path, however it is written.
    """
    # string_is_safe() of systemd: "Executable name contains special characters".
    if any(character in "\"'\\" or not character.isprintable() for character in str(program)):
        raise ServiceError(f"systemd starts nothing with quotes or backslashes in its path: move {program!s}")
    word = str(program).replace("%", "%%")
    lines = template.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("ExecStart="):
            _, _, arguments = line.partition(" ")
            lines[number] = f'ExecStart="{word}" {arguments}'
    return "\n".join(lines) + "\n"


def started_program(unit: str) -> str:
    """Return the program that a unit starts; empty where it starts none."""
    for line in unit.splitlines():
        if line.startswith("ExecStart="):
            start = line.removeprefix("ExecStart=").lstrip("@-:+! ")
            quoted = re.match(r'"([^"]*)"|(\S*)', start)
            assert quoted
            return (quoted[1] or quoted[2]).replace("%%", "%")
    return ""


def read_status(installed: InstalledService, shown: str, shown_sockets: str = "") -> ServiceStatus:
    """Return the status in what `systemctl show` printed of the daemon's unit, and of the sockets'."""
    values = _values(shown)
    state = f"{values.get('ActiveState', 'unknown')} ({values.get('SubState', 'unknown')})"
    result = values.get("Result", "success")
    states = (values.get("UnitFileState"), _values(shown_sockets).get("UnitFileState"))
    return ServiceStatus(
        installed,
        is_enabled="enabled" in states,
        is_running=values.get("ActiveState") in ("active", "reloading"),
        pid=int(values.get("MainPID") or 0) or None,
        state=state if result == "success" else f"{state}, {result}",
        status_text=values.get("StatusText", ""),
        restarts=int(values.get("NRestarts") or 0),
    )


class Systemd:
    """The user manager of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        config = host.environ.get("XDG_CONFIG_HOME", "")
        self.folder = (Path(config) if config else host.home / ".config") / "systemd/user"
        """The user's own units."""

    def installed(self) -> InstalledService | None:
        """Return the daemon's unit; None where there is none, or it is masked."""
        unit = self._file(DAEMON)
        if unit is None:
            return None
        program = started_program(unit.read_text(encoding="utf-8", errors="replace"))
        return InstalledService("systemd", unit, program, self._is_wanted(SOCKETS))

    def install(self, program: Path, *, on_demand: bool, tray: bool) -> None:
        """Write the units, enable and start them.

        Raises:
            ServiceError: If there is no user manager, or it refuses; nothing was written then.
        """
        wanted = [SOCKETS if on_demand else DAEMON, *([TRAY] if tray else [])]
        filled = {
            unit: fill_unit(read_template("systemd", unit).decode(), program) for unit in {DAEMON, *wanted}
        }
        self._ctl("show-environment")  # asked first: without a manager nothing is left behind
        if not on_demand:
            self._remove([SOCKETS])
        self.folder.mkdir(parents=True, exist_ok=True)
        for unit, text in filled.items():
            (self.folder / unit).write_text(text, encoding="utf-8")
        self._ctl("daemon-reload")
        self._ctl("reset-failed", DAEMON, check=False)
        if on_demand:
            # A running daemon holds the paths; and the login must not start it any more.
            self._ctl("disable", "--now", DAEMON)
        self._ctl("enable", *wanted)
        self._ctl("restart", wanted[0])

    def uninstall(self) -> tuple[Path, ...]:
        """Stop and disable the units, and return the files removed; those for all users stay."""
        removed = self._remove([SOCKETS, DAEMON, TRAY])
        if removed:
            self._ctl("daemon-reload")
        return removed

    def start(self, service: InstalledService) -> None:
        """Start the daemon; returns when it is ready."""
        # Failures of yesterday must not refuse a person's start today.
        self._ctl("reset-failed", DAEMON, check=False)
        self._ctl("start", *([SOCKETS] if service.is_on_demand else []), DAEMON)

    def stop(self, service: InstalledService) -> None:
        """Stop the daemon; returns when it has ended."""
        # The sockets first: a client would start it again.
        self._ctl("stop", *([SOCKETS] if service.is_on_demand else []), DAEMON)

    def status(self, service: InstalledService) -> ServiceStatus:
        """Return what the manager says."""
        sockets = ""
        if service.is_on_demand:
            sockets = self._ctl("show", SOCKETS, "--property=UnitFileState").output
        return read_status(service, self._ctl("show", DAEMON, f"--property={_SHOWN}").output, sockets)

    def _file(self, unit: str) -> Path | None:
        for folder in (self.folder, *self._host.shared_unit_folders):
            file = folder / unit
            if file.is_file() and file.stat().st_size:
                return file
            if file.is_symlink() or file.exists():
                return None  # masked: a link to /dev/null or an empty file hides the rest
        return None

    def _is_wanted(self, unit: str) -> bool:
        return any(self.folder.glob(f"*.wants/{unit}"))

    def _remove(self, units: Iterable[str]) -> tuple[Path, ...]:
        there = [unit for unit in units if self._file(unit) is not None]
        if there:
            self._ctl("disable", "--now", *there)
        own = tuple(self.folder / unit for unit in there if (self.folder / unit).exists())
        for file in own:
            file.unlink()
        return own

    def _ctl(self, *words: str, check: bool = True) -> Completed:
        environ = dict(self._host.environ)
        runtime = Path("/run/user") / str(self._host.uid)
        if not environ.get("XDG_RUNTIME_DIR") and runtime.is_dir():
            environ["XDG_RUNTIME_DIR"] = str(runtime)  # as in a cron job
        command = ["systemctl", "--user", "--no-pager", *words]
        done = self._host.command(command, environ)
        if check and done.returncode:
            raise ServiceError(_reason(command, done))
        return done


def _values(shown: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def _reason(command: list[str], done: Completed) -> str:
    said = done.output.strip() or f"exit code {done.returncode}"
    if "Failed to connect to" in said:
        return (
            f"no user manager of systemd runs for you ({said}): log in anew, not through su or sudo; "
            "where nobody logs in, `loginctl enable-linger`"
        )
    advice = ""
    if {"start", "restart"} & set(command):
        advice = "; `journalctl --user -u voiced` has the details"
    return f"`{' '.join(command)}` failed: {said}{advice}"
