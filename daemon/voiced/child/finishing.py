"""From the audio of a job to files that others read: what a scribe does at the end of one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from voiced.child.asks import Finish, Level, SubtitlesOf
from voiced.child.durable import write_durably
from voiced.workers.link import Fields

if TYPE_CHECKING:
    from voiced.audio.subtitles import Cue
    from voiced.chapters import ChapterMark
    from voiced.segments import Segment
    from voiced.word_times import WordTime


def finish(task: Finish, on_progress: Callable[[float], None]) -> Fields:
    """Make the file of a job, or of a chapter, and return the answer.

    Args:
        task: What is asked.
        on_progress: Told the fraction done, block by block; what it raises ends the work.

    Raises:
        InvalidRequest, StorageFailed: If it cannot be made.
        OSError: If the disk refuses.
    """
    from voiced.audio.tags import Tags
    from voiced.audio.writers import Spool, Target, encode

    spool = Spool(Path(task.source), task.data_offset, task.samples, task.sample_rate_hz)
    rate = task.target_rate_hz or task.sample_rate_hz
    tags = Tags(
        task.title,
        task.author,
        task.album,
        task.language,
        task.comment,
        Path(task.cover) if task.cover else None,
        _chapters(Path(task.folder)) if task.folder else (),
        task.track,
        task.tracks,
    )
    target = Target(Path(task.target), task.format, rate, tags, task.loudness_lufs, task.gain_db)
    made = encode(spool, target, on_progress)
    answer: Fields = {
        "type": "finished",
        "task": task.task,
        "bytes": made.size_bytes,
        "samples": made.samples,
        "sample_rate_hz": made.sample_rate_hz,
        "notes": list(made.notes),
    }
    return answer


def level(task: Level, on_progress: Callable[[float], None]) -> Fields:
    """Measure a job and return the answer: one gain, so that the files of its chapters are as even as one file.

    Args:
        task: What is asked.
        on_progress: As `finish`.

    Raises:
        InvalidRequest, StorageFailed: If it cannot be measured.
        OSError: If the disk refuses.
    """
    from voiced.audio.writers import Spool, gain_for_all

    spool = Spool(Path(task.source), task.data_offset, task.samples, task.sample_rate_hz)
    gain = gain_for_all(spool, task.loudness_lufs, on_progress)
    return {
        "type": "finished",
        "task": task.task,
        "gain_db": gain.db,
        "notes": [gain.note] if gain.note else [],
    }


def write_subtitles(task: SubtitlesOf) -> Fields:
    """Write the subtitles of a job, or of a chapter, and return the answer.

    Raises:
        StorageFailed: If the job's files are damaged.
        OSError: If the disk refuses.
    """
    from voiced.audio.subtitles import write_srt, write_vtt

    cues = list(_cues(task))
    written = write_srt(cues) if task.format == "srt" else write_vtt(cues)
    target = Path(task.target)
    write_durably(target.parent, {target.name: written.encode()})
    return {"type": "finished", "task": task.task, "cues": len(cues)}


def _cues(task: SubtitlesOf) -> "Iterator[Cue]":
    """A cue for each segment of a job, or of a chapter of it, that is heard; in seconds from the beginning."""
    from voiced.audio.subtitles import Cue, CueWord
    from voiced.segments import read_plan
    from voiced.timeline import read_timeline, read_words

    folder = Path(task.folder)
    plan, words, rate = read_plan(folder), read_words(folder), task.sample_rate_hz
    with (folder / "text").open("rb") as file:
        for index, (segment, span) in enumerate(zip(plan.segments, read_timeline(folder), strict=False)):
            is_asked = task.start <= span.start and (not task.end or span.start < task.end)
            if span.end <= span.start or not is_asked:
                continue
            file.seek(segment.byte_start)
            text = file.read(segment.byte_end - segment.byte_start).decode()
            start, end = span.start - task.start, span.end - task.start
            yield Cue(
                start / rate,
                end / rate,
                text,
                tuple(
                    CueWord(word.place, (start + word.sample) / rate)
                    for word in _words(segment, text, words.get(index, b""))
                ),
            )


def _words(segment: "Segment", text: str, packed: bytes) -> "list[WordTime]":
    """When the words of a segment are heard, by their places in its text."""
    from voiced.word_times import unpack_words, written_words

    spoken = text if segment.spoken is None else segment.spoken
    lead = len(spoken) - len(spoken.lstrip())  # the engine was given it without
    return written_words(text, segment.edits, unpack_words(packed), lead)


def _chapters(folder: Path) -> "tuple[ChapterMark, ...]":
    from voiced.chapters import chapter_marks
    from voiced.segments import read_plan
    from voiced.timeline import read_timeline

    return chapter_marks(read_plan(folder), read_timeline(folder))
