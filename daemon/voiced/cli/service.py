"""`voiced service`: start the daemon with the login, through systemd or launchd."""

import argparse
from pathlib import Path

from voiced import service
from voiced.cli.exits import Exit
from voiced.cli.output import print_json
from voiced.cli.parser import add_json
from voiced.cli.part import Part


def _declare(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    install = verbs.add_parser("install", help="install the service and start it")
    install.add_argument(
        "--program", metavar="FILE", type=Path, help="the `voiced` to start; otherwise this one"
    )
    install.add_argument(
        "--on-demand",
        action="store_true",
        help="start with the first request instead of with the login (systemd)",
    )
    install.add_argument("--tray", action="store_true", help="start the tray icon with the desktop too")
    verbs.add_parser("uninstall", help="stop the service and remove it; settings, models and audio stay")
    status = verbs.add_parser("status", help="what the service manager says")
    add_json(status)


def _run(options: argparse.Namespace) -> int:
    if options.verb == "install":
        return _install(options)
    if options.verb == "uninstall":
        removed = service.uninstall()
        print("\n".join(f"removed {file}" for file in removed) or "no service was installed")
        return Exit.OK
    return _status(options)


def _install(options: argparse.Namespace) -> int:
    program = options.program.absolute() if options.program else None
    installed = service.install(program, on_demand=options.on_demand, tray=options.tray)
    when = "with the first request" if installed.is_on_demand else "with your login"
    print(f"installed {installed.file}: {installed.program} starts {when}")
    return Exit.OK


def _status(options: argparse.Namespace) -> int:
    status = service.status()
    installed = status.installed
    if options.json:
        fields = status._asdict() | {"installed": None}
        if installed is not None:
            fields["installed"] = installed._asdict() | {"file": str(installed.file)}
        print_json(fields)
    elif installed is None:
        print("not installed: `voiced service install` does it")
    else:
        state = status.state or ("running" if status.is_running else "stopped")
        pid = f", pid {status.pid}" if status.pid else ""
        enabled = "starts with your login" if status.is_enabled else "does not start with your login"
        print(f"{state}{pid}, {enabled}\nfile      {installed.file}\nprogram   {installed.program}")
        if status.restarts:
            print(f"restarts  {status.restarts}")
        if status.status_text:
            print(f"says      {status.status_text}")
    return Exit.OK


PARTS = {
    "service": Part(
        _declare,
        _run,
        ("voiced service install", "voiced service install --on-demand --tray", "voiced service status"),
    )
}
