"""`voiced lock` and `voiced device`: where everything runs, and why."""

import argparse
import os
import shutil
import sys

from voiced.cli.connect import connect, connect_or_start
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start, between
from voiced.cli.part import Part
from voiced.cli.speech import device
from voiced.cli.status import load_text, lock_text, model_text, shows
from voiced.cli.text import printable, seconds_of, table
from voiced_ipc import messages as m


def _declare_lock(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "device", metavar="DEVICE", type=device, help="auto (no lock), cpu, cuda, cuda:N or mps"
    )
    end = parser.add_mutually_exclusive_group()
    end.add_argument(
        "--for", dest="for_s", metavar="TIME", type=_time, help="ends by itself: 90s, 30m, 2h, 1h30m"
    )
    end.add_argument(
        "--until-pid", metavar="PID", type=between(1, 2**31, int), help="ends when that process ends"
    )
    end.add_argument(
        "--while",
        dest="command",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        help="run COMMAND and hold the lock until it ends",
    )
    add_no_start(parser)


def _run_lock(options: argparse.Namespace) -> int:
    command: list[str] = options.command or []
    program = "" if options.command is None else _program(command)
    until_pid = os.getpid() if program else options.until_pid
    with connect_or_start(no_start=options.no_start) as client:
        said = client.lock_device(options.device, for_s=options.for_s, until_pid=until_pid).message
    print(printable(said) or f"device lock: {options.device}", file=sys.stderr if program else sys.stdout)
    if program:  # this process becomes the command: the lock ends with it, and its exit code is ours
        sys.stderr.flush()
        os.execv(program, command)
    return Exit.OK


def _program(command: list[str]) -> str:
    found = shutil.which(command[0]) if command else None
    if found is None:
        raise CommandFailed(f"no such program: {' '.join(command[:1]) or '(none given)'}", Exit.USAGE)
    return found


def _time(text: str) -> float:
    try:
        return seconds_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90s, 30m, 2h or 1h30m") from None


def _declare_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", choices=("why",), help="also the last decisions, with their reasons"
    )
    parser.add_argument(
        "--limit", metavar="N", type=between(1, 200, int), default=20, help="at most N decisions (20)"
    )
    add_json(parser)


def _run_device(options: argparse.Namespace) -> int:
    with connect() as client:
        explanation = client.explain_device(int(options.limit))
        status = client.status()
    if options.json:
        print_json({"device": status.device, **document(explanation)})
    elif options.what == "why":
        print_lines([*device_page(status), "", *why_page(explanation)])
    else:
        print_lines(device_page(status))
    return Exit.OK


def device_page(status: m.Status) -> list[str]:
    """Return where things run now."""
    facts = [
        ("device", status.device),
        ("lock", lock_text(status.lock)),
        ("load", load_text(status.load)),
        *((model.model, model_text(model)) for model in status.models if shows(model)),
    ]
    width = max(len(name) for name, _ in facts)
    return [f"{name:<{width}}  {printable(value)}" for name, value in facts]


def why_page(explanation: m.DeviceExplanation) -> list[str]:
    """Return the last decisions, newest first."""
    if not explanation.decisions:
        return ["no decisions yet: nothing has asked for a device"]
    rows = [
        (
            decision.taken,
            decision.model,
            decision.device,
            "switch" if decision.should_switch else "stay",
            decision.rule,
            decision.reason + (f"  [{load_text(decision.load)}]" if decision.load else ""),
        )
        for decision in explanation.decisions
    ]
    return table(("TIME", "MODEL", "DEVICE", "DECISION", "RULE", "REASON"), rows)


PARTS = {
    "lock": Part(
        _declare_lock,
        _run_lock,
        (
            "voiced lock cpu --for 2h",
            "voiced lock cpu --while ./game --fullscreen",
            "voiced lock auto",
        ),
        "A locked device never switches. `auto` takes the lock away.",
    ),
    "device": Part(_declare_device, _run_device, ("voiced device", "voiced device why --json")),
}
