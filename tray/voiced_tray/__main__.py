"""`voiced-tray`: checks that a tray can be shown, then shows it.

Exit codes: 0 ended, or another tray runs; 64 usage; 69 it cannot work here; 70 a fault; 75 no panel shows icons yet.
"""

import argparse
import contextlib
import logging
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from voiced_ipc.endpoint import Endpoint, find_endpoint
from voiced_ipc.errors import VoicedError
from voiced_tray import autostart, preflight
from voiced_tray.instance import Instance, take_instance

_EXAMPLES = """examples:
  voiced-tray                  show the tray now
  voiced-tray --wait           wait until a panel shows icons
  voiced-tray --check          only say whether a tray can be shown
  voiced-tray --autostart on   start it with the desktop
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(os.EX_USAGE, f"voiced-tray: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `voiced-tray`; return its exit code."""
    options = _parser().parse_args(arguments)
    level = logging.DEBUG if os.environ.get("VOICED_DEBUG", "") == "1" else logging.WARNING
    logging.basicConfig(level=level, format="voiced-tray: %(message)s")
    logging.getLogger("PIL").setLevel(logging.WARNING)
    try:
        if options.autostart:
            return _autostart(options.autostart)
        if options.check:
            preflight.check()
            print("a tray can be shown")
            return os.EX_OK
        return _show(find_endpoint(), is_patient=options.wait)
    except preflight.TrayUnavailable as error:
        return _refuse(error.message, error.code)
    except VoicedError as error:
        return _refuse(error.message, os.EX_UNAVAILABLE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="voiced-tray",
        description="Show what voiced does in the tray, and lock its device there.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--wait", action="store_true", help="wait until a panel of the desktop shows icons")
    parser.add_argument("--check", action="store_true", help="only say whether a tray can be shown")
    parser.add_argument(
        "--autostart", choices=("on", "off", "status"), help="start with the desktop, or no longer"
    )
    return parser


def _refuse(message: str, code: int) -> int:
    print(f"voiced-tray: {message}", file=sys.stderr)
    return code


def _autostart(wish: str) -> int:
    file = autostart.autostart_file(os.environ, Path.home())
    try:
        if wish == "on":
            autostart.turn_on(file)
        elif wish == "off":
            autostart.turn_off(file)
    except OSError as error:
        return _refuse(f"{file} cannot be changed: {error.strerror}", os.EX_CANTCREAT)
    print(f"on ({file})" if autostart.is_on(file) else "off")
    return os.EX_OK


def _show(endpoint: Endpoint, *, is_patient: bool) -> int:
    instance = take_instance(endpoint)
    if instance is None:
        print("voiced-tray: another tray runs already")
        return os.EX_OK
    with contextlib.closing(instance):
        if is_patient:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(os.EX_OK))
            preflight.wait_for_host()
        else:
            preflight.check()
        pystray = preflight.load_pystray()
        code = _run(pystray, endpoint, instance)
    # pystray's own thread still waits where its loop never began; nothing is left to be tidied up.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(pystray: ModuleType, endpoint: Endpoint, instance: Instance) -> int:
    from voiced_tray import desktop
    from voiced_tray.app import TrayApp
    from voiced_tray.notify import make_quiet
    from voiced_tray.state import TrayState

    make_quiet(pystray)
    tempfile.tempdir = str(instance.icons)  # pystray writes the icon there for the panel to read
    state = TrayState(
        own_pid=os.getpid(),
        has_mps=sys.platform == "darwin" and platform.machine() == "arm64",
        clipboard_hint=desktop.clipboard_hint(os.environ),
    )
    return TrayApp(pystray, endpoint, state).run()


if __name__ == "__main__":
    sys.exit(main())
