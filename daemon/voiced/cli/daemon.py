"""`voiced start`, `stop`, `restart`, `reload`."""

import argparse
import os
import time
from pathlib import Path

from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.parser import between
from voiced.cli.part import Part
from voiced.cli.text import printable

_STOP_TIMEOUT_S = 30.0
_LOOK_S = 0.02


def _declare_start(parser: argparse.ArgumentParser) -> None:
    del parser


def _run_start(options: argparse.Namespace) -> int:
    from voiced.cli.connect import is_listening, start_daemon

    del options
    if is_listening():
        print("the daemon runs already")
    else:
        start_daemon()
        print("started")
    return Exit.OK


def _declare_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=between(0, 3600),
        default=_STOP_TIMEOUT_S,
        help="greatest wait for its end, in seconds (30); 0 = do not wait",
    )


def _run_stop(options: argparse.Namespace) -> int:
    from voiced.cli.connect import connect

    with connect() as client:
        pid = client.status().pid
        client.shutdown()
    if options.timeout:
        _await_end(pid, options.timeout)
    return Exit.OK


def _run_restart(options: argparse.Namespace) -> int:
    """A service's manager starts it again; any other daemon is stopped and started from here."""
    from voiced import service
    from voiced.cli.connect import START_TIMEOUT_S, await_listening, connect, is_listening, start_daemon

    if is_listening():
        with connect() as client:
            pid = client.status().pid
            is_service = service.find_service() is not None and service.status().pid == pid
            client.shutdown(restart=is_service)
        _await_end(pid, options.timeout or _STOP_TIMEOUT_S)
        if is_service:
            await_listening(options.timeout + START_TIMEOUT_S, None, None)
            return Exit.OK
    start_daemon()
    return Exit.OK


def _await_end(pid: int, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while _is_alive(pid):
        if time.monotonic() >= end:
            raise CommandFailed(
                f"the daemon (pid {pid}) is still stopping after {timeout_s:g} s: its running work ends first",
                Exit.BUSY,
            )
        time.sleep(_LOOK_S)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):  # no such file system here, or gone meanwhile
        return True
    return state != b"Z"  # ended; in a container nobody may come to fetch it


def _declare_reload(parser: argparse.ArgumentParser) -> None:
    del parser


def _run_reload(options: argparse.Namespace) -> int:
    from voiced.cli.connect import connect

    del options
    with connect() as client:
        said = client.reload().message
        problems = client.status().problems
    print(printable(said) or "the settings were read again")
    for problem in problems:
        print(f"! {printable(problem)}")
    return Exit.OK


PARTS = {
    "start": Part(_declare_start, _run_start, ("voiced start",)),
    "stop": Part(_declare_stop, _run_stop, ("voiced stop",)),
    "restart": Part(_declare_stop, _run_restart, ("voiced restart",)),
    "reload": Part(_declare_reload, _run_reload, ("voiced reload",)),
}
