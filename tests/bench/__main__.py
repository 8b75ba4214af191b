"""`python -m tests.bench`: what voiced costs, against floors and peers measured in the same run.

Nothing is asserted: the exit code is 0 unless a measurement itself fails. Give it a machine with nothing else to do.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import (
    accept,
    book,
    clients,
    commands,
    drop,
    engines,
    first_audio,
    idle,
    kill,
    loading,
    long_book,
    machine,
    novel,
    piper,
    prompts,
    round_trip,
    start,
    table,
    unloading,
)
from tests.bench.figures import Row
from tests.bench.session import Session

FAMILIES: dict[str, Callable[[Session], Iterator[Row]]] = {
    "start": start.measure,
    "commands": commands.measure,
    "round_trip": round_trip.measure,
    "accept": accept.measure,
    "first_audio": first_audio.measure,
    "drop": drop.measure,
    "clients": clients.measure,
    "book": book.measure,
    "kill": kill.measure,
    "idle": idle.measure,
    "long_book": long_book.measure,
    "novel": novel.measure,
    "piper": piper.measure,
    "engines": engines.measure,
    "loading": loading.measure,
    "prompts": prompts.measure,
    "unloading": unloading.measure,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _options(arguments)
    session = Session(options.quick, options.idle_s)
    heading = machine.heading()
    for name, fact in heading.items():
        print(f"{name + ':':<13}{fact}")
    print(flush=True)
    rows: list[Row] = []
    failed: dict[str, str] = {}
    for name in options.only or FAMILIES:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        try:
            found = list(FAMILIES[name](session))
        except Exception as error:  # noqa: BLE001 - one family that fails must not cost the others
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
            continue
        rows += found
        if not sys.stdout.isatty():
            print("\n".join(table.plain(row) for row in found), flush=True)
    if sys.stdout.isatty():
        table.show(rows)
    if options.json is not None:
        options.json.write_text(json.dumps(table.document(heading, rows, failed), indent=1) + "\n")
    for name, reason in failed.items():
        print(f"FAILED {name}: {reason}")
    missed = sum(row.verdict == "missed" for row in rows)
    print(f"\n{sum(row.verdict == 'held' for row in rows)} held, {missed} missed, {len(failed)} not measured")
    return 1 if failed else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few rounds and short texts: does it work at all?"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=FAMILIES, help=", ".join(FAMILIES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument(
        "--idle-s", type=float, default=60.0, metavar="S", help="how long the idle daemon is watched (60)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
