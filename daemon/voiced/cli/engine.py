"""`voiced engine`: the packages of engine families, installed and removed. Needs no daemon.

A running daemon sees what is installed at the next load of a model.
"""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.output import print_json, print_lines
from voiced.cli.parser import add_json
from voiced.cli.part import Part
from voiced.cli.text import counted, printable, size, table
from voiced.models.catalogue import find_spec
from voiced.models.overlay import FAMILIES, OverlayInfo, Overlays
from voiced.paths import find_paths

if TYPE_CHECKING:
    from voiced.models.overlay_install import InstallStep


def _declare(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="what is installed, what it takes, what is missing")
    add_json(listing)
    install = verbs.add_parser("install", help="fetch the packages of families, with pip and its settings")
    install.add_argument("families", metavar="FAMILY", nargs="*", help="families, or models of theirs")
    install.add_argument(
        "--all", action="store_true", help="all families but those that are compiled, which takes minutes"
    )
    install.add_argument("--force", action="store_true", help="make anew what is installed and fits")
    install.add_argument("--json", action="store_true", help="print one JSON document a line")
    remove = verbs.add_parser("remove", help="remove the packages of families")
    remove.add_argument("families", metavar="FAMILY", nargs="+", help="families that are installed")
    path = verbs.add_parser("path", help="print the folder that holds a family's packages")
    path.add_argument("family", metavar="FAMILY", help="a family that is installed")


def _run(options: argparse.Namespace) -> int:
    return run_verb(Overlays(find_paths().overlays), options)


def run_verb(overlays: Overlays, options: argparse.Namespace) -> int:
    """Do what was asked for with these overlays; return the exit code."""
    if options.verb == "list":
        return _list(overlays, as_json=options.json)
    if options.verb == "install":
        return _install(overlays, options)
    if options.verb == "remove":
        return _remove(overlays, options.families)
    folder = overlays.path(family_of(options.family))
    if folder is None:
        raise CommandFailed(f"{options.family} uses the packages of the main environment", Exit.DATA)
    print(folder)
    return Exit.OK


def family_of(name: str) -> str:
    """Return the family that `name` means: a family, or a model of one; itself where it is neither."""
    if name in FAMILIES:
        return name
    spec = find_spec(name)
    return name if spec is None else spec.family or spec.engine


# -- list ---------------------------------------------------------------------------------------------------


def _list(overlays: Overlays, *, as_json: bool) -> int:
    families = overlays.list()
    if as_json:
        print_json({"folder": str(overlays.folder), "families": [_document(info) for info in families]})
    else:
        print_lines(families_page(families))
    return Exit.OK


def _document(info: OverlayInfo) -> dict[str, object]:
    packages = [
        {"name": package.name, "version": package.version, "licence": package.licence}
        for package in info.packages
    ]
    return info._asdict() | {"packages": packages}


def families_page(families: list[OverlayInfo]) -> list[str]:
    """Return families as a table, and below it what is to be done."""
    rows = [(info.family, _state(info), _size(info), ", ".join(info.models)) for info in families]
    lines = table(("FAMILY", "STATE", "ON DISK", "MODELS"), rows)
    notes = [info.problem for info in families if info.problem and (info.is_installed or info.is_main)]
    missing = [info.family for info in families if not info.is_installed and not info.is_main]
    if missing:
        notes.append(f"not installed: {', '.join(missing)}: `voiced engine install FAMILY` fetches one")
    notes += [
        f"{info.family} uses {licence}" for info in families if info.is_installed for licence in info.licences
    ]
    return [*lines, "", *(printable(note) for note in notes)] if notes else lines


def _state(info: OverlayInfo) -> str:
    if info.is_ready:
        return "ready"
    if info.is_main:
        return "incomplete"
    return "unusable" if info.is_installed else "not installed"


def _size(info: OverlayInfo) -> str:
    if info.is_main:
        return "-"
    return size(info.disk_bytes) if info.is_installed else f"({size(info.needs_bytes)})"


# -- install and remove ---------------------------------------------------------------------------------------


def _install(overlays: Overlays, options: argparse.Namespace) -> int:
    from voiced.models.overlay_install import install
    from voiced.workers.environment import child_environment

    signal.signal(signal.SIGTERM, _interrupt)
    environment = child_environment(os.environ, device="cpu", threads=0)
    families, left_out = _chosen(overlays, options)
    if left_out and not options.json:
        print(f"left out, for it is compiled here: {', '.join(left_out)}; name it to install it")
    with _display(as_json=options.json) as show:
        for family in families:
            is_made = False
            # Closed at once where somebody interrupts: the installation clears up behind itself.
            with contextlib.closing(
                install(overlays, family, environment=environment, is_forced=options.force)
            ) as steps:
                for step in steps:
                    is_made = True
                    show(family, step)
            _print_installed(overlays.info(family), is_made=is_made, as_json=options.json)
    return Exit.OK


def _chosen(overlays: Overlays, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The families to install, and those that `--all` leaves out."""
    if bool(options.families) == options.all:
        raise CommandFailed("name families, or use --all; `voiced engine list` shows them", Exit.USAGE)
    if not options.all:
        return list(dict.fromkeys(map(family_of, options.families))), []
    platform = overlays.look().platform
    own = {
        name: known
        for name, known in overlays.families.items()
        if not known.is_main and known.runs_on(platform)
    }
    return [name for name in own if not own[name].compiled], [name for name in own if own[name].compiled]


def _print_installed(info: OverlayInfo, *, is_made: bool, as_json: bool) -> None:
    if as_json:
        print_json(_document(info) | {"is_made": is_made}, indent=None)
        return
    if not is_made:
        print(f"{info.family} is installed already, {size(info.disk_bytes)}; --force makes it anew")
        return
    print(f"{info.family} is installed: {counted(len(info.packages), 'package')}, {size(info.disk_bytes)}")
    for licence in info.licences:
        print(f"it uses {licence}, in a process of its own")


def _remove(overlays: Overlays, families: list[str]) -> int:
    from voiced.models.overlay_install import remove

    for family in map(family_of, families):
        freed = remove(overlays, family)
        print(f"{family} is removed, {size(freed)} freed" if freed else f"{family} was not installed")
    return Exit.OK


@contextlib.contextmanager
def _display(*, as_json: bool) -> Iterator[Callable[[str, "InstallStep"], None]]:
    """What shows the steps: lines of JSON, bars on a terminal, else nothing."""
    if as_json:
        yield _json_lines()
        return
    if not sys.stderr.isatty():
        yield lambda family, step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as progress:

        def show(family: str, step: "InstallStep") -> None:
            if family not in bars:
                bars[family] = progress.add_task(family, total=step.total, note="")
            note = f"{size(step.bytes)}  {printable(step.what)}" if step.bytes else printable(step.what)
            progress.update(bars[family], completed=step.done, note=note, visible=step.done < step.total)

        yield show


def _json_lines() -> Callable[[str, "InstallStep"], None]:
    """Prints each step that differs from the one before."""
    last: list[tuple[str, InstallStep]] = []

    def show(family: str, step: "InstallStep") -> None:
        if last != [(family, step)]:
            last[:] = [(family, step)]
            print_json({"family": family, **step._asdict()}, indent=None)
            sys.stdout.flush()

    return show


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM leaves as tidily as Ctrl+C."""
    raise SystemExit(128 + number)


PARTS = {
    "engine": Part(
        _declare,
        _run,
        (
            "voiced engine list",
            "voiced engine install qwen3-tts",
            "voiced engine install piper kokoro",
            "voiced engine remove chatterbox",
        ),
        details="Each family's packages lie in a folder of their own: none can break another, nor voiced itself.",
    )
}
