"""What must not lie about when all work is done."""

import contextlib
import sqlite3
import tempfile
from pathlib import Path
from shutil import copy

from tests.support import Home


def leftovers(home: Home) -> list[str]:
    """Return the stray files of a daemon with nothing left to do: spool, incoming, parts, claims, temporaries."""
    paths = home.paths
    strays = [*paths.spool.rglob("*"), *paths.incoming.rglob("*"), *(home.audio / ".voiced").rglob("*")]
    strays += [path for path in home.drop.rglob("*") if path.name != ".voiced"]
    strays += paths.home.rglob(".voiced-*.tmp")
    strays += home.root.glob("aside-*")
    return sorted({str(path.relative_to(home.root)) for path in strays})


def refused(home: Home) -> list[str]:
    """Return what lies in the failed folder, with the reasons."""
    found = []
    for path in (home.paths.home / "Failed").rglob("*"):
        if path.is_file():
            found.append(f"{path.name}: {path.read_text(errors='replace')[:300]}")
    return found


def ledger(home: Home) -> dict[str, int]:
    """Return how many jobs are in which state in the database of a daemon that is gone; looks at a copy."""
    database = home.paths.database
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                copy(f"{database}{ending}", folder)
        with contextlib.closing(sqlite3.connect(Path(folder, database.name))) as connection:
            return dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
