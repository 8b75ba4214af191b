"""What an earlier end of the daemon left behind, put in order at the start."""

import contextlib
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from voiced.jobs.intake import SOURCE
from voiced.jobs.spool import PARTS_FOLDER, discard
from voiced.paths import Paths

_INCOMING_S = 24 * 3600.0


def sweep(paths: Paths, audio_folder: Path, kept: Collection[str]) -> None:
    """Remove the spool folders of jobs that were never accepted; their documents go back to the client's place.

    Args:
        paths: The folders.
        audio_folder: Where parts grow.
        kept: Ids of jobs that still need their folder.
    """
    for folder in _entries(paths.spool):
        if folder.name not in kept:
            with contextlib.suppress(OSError):
                (folder / SOURCE).rename(paths.incoming / folder.name)
            discard(folder)
    for part in _entries(audio_folder / PARTS_FOLDER):
        if part.name.partition(".")[0] not in kept:
            shutil.rmtree(part, ignore_errors=True)  # the chapters of a book
            with contextlib.suppress(OSError):
                part.unlink()
    for document in _entries(paths.incoming):
        with contextlib.suppress(OSError):
            if time.time() - document.lstat().st_mtime > _INCOMING_S:
                document.unlink()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
