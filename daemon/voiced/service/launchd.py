"""The service in launchd: an agent of the user for the daemon, and one for the tray.

launchd has neither readiness nor a watchdog, so `start` returns before the daemon answers.
"""

import plistlib
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from voiced.service.host import Completed, Host, InstalledService, ServiceError, ServiceStatus
from voiced.service.template import read_template

DAEMON = "local.voiced.daemon"
TRAY = "local.voiced.tray"


def fill_agent(template: bytes, program: Path, home: Path) -> bytes:
    """Return a property list with `@VOICED@` and `@HOME@` filled in; plistlib quotes what XML needs."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("@VOICED@", str(program)).replace("@HOME@", str(home))
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return [filled(item) for item in value] if isinstance(value, list) else value

    return plistlib.dumps(filled(plistlib.loads(template)), sort_keys=False)


def started_program(agent: bytes) -> str:
    """Return the program that an agent starts; empty where it starts none, or is damaged."""
    try:
        arguments = plistlib.loads(agent).get("ProgramArguments")
    except (plistlib.InvalidFileException, ExpatError, ValueError, AttributeError):
        return ""
    return str(arguments[0]) if arguments else ""


def read_status(installed: InstalledService, answer: Completed) -> ServiceStatus:
    """Return the status in the answer of `launchctl print`; its format is nobody's promise, so little is read."""
    if answer.returncode:
        return ServiceStatus(installed, state="not loaded")
    values: dict[str, str] = {}
    for line in answer.output.splitlines():
        key, _, value = line.strip().partition(" = ")
        values.setdefault(key, value)  # the outermost comes first
    pid = values.get("pid", "")
    return ServiceStatus(
        installed,
        is_enabled=True,
        is_running=values.get("state") == "running",
        pid=int(pid) if pid.isdigit() else None,
        state=values.get("state", "loaded"),
    )


class Launchd:
    """The launchd domain of the user's session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.folder = host.home / "Library/LaunchAgents"
        """The user's own agents."""

    def installed(self) -> InstalledService | None:
        """Return the daemon's agent; None where there is none."""
        file = self._file(DAEMON)
        if not file.is_file():
            return None
        return InstalledService("launchd", file, started_program(file.read_bytes()))

    def install(self, program: Path, *, on_demand: bool, tray: bool) -> None:
        """Write the agents and load them, which starts them.

        Raises:
            ServiceError: If launchd refuses, or is to start the daemon on demand: it has no such sockets.
        """
        if on_demand:
            raise ServiceError("launchd cannot start voiced on demand: install it to start at login")
        (self._host.home / "Library/Logs/voiced").mkdir(parents=True, exist_ok=True)  # launchd does not
        self.folder.mkdir(parents=True, exist_ok=True)
        for label in (DAEMON, *([TRAY] if tray else [])):
            file = self._file(label)
            file.write_bytes(fill_agent(read_template("launchd", file.name), program, self._host.home))
            self._ctl("bootout", f"{self._domain}/{label}", check=False)
            self._ctl("bootstrap", self._domain, str(file))

    def uninstall(self) -> tuple[Path, ...]:
        """Unload the agents, and return the files removed."""
        own = tuple(file for file in (self._file(TRAY), self._file(DAEMON)) if file.exists())
        for file in own:
            self._ctl("bootout", f"{self._domain}/{file.stem}", check=False)
            file.unlink()
        return own

    def start(self, service: InstalledService) -> None:
        """Start the daemon, loading the agent first where it is not."""
        if self._ctl("print", f"{self._domain}/{DAEMON}", check=False).returncode:
            self._ctl("bootstrap", self._domain, str(service.file))
        self._ctl("kickstart", f"{self._domain}/{DAEMON}")

    def stop(self, service: InstalledService) -> None:
        """Ask the daemon to end: a clean end is not restarted."""
        self._ctl("kill", "SIGTERM", f"{self._domain}/{service.file.stem}")

    def status(self, service: InstalledService) -> ServiceStatus:
        """Return what launchd says."""
        return read_status(service, self._ctl("print", f"{self._domain}/{DAEMON}", check=False))

    @property
    def _domain(self) -> str:
        return f"gui/{self._host.uid}"

    def _file(self, label: str) -> Path:
        return self.folder / f"{label}.plist"

    def _ctl(self, *words: str, check: bool = True) -> Completed:
        command = ["launchctl", *words]
        done = self._host.command(command, self._host.environ)
        if check and done.returncode:
            said = done.output.strip() or f"exit code {done.returncode}"
            raise ServiceError(
                f"`{' '.join(command)}` failed: {said}; it needs your desktop session, not ssh"
            )
        return done
