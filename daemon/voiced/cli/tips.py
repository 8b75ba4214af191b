"""`voiced tips`."""

import argparse

from voiced.cli.connect import connect_or_start
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start
from voiced.cli.part import Part
from voiced.cli.text import printable
from voiced_ipc import messages as m


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC", nargs="?", default="", help="only this one, such as voices")
    add_json(parser)
    add_no_start(parser)


def _run(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        tips = client.tips()
    topics = list(dict.fromkeys(tip.topic for tip in tips))
    if options.topic and options.topic not in topics:
        raise CommandFailed(f"no topic {options.topic!r}; topics: {', '.join(topics)}", Exit.USAGE)
    chosen = [tip for tip in tips if options.topic in ("", tip.topic)]
    if options.json:
        print_json({"tips": [document(tip) for tip in chosen]})
    else:
        print_lines(tips_page(chosen))
    return Exit.OK


def tips_page(tips: list[m.TipInfo]) -> list[str]:
    """Return tips under their topics."""
    lines: list[str] = []
    for topic in dict.fromkeys(tip.topic for tip in tips):
        lines += [*([""] if lines else []), topic]
        lines += [f"  - {printable(tip.text)}" for tip in tips if tip.topic == topic]
    return lines


PARTS = {"tips": Part(_declare, _run, ("voiced tips", "voiced tips voices", "voiced tips --json"))}
