"""voiced as a service of this user: find it, install it, start it, ask after it, remove it.

systemd's user manager on Linux, launchd on macOS, from the templates in the distribution's folders `systemd` and
`launchd`. The command line calls this; the daemon never does. Texts are pure functions, and every command goes
through `Host.run`.
"""

import os
from pathlib import Path

from voiced.service.host import (
    Completed,
    Host,
    InstalledService,
    Run,
    ServiceError,
    ServiceStatus,
    this_host,
)
from voiced.service.launchd import Launchd
from voiced.service.systemd import Systemd
from voiced.service.template import find_program

__all__ = [
    "Completed",
    "Host",
    "InstalledService",
    "Run",
    "ServiceError",
    "ServiceStatus",
    "find_program",
    "find_service",
    "install",
    "start",
    "status",
    "stop",
    "this_host",
    "uninstall",
]


def find_service(host: Host | None = None) -> InstalledService | None:
    """Return the service of the daemon that this environment means; None where there is none.

    None too where VOICED_ENDPOINT or VOICED_ROOT ask for a daemon that is not the service's. No command is run.
    """
    host = host or this_host()
    if host.environ.get("VOICED_ENDPOINT") or host.environ.get("VOICED_ROOT"):
        return None
    manager = _find_manager(host)
    return manager.installed() if manager else None


def install(
    program: Path | None = None, *, on_demand: bool = False, tray: bool = False, host: Host | None = None
) -> InstalledService:
    """Write the service's files, enable it, start it, and return it; installing again updates it.

    Args:
        program: The `voiced` to start; None = this installation's.
        on_demand: Start with the first client instead of with the login (systemd only).
        tray: Start the tray icon with the desktop too.
        host: None = this machine.

    Raises:
        ServiceError: If there is no service manager, it refuses, or `program` cannot be run.
    """
    host = host or this_host()
    manager = _manager(host)
    program = program or find_program()
    if not program.is_absolute() or not os.access(program, os.X_OK):
        raise ServiceError(f"{program} cannot be started: give the full path of `voiced`")
    manager.install(program, on_demand=on_demand, tray=tray)
    found = manager.installed()
    assert found is not None
    return found


def uninstall(host: Host | None = None) -> tuple[Path, ...]:
    """Stop and disable the service, and return the files removed; empty where nothing was installed.

    Files for all users, which a package brought, stay: their service is only disabled for this one.

    Raises:
        ServiceError: If there is no service manager, or it refuses.
    """
    return _manager(host or this_host()).uninstall()


def start(host: Host | None = None) -> None:
    """Start the service; under systemd this returns when the daemon answers.

    Raises:
        ServiceError: If it is not installed, or did not start.
    """
    manager = _manager(host or this_host())
    manager.start(_required(manager))


def stop(host: Host | None = None) -> None:
    """Stop the service until the next login or `start`.

    Raises:
        ServiceError: If it is not installed, or the manager refuses.
    """
    manager = _manager(host or this_host())
    manager.stop(_required(manager))


def status(host: Host | None = None) -> ServiceStatus:
    """Return what the service manager says of the daemon; `installed` is None where it knows none.

    Raises:
        ServiceError: If there is no service manager, or it does not answer.
    """
    manager = _manager(host or this_host())
    found = manager.installed()
    return manager.status(found) if found else ServiceStatus(None)


def _find_manager(host: Host) -> Systemd | Launchd | None:
    if host.platform.startswith("linux"):
        return Systemd(host)
    return Launchd(host) if host.platform == "darwin" else None


def _manager(host: Host) -> Systemd | Launchd:
    manager = _find_manager(host)
    if manager is None:
        raise ServiceError(
            "services are made for systemd and launchd: here, let your desktop start `voiced run`"
        )
    return manager


def _required(manager: Systemd | Launchd) -> InstalledService:
    found = manager.installed()
    if found is None:
        raise ServiceError("voiced is not installed as a service: `voiced service install` does it")
    return found
