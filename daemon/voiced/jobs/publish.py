"""The last step of a durable job: its file appears under its final name exactly once, its source goes where it belongs.

The name is committed first, then the part is renamed without replacing. After a crash a part that still lies there was
not published; one that is gone was. All functions are effects for the store's thread, safe to repeat.
"""

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from voiced.drop.claim import ERROR_SUFFIX, Claim, discard_claim, refuse, take_sidecars_along
from voiced.files.atomic import fsync_folder
from voiced.files.names import free_name, shorten, split_suffix, unfinished
from voiced.files.place import place, rename_without_replacing
from voiced.jobs.job import Job
from voiced.jobs.spool import discard
from voiced_ipc.messages import Chapters, Subtitles


def choose_path(job: Job) -> Path:
    """Return a final name that is free now, for the audio and for what stands beside it."""
    folder = Path(job.order.audio_folder)
    folder.mkdir(parents=True, exist_ok=True)
    stem, _ = split_suffix(job.order.name)
    name = stem or job.job_id
    if job.order.chapters is not Chapters.FOLDER:
        name = f"{name}.{job.order.format}"

    def is_free(path: Path) -> bool:
        beside = subtitles_path(job, path)
        return not os.path.lexists(path) and (beside is None or not os.path.lexists(beside))

    return next(path for n in itertools.count(1) if is_free(path := free_name(folder, name, n)))


def subtitles_path(job: Job, path: Path) -> Path | None:
    """Return where the subtitles beside the audio `path` go; None = there are none, or they lie in its folder."""
    is_beside = job.order.subtitles is not Subtitles.NONE and job.order.chapters is not Chapters.FOLDER
    return path.with_suffix(f".{job.order.subtitles.value}") if is_beside else None


def publish_all(job: Job, mode: int) -> None:
    """Give everything finished its place: the audio its committed name, the subtitles the same beside it.

    Raises:
        FileExistsError: If another file took the audio's name meanwhile: choose and commit another.
        OSError: If it cannot be done.
    """
    path = Path(job.progress.path)
    publish(finished_file(job), path, mode)
    beside = subtitles_path(job, path)
    if beside is None:
        return
    stem = beside.name
    for n in itertools.count(1):  # the audio stands: a name that was taken since costs a number only
        try:
            publish(subtitles_file(job), free_name(beside.parent, stem, n), mode)
        except FileExistsError:
            continue
        return


def publish(finished: Path, path: Path, mode: int) -> None:
    """Give the finished file or folder its committed name; does nothing where that has happened.

    Raises:
        FileExistsError: If another file took the name meanwhile: choose and commit another.
        OSError: If it cannot be done.
    """
    if not finished.exists():
        return
    if path.exists() and path.samefile(finished):  # renamed by link and unlink, and cut short between
        finished.unlink()
        return
    if finished.is_dir():
        for file in finished.iterdir():
            file.chmod(mode)
        fsync_folder(finished)
        finished.chmod(mode | (mode & 0o444) >> 2)  # who may read it may look into it
    else:
        finished.chmod(mode)
    rename_without_replacing(finished, path)
    fsync_folder(path.parent)


def finished_file(job: Job) -> Path:
    """Return where the finished file lies before it is published: the part itself, or what was encoded from it."""
    return Path(job.order.part) if is_part_the_output(job) else encoded_file(job)


def encoded_file(job: Job) -> Path:
    """Return where the encoder writes: a file, or the folder of chapters."""
    part = Path(job.order.part)
    is_folder = job.order.chapters is Chapters.FOLDER
    return part.with_name(f"{part.name}.{'chapters' if is_folder else job.order.format}")


def subtitles_file(job: Job) -> Path:
    """Return where the subtitles are written before they are published."""
    part = Path(job.order.part)
    return part.with_name(f"{part.name}.{job.order.subtitles.value}")


def is_part_the_output(job: Job) -> bool:
    """Whether the growing file needs nothing but its header."""
    rate = job.order.sample_rate_hz
    if job.order.chapters is Chapters.FOLDER or job.order.loudness_lufs:
        return False
    return job.order.format == "wav" and rate in (0, job.progress.sample_rate_hz)


def put_away_source(job: Job) -> str:
    """Move the dropped text of a finished job to the done folder; return where it lies.

    Raises:
        OSError: If it cannot be moved; it stays where it is.
    """
    source = Path(job.progress.source or job.order.claim)
    if not job.order.claim or not os.path.lexists(source):
        return job.progress.source
    claim = claim_of(job)
    target = place(source, Path(job.order.done_folder), claim.relative)
    take_sidecars_along(source, target)
    discard_claim(claim)
    # A job that failed once left its reason behind.
    with contextlib.suppress(OSError):
        source.with_name(shorten(source.name, ERROR_SUFFIX)).unlink()
    return str(target)


def set_source_aside(job: Job, message: str) -> str:
    """Move the dropped text of a job that failed or was cancelled to the failed folder, with the reason beside it.

    Raises:
        OSError: If it cannot be moved; it stays where it is.
    """
    if not job.order.claim or not os.path.lexists(job.order.claim):
        return job.progress.source
    claim = claim_of(job)
    return str(refuse(claim, Path(job.order.failed_folder), claim.relative, message))


def claim_of(job: Job) -> Claim:
    """Return the claim of a dropped text."""
    return Claim(job.job_id, Path(job.order.claim), Path(job.order.relative))


def remove_part(job: Job) -> bool:
    """Remove what a job has written beside its final place; return whether nothing of it is left."""
    shutil.rmtree(encoded_file(job), ignore_errors=True)
    subtitles = subtitles_file(job)
    written = (Path(job.order.part), encoded_file(job), subtitles, unfinished(subtitles))
    for path in written:
        with contextlib.suppress(OSError):
            path.unlink()
    return not any(os.path.lexists(path) for path in written)


def remove_kept(job: Job, folder: Path) -> bool:
    """Remove all that a job has kept, `folder` in the spool too; return whether nothing of it is left."""
    discard(folder)
    return remove_part(job) and not folder.exists()
