"""What the scribe is asked to make of a job whose audio is all in its part. Pure."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.chapters import ChapterMark, ChapterSpan, chapter_spans
from voiced.jobs import publish
from voiced.jobs.assembly import BYTES_PER_SAMPLE
from voiced.jobs.job import Job
from voiced.workers.link import Fields
from voiced_ipc.messages import Subtitles

_TITLE_CHARS = 80
_NO_NAME = '/\\:*?"<>|'
"""What some file system does not take in a name."""


def whole(job: Job, folder: Path) -> Iterator[Fields]:
    """Return what makes the one file, and its subtitles.

    Args:
        job: It.
        folder: Its folder in the spool.
    """
    if not publish.is_part_the_output(job):
        title = job.order.title or Path(job.order.name).stem
        yield {**_finish(job, folder, publish.encoded_file(job)), "title": title, "folder": str(folder)}
    if job.order.subtitles is not Subtitles.NONE:
        yield _subtitles(job, folder, publish.subtitles_file(job))


def level(job: Job) -> Fields:
    """Return what measures a whole job: its chapters get one gain, as one file has."""
    return {"type": "level", **_sound(job), "loudness_lufs": job.order.loudness_lufs}


def by_chapter(
    job: Job, folder: Path, marks: Sequence[ChapterMark], gain_db: float | None = None
) -> Iterator[Fields]:
    """Return what makes a file for each chapter, and its subtitles.

    Args:
        job: It.
        folder: Its folder in the spool.
        marks: Where its chapters begin.
        gain_db: What all of them are amplified by; None = they are as they are.
    """
    samples = job.progress.data_bytes // BYTES_PER_SAMPLE
    found = chapter_spans(marks, samples) or (ChapterSpan("", 0, samples),)
    book = job.order.title or Path(job.order.name).stem
    for number, chapter in enumerate(found, 1):
        name = file_name(number, len(found), chapter.title)
        target = publish.encoded_file(job) / f"{name}.{job.order.format}"
        yield {
            **_finish(job, folder, target),
            "data_offset": WAV_HEADER_BYTES + chapter.start * BYTES_PER_SAMPLE,
            "samples": chapter.end - chapter.start,
            "title": chapter.title or f"{book} {number}",
            "album": book,
            "track": number,
            "tracks": len(found),
            "loudness_lufs": None,
            "gain_db": gain_db,
        }
        if job.order.subtitles is not Subtitles.NONE:
            beside = target.with_name(f"{name}.{job.order.subtitles.value}")
            yield {**_subtitles(job, folder, beside), "start": chapter.start, "end": chapter.end}


def file_name(number: int, count: int, title: str) -> str:
    """Return the name of a chapter's file, without its format: sorted as the chapters are, fit for any file system."""
    kept = "".join(" " if mark in _NO_NAME or not mark.isprintable() else mark for mark in title)
    shown = " ".join(kept.split())[:_TITLE_CHARS].strip(". ")
    digits = max(2, len(str(count)))
    return f"{number:0{digits}} {shown}" if shown else f"{number:0{digits}}"


def _finish(job: Job, folder: Path, target: Path) -> Fields:
    order, progress = job.order, job.progress
    return {
        "type": "finish",
        **_sound(job),
        "target": str(target),
        "format": order.format,
        "target_rate_hz": order.sample_rate_hz or progress.sample_rate_hz,
        "author": order.author,
        "language": order.language,
        "comment": f"Spoken by voiced with {order.speech.model}",
        "cover": str(folder / order.cover) if order.cover else "",
        "loudness_lufs": order.loudness_lufs or None,
    }


def _sound(job: Job) -> Fields:
    return {
        "source": job.order.part,
        "data_offset": WAV_HEADER_BYTES,
        "samples": job.progress.data_bytes // BYTES_PER_SAMPLE,
        "sample_rate_hz": job.progress.sample_rate_hz,
    }


def _subtitles(job: Job, folder: Path, target: Path) -> Fields:
    return {
        "type": "subtitles",
        "folder": str(folder),
        "target": str(target),
        "format": job.order.subtitles.value,
        "sample_rate_hz": job.progress.sample_rate_hz,
    }
