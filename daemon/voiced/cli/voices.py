"""`voiced voices`."""

import argparse

from voiced.cli.connect import connect_or_start
from voiced.cli.exits import Exit
from voiced.cli.output import document, print_json, print_lines
from voiced.cli.parser import add_json, add_no_start
from voiced.cli.part import Part
from voiced.cli.text import table
from voiced_ipc import messages as m


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--language", metavar="TAG", default="", help="a tag or its beginning: en finds en-GB"
    )
    parser.add_argument("--model", metavar="ID", default="", help="only this model's")
    add_json(parser)
    add_no_start(parser)


def _run(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        voices = list(client.voices(options.model, options.language))
    if options.json:
        print_json({"voices": [document(voice) for voice in voices]})
    else:
        print_lines(voices_page(voices))
    return Exit.OK


def voices_page(voices: list[m.VoiceInfo]) -> list[str]:
    """Return voices as a table."""
    if not voices:
        return ["no such voices; `voiced voices` lists all"]
    rows = [(voice.voice, voice.language, voice.gender or "-", voice.model, voice.name) for voice in voices]
    return table(("VOICE", "LANGUAGE", "GENDER", "MODEL", "NAME"), rows)


PARTS = {
    "voices": Part(_declare, _run, ("voiced voices", "voiced voices --language de", "voiced voices --json")),
}
