"""Taking a file out of the drop folder for good, and handing it back with a reason.

A claim is a rename into `<drop>/.voiced/<job id>/<relative path>`: atomic, on the same file system, and found
again after a crash. From then on nobody can open the file by the name that he knows.
"""

import contextlib
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from voiced.drop.sidecar import is_sidecar, own_names
from voiced.drop.verdict import CLAIMS_FOLDER
from voiced.files.across import end_move
from voiced.files.atomic import sweep_temporaries, write_atomically
from voiced.files.names import printable, shorten
from voiced.files.place import first_free, place, rename_without_replacing
from voiced_ipc.messages import new_id

_logger = logging.getLogger(__name__)

ERROR_SUFFIX = ".error.txt"
"""Of the note that tells why a text was refused, beside it."""
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")


class Claim(NamedTuple):
    """A file taken from the drop folder."""

    job_id: str
    path: Path
    """Where it lies now."""
    relative: Path
    """Where it lay, below the drop folder."""


def claim_file(drop: Path, relative: Path) -> Claim:
    """Take a file and return the claim.

    Raises:
        FileNotFoundError: If it is gone.
        OSError: If it cannot be moved; it lies where it lay.
    """
    job_id = new_id()
    folder = _claims_folder(drop) / job_id
    claim = Claim(job_id, folder / relative, relative)
    folder.mkdir(mode=0o700)
    try:
        claim.path.parent.mkdir(parents=True, exist_ok=True)
        rename_without_replacing(drop / relative, claim.path)
    except OSError:
        discard_claim(claim)
        raise
    return claim


def _claims_folder(drop: Path) -> Path:
    folder = drop / CLAIMS_FOLDER
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise NotADirectoryError(f"{printable(folder)} must be a folder of voiced's own: move it away")
    return folder


def find_claims(drop: Path) -> list[Claim]:
    """Return the claims that an earlier run left, oldest first; empty folders of others are removed.

    Raises:
        OSError: If the folder of claims cannot be read.
    """
    base = drop / CLAIMS_FOLDER
    try:
        if not stat.S_ISDIR(base.lstat().st_mode):
            return []
    except FileNotFoundError:
        return []
    sweep_temporaries(base)
    with os.scandir(base) as entries:
        folders = [entry for entry in entries if _JOB_ID.fullmatch(entry.name)]
        folders = [entry for entry in folders if entry.is_dir(follow_symlinks=False)]
        folders.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
    return [claim for entry in folders for claim in _claims_in(Path(entry.path))]


def _claims_in(folder: Path) -> Iterator[Claim]:
    # One file is ours, with its sidecars; should somebody have put others beside it, they wait for the next start.
    for parent, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(parent, name)
            if is_sidecar(name):
                continue
            claim = Claim(folder.name, path, path.relative_to(folder))
            with contextlib.suppress(OSError):
                # A folder inside may be on another device: the claim is a copy, and was cut short before its end.
                end_move(folder.parent.parent / claim.relative, path)
            yield claim
            return
    _give_back_sidecars(folder)
    _remove_empty(folder)


def _give_back_sidecars(folder: Path) -> None:
    """Put sidecars whose text has gone back where they lay: the daemon was killed before they could follow it."""
    drop = folder.parent.parent
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            try:
                place(path, drop, path.relative_to(folder))
            except OSError as error:
                _logger.warning("%s stays where it is: %s", printable(path), error)


def take_sidecars_along(source: Path, lies: Path) -> None:
    """Move a file's own sidecars after it, so that both lie side by side again, whatever its name is now.

    Args:
        source: Where the file lay.
        lies: Where it lies.
    """
    for name, wished in zip(own_names(source.name), own_names(lies.name), strict=False):
        sidecar = source.with_name(name)
        try:
            if stat.S_ISREG(sidecar.lstat().st_mode):
                place(sidecar, lies.parent, Path(wished))
        except FileNotFoundError:
            continue
        except OSError as error:
            _logger.warning("%s stays where it is: %s", printable(sidecar), error)


def discard_claim(claim: Claim) -> None:
    """Remove the empty folders that a claim leaves behind; a file that still lies there stays."""
    _remove_empty(claim.path.parents[len(claim.relative.parts) - 1])


def _remove_empty(folder: Path) -> None:
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(parent).rmdir()


def refuse(
    source: Claim | Path, failed_folder: Path, relative: Path, message: str, *, may_copy: bool = True
) -> Path:
    """Move a file to the failed folder, write the reason beside it, and return where the file lies now.

    Args:
        source: The claim, whose folders go too, or an entry of the drop folder.
        failed_folder: Where it goes, under its relative path or the first free name like it.
        relative: Its path below the drop folder.
        message: What is wrong with it, why that matters, what to do.
        may_copy: Whether it may be read, where the failed folder is on another device.

    Raises:
        OSError: If it cannot be moved, or the reason not be written: it lies where it lay. EXDEV where it would
            have to be copied.
    """
    path = source.path if isinstance(source, Claim) else source
    # The reason first: killed between the two, the next run finds the file and does both again, the note once.
    wished = first_free(failed_folder, relative)
    note = _write_beside(wished, relative, message)
    try:
        lies = place(path, failed_folder, relative, may_copy=may_copy)
    except OSError:
        note.unlink(missing_ok=True)
        raise
    if isinstance(source, Claim):
        take_sidecars_along(path, lies)
        discard_claim(source)
    if lies != wished:  # somebody took the name meanwhile
        try:
            note.unlink(missing_ok=True)
            _write_beside(lies, relative, message)
        except OSError as error:
            _logger.warning("the reason cannot be written beside %s: %s", printable(lies), error)
    return lies


def _write_beside(lies: Path, relative: Path, message: str) -> Path:
    """Write the reason beside a file that was moved or is about to be."""
    return write_note(
        lies, f"The file lies beside this note as {printable(lies.name)}, as it was.", relative, message
    )


def write_note(beside: Path, whereabouts: str, relative: Path, message: str) -> Path:
    """Write `NAME.error.txt` with the reason of a refusal and return it; the same note is not written twice.

    Args:
        beside: The file that it is about, there or not; its folder is made.
        whereabouts: A sentence that tells where the file is.
        relative: The file's path below the drop folder.
        message: What is wrong with it, why that matters, what to do.

    Raises:
        OSError: If it cannot be written.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    text = (
        f"voiced could not speak {printable(relative)}.\n\n"
        f"Why, and what to do: {message}\n\n"
        f"{whereabouts} Put it into the drop folder again when it is mended.\n"
    ).encode("utf-8", "backslashreplace")
    wished = Path(shorten(beside.name, ERROR_SUFFIX))
    if _holds(beside.parent / wished, text):
        return beside.parent / wished
    fresh = beside.parent / f".voiced-{new_id()}.tmp"
    try:
        write_atomically(fresh, text)
        return place(fresh, beside.parent, wished)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def _holds(path: Path, data: bytes) -> bool:
    try:
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and found.st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False
