"""What a command is, and the list of them all. Imports no argparse: the commonest calls need none."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from voiced.cli.commands import COMMANDS

if TYPE_CHECKING:
    import argparse


class Part(NamedTuple):
    """One command: how it declares its options, and what it does."""

    declare: "Callable[[argparse.ArgumentParser], None]"
    run: "Callable[[argparse.Namespace], int]"
    examples: tuple[str, ...]
    details: str = ""
    """What its help tells below the first line."""
    run_all: Callable[[list[str]], int] = lambda arguments: 0
    takes_all: bool = False
    """It hands all its arguments on unread: `run_all` takes them."""
    bare: Mapping[str, object] | None = None
    """Its options where it is called without arguments: then no parser is built; None = one is."""


def overview() -> str:
    """Return the help of `voiced` itself; imports no command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: voiced COMMAND [OPTIONS]",
            "",
            "The speech service of this computer.",
            "",
            "commands:",
            *lines,
            "",
            "examples:",
            '  voiced say "Hello, world."',
            "  voiced drop book.txt",
            "  voiced status",
            "",
            "`voiced COMMAND --help` tells more. `voiced --version` prints the version.",
        ]
    )
