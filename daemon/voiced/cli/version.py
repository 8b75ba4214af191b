"""`voiced version`: what is installed, and what runs."""

import argparse

import voiced
from voiced.cli.exits import Exit
from voiced.cli.output import print_json
from voiced.cli.parser import add_json
from voiced.cli.part import Part


def _declare(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def _run(options: argparse.Namespace) -> int:
    running = _running()
    if options.json:
        print_json({"version": voiced.__version__, "daemon": running})
        return Exit.OK
    print(f"voiced {voiced.__version__}")
    if running is not None and running != voiced.__version__:
        print(f"daemon {running}: `voiced restart` starts the installed one")
    return Exit.OK


def _running() -> str | None:
    from voiced_ipc import Client
    from voiced_ipc.errors import VoicedError

    try:
        with Client(timeout_s=1.0) as client:
            return client.status().version
    except VoicedError:
        return None


PARTS = {"version": Part(_declare, _run, ("voiced version", "voiced --version"))}
