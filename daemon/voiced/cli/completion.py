"""`voiced completion`: the completion script of a shell."""

import argparse

from voiced.cli.commands import COMMANDS
from voiced.cli.dispatch import part_of
from voiced.cli.exits import Exit
from voiced.cli.parser import Parser, declare
from voiced.cli.part import Part

SHELLS = ("bash", "zsh", "fish", "tcsh")


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="your shell")


def _run(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(full_parser(), options.shell))
    return Exit.OK


def full_parser() -> Parser:
    """Return one parser of all commands; imports every command's file."""
    import shtab

    parser = Parser("voiced")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.summary)
        declare(one, name, part_of(name))
        for action in one._actions:
            if action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar == "FOLDER":
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return parser


PARTS = {
    "completion": Part(
        _declare,
        _run,
        (
            "voiced completion bash > ~/.local/share/bash-completion/completions/voiced",
            "voiced completion fish > ~/.config/fish/completions/voiced.fish",
        ),
    )
}
