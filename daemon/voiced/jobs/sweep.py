"""What an earlier end of the daemon left behind, put in order at the start."""

import contextlib
import os
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
    # Before others come back: who handed them in may ask for them again, whatever the clock says of their age.
    for document in _entries(paths.incoming):
        with contextlib.suppress(OSError):
            _sweep_document(document, time.time())
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


def _sweep_document(document: Path, now_s: float) -> None:
    age_s = now_s - document.lstat().st_mtime
    if age_s > _INCOMING_S:
        document.unlink()
    elif age_s < 0:  # the clock was wrong when it came: its age counts from now on
        os.utime(document, (now_s, now_s), follow_symlinks=False)


def keep_spool(paths: Paths) -> str:
    """Put the whole spool aside, because the jobs that it belongs to are not known any more; return what to tell.

    Texts that were handed in by programs lie nowhere else.
    """
    if not _entries(paths.spool):
        return ""
    number = 1
    while (aside := paths.spool.with_name(f"{paths.spool.name}.kept-{number}")).exists():
        number += 1
    try:
        paths.spool.rename(aside)
        paths.spool.mkdir(mode=0o700)
    except OSError as error:
        return f"the texts of unfinished jobs in {paths.spool} could not be put aside: {error}"
    return f"the texts of its unfinished jobs are in {aside}: hand them in again, then remove that folder"


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
