"""`voiced config`: the settings in force, the example file, and where the file lies. Needs no daemon."""

import argparse
import sys
from pathlib import Path

from voiced.cli.exits import Exit
from voiced.cli.output import print_json, print_lines
from voiced.cli.parser import add_json
from voiced.cli.part import Part
from voiced.config import Config, Problem, example, load_config
from voiced.config.keys import KEYS
from voiced.paths import Paths, find_paths


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=("show", "path"),
        default="show",
        help="the settings (show), or where their file lies",
    )
    parser.add_argument("--example", action="store_true", help="print a commented file with every setting")
    add_json(parser)


def _run(options: argparse.Namespace) -> int:
    if options.example:
        print(example(), end="")
        return Exit.OK
    paths = find_paths()
    if options.what == "path":
        print(paths.config_file)
        return Exit.OK
    config, problems = load_config(paths)
    if options.json:
        print_json(_document(paths, config, problems))
    else:
        print_lines(config_page(paths, config))
        for problem in problems:
            print(f"voiced: {problem}", file=sys.stderr)
    return Exit.CONFIG if problems else Exit.OK


def _document(paths: Paths, config: Config, problems: tuple[Problem, ...]) -> dict[str, object]:
    values = {key: _plain(value) for key, value in config._asdict().items()}
    return {
        "file": str(paths.config_file),
        "config": values,
        "problems": [problem._asdict() for problem in problems],
    }


def config_page(paths: Paths, config: Config) -> list[str]:
    """Return the settings in force as TOML; those that are not the default are marked."""
    lines = [f"# {paths.config_file}" + ("" if paths.config_file.exists() else " (not there: the defaults)")]
    table = ""
    for key, rule in KEYS.items():
        if rule.table != table:
            table = rule.table
            lines += ["", f"[{table}]"]
        value, default = getattr(config, key), Config._field_defaults[key]
        if isinstance(default, Path):
            default = paths.home / default
        lines.append(f"{key} = {_toml(value)}" + ("" if value == default else "  # set"))
    return lines


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    escaped = "".join(
        {"\\": "\\\\", '"': '\\"'}.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}")
        for c in str(value)
    )
    return f'"{escaped}"'


PARTS = {
    "config": Part(
        _declare,
        _run,
        (
            "voiced config",
            "voiced config --example > voiced.toml",
            "voiced config path",
            "voiced config --json",
        ),
        "Ends with 78 where a setting could not be used; each is told with file, key and what is allowed.",
    )
}
