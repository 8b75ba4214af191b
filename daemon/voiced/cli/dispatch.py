"""From arguments to an exit code: finds the command, builds its parser alone, and words what goes wrong."""

import os
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import voiced
from voiced.cli.commands import COMMANDS
from voiced.cli.exits import Exit, exit_for
from voiced.cli.part import Part, overview
from voiced_ipc.errors import VoicedError

if TYPE_CHECKING:
    import argparse


def dispatch(arguments: list[str]) -> int:
    """Run one command and return its exit code; never raises.

    An error is one sentence on stderr; with VOICED_DEBUG=1 its traceback comes first.
    """
    _speak_any_alphabet()
    try:
        return _run(arguments)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:  # `voiced jobs | head`
        _close_output()
        return Exit.OK
    except VoicedError as error:
        return _report(error, error.message, exit_for(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _report(error, f"{place}{error.strerror or error}", Exit.INPUT_OUTPUT)
    except Exception as error:  # noqa: BLE001 - the top of the process
        return _report(
            error, f"a fault of voiced itself: {error!r}; VOICED_DEBUG=1 shows where", Exit.SOFTWARE
        )


def part_of(name: str) -> Part:
    """Return the implementation of a command; imports its file."""
    module = import_module(f"voiced.cli.{COMMANDS[name].module}")
    part: Part = module.PARTS[name]
    return part


def _run(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help", "help"):
        if name == "help" and arguments[1:2] and arguments[1] in COMMANDS:
            return _run([arguments[1], "--help"])
        print(overview())
        return Exit.OK
    if name in ("-V", "--version"):
        print(f"voiced {voiced.__version__}")
        return Exit.OK
    if name not in COMMANDS:
        return _unknown(name)
    part = part_of(name)
    rest = arguments[1:]
    if part.takes_all:
        return part.run_all(rest)
    if not rest and part.bare is not None:
        return part.run(cast("argparse.Namespace", SimpleNamespace(**part.bare)))
    from voiced.cli.parser import command_parser

    return part.run(command_parser(name, part).parse_args(rest))


def _unknown(name: str) -> int:
    if not name:
        print(overview(), file=sys.stderr)
        return Exit.USAGE
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `voiced {near[0]}`?" if near else "`voiced --help` lists all commands"
    print(f"voiced: there is no command {name!r}; {hint}", file=sys.stderr)
    return Exit.USAGE


def _report(error: BaseException, sentence: str, code: int) -> int:
    if os.environ.get("VOICED_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    print(f"voiced: {sentence}", file=sys.stderr)
    return code


def _speak_any_alphabet() -> None:
    """A name that the terminal's encoding lacks must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _close_output() -> None:
    """Let the last flush of a closed pipe go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
