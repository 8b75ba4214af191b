"""`voiced tray`: the tray is a program of its own; this process becomes it."""

import argparse
import os
import sys
from typing import NoReturn

from voiced.cli.part import Part


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("arguments", nargs="*", metavar="OPTION", help="options of the tray")


def _exec(arguments: list[str]) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-P", "-m", "voiced_tray", *arguments])


def _run(options: argparse.Namespace) -> int:
    _exec(options.arguments)


PARTS = {"tray": Part(_declare, _run, ("voiced tray", "voiced tray --help"), run_all=_exec, takes_all=True)}
