"""How commands are declared and parsed. argparse alone: it starts in 2 ms."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from voiced.cli.commands import COMMANDS
from voiced.cli.exits import Exit
from voiced.cli.part import Part


class Layout(argparse.RawDescriptionHelpFormatter):
    """argparse's help, told the width: each option declared would have it ask shutil, whose import takes 3 ms."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns() - 2)


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes end with EX_USAGE and one sentence; takes no abbreviated options."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, formatter_class=Layout, allow_abbrev=False, **more)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with 64."""
        print(f"{self.prog}: {message}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(int(Exit.USAGE))


def command_parser(name: str, part: Part) -> Parser:
    """Return the parser of one command."""
    parser = Parser(f"voiced {name}")
    declare(parser, name, part)
    return parser


def declare(parser: argparse.ArgumentParser, name: str, part: Part) -> None:
    """Give a parser the description, the options and the examples of a command."""
    summary = COMMANDS[name].summary
    parser.description = f"{summary[:1].upper()}{summary[1:]}."
    if part.details:
        parser.description += "\n\n" + part.details
    parser.epilog = "examples:\n" + "\n".join(f"  {line}" for line in part.examples)
    part.declare(parser)


def columns() -> int:
    """Return the width of the terminal, or of COLUMNS; 80 where there is none."""
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare --json."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def add_no_start(parser: argparse.ArgumentParser) -> None:
    """Declare --no-start."""
    parser.add_argument(
        "--no-start", action="store_true", help="fail where no daemon runs (also VOICED_NO_START=1)"
    )


def between(low: float, high: float, kind: type[int] | type[float] = float) -> Callable[[str], float]:
    """Return a converter of numbers in [low, high]."""

    def convert(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return number

    return convert
