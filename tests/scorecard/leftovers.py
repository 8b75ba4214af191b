"""What must not lie about when all work is done."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from shutil import copy

from tests.support import Home
from voiced.jobs.job import load_progress


def below(folder: Path) -> list[Path]:
    """Return everything below a folder that may change meanwhile, hidden things too."""
    # pathlib's own walk of Python 3.11 raises where a folder goes while it looks.
    return [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]


def leftovers(home: Home) -> list[str]:
    """Return the stray files of a daemon with nothing left to do: spool, incoming, parts, claims, temporaries."""
    paths = home.paths
    strays = [*below(paths.spool), *below(paths.incoming), *below(home.audio / ".voiced")]
    strays += [path for path in below(home.drop) if path != home.drop / ".voiced"]
    strays += [path for path in below(paths.home) if path.name.startswith(".voiced-")]
    strays += home.root.glob("aside-*")
    return sorted({str(path.relative_to(home.root)) for path in strays})


def refused(home: Home) -> list[str]:
    """Return what lies in the failed folder, with the reasons."""
    found = [path for path in below(home.paths.home / "Failed") if path.is_file()]
    return [f"{path.name}: {path.read_text(errors='replace')[:300]}" for path in found]


def segments_in_ledger(home: Home, job_id: str) -> int:
    """Return how many segments of a job the database of a running daemon has."""
    with contextlib.closing(sqlite3.connect(f"file:{home.paths.database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT progress FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
    return load_progress(row[0]).segments_done if row else 0


def ledger(home: Home) -> dict[str, int]:
    """Return how many jobs are in which state in the database of a daemon that is gone; looks at a copy."""
    database = home.paths.database
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                copy(f"{database}{ending}", folder)
        with contextlib.closing(sqlite3.connect(Path(folder, database.name))) as connection:
            return dict(connection.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
