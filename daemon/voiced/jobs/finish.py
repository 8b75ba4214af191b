"""The finisher: takes a job whose audio is all in its part, and makes the file out of it.

    spoken > FINISHING > header or encoder > name committed > renamed > source put away > DONE

Each arrow is on disk before the next; `finish` may be called again at any of them after a crash.
"""

import contextlib
import logging
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from voiced.audio.wav import wav_header
from voiced.chapters import ChapterMark, chapter_marks
from voiced.jobs import output, publish
from voiced.jobs.cancel import Cancellable
from voiced.jobs.job import Job
from voiced.jobs.spool import PartFile
from voiced.jobs.store import Store
from voiced.segments import read_plan
from voiced.timeline import read_timeline
from voiced.workers.link import Fields
from voiced_ipc.errors import StorageFailed
from voiced_ipc.messages import Chapters, JobState

logger = logging.getLogger(__name__)

Encode = Callable[[Fields], Awaitable[Fields]]
"""Has the scribe make a file; raises VoicedError."""


class Finisher:
    """Finishes jobs one by one as asked.

    Args:
        store: Where every step is committed.
        encode: The scribe's `finish`, `level` and `subtitles`.
        spool: The folder of all jobs' folders.
        file_mode: Permissions of the finished files.
    """

    def __init__(self, store: Store, encode: Encode, spool: Path, file_mode: int) -> None:
        self._store = store
        self._encode = encode
        self._spool = spool
        self._file_mode = file_mode
        self.on_left: Callable[[Job], None] = lambda job: None
        """Called with a job that is done, if not all that it has kept could be removed."""

    async def finish(self, job: Job, work: Cancellable) -> Job:
        """Return the job when it is done and its file lies under its name.

        Args:
            job: It; all of it is spoken.
            work: What a cancel ends: until the file is to have its name.

        Raises:
            JobCancelled: If it was cancelled.
            VoicedError: If the disk or the encoder refuses; everything made so far stays.
        """
        try:
            return await self._finish(job, work)
        except OSError as error:
            raise StorageFailed(
                f"the finished file cannot be made: {error}; mend that, then `voiced retry {job.job_id}`"
            ) from error

    async def _finish(self, job: Job, work: Cancellable) -> Job:
        job = job.moved(JobState.FINISHING)
        await self._store.update(job)
        if not job.progress.path:
            with work:
                job = await self._make(job)
        while True:
            if not job.progress.path:
                job = await self._name(job)
            try:
                await self._store.effect(partial(publish.publish_all, job, self._file_mode))
                break
            except FileExistsError:
                job = job.moved(JobState.FINISHING, path="")
        done = job.moved(JobState.DONE)
        source = await self._put_away(done)
        done = done.moved(JobState.DONE, source=source)
        await self._store.update(done)
        # It is done: what cannot be removed now is no fault of it.
        is_gone = False
        with contextlib.suppress(StorageFailed, OSError):
            is_gone = await self._store.effect(lambda: publish.remove_kept(done, self._spool / done.job_id))
        if not is_gone:
            self.on_left(done)
        return done

    async def _make(self, job: Job) -> Job:
        """Write the header, or have the scribe make what is wanted; all of it may be done again.

        Returns the job with what the scribe had to tell.
        """
        folder = self._spool / job.job_id
        told: list[str] = []
        if job.order.chapters is Chapters.FOLDER:
            marks = await self._store.effect(lambda: _begin_folder(job, folder))
            gain_db = await self._level(job, told) if job.order.loudness_lufs else None
            wanted = output.by_chapter(job, folder, marks, gain_db)
        else:
            wanted = output.whole(job, folder)
        if publish.is_part_the_output(job):
            header = wav_header(job.progress.data_bytes, job.progress.sample_rate_hz)
            await self._store.effect(lambda: _write_header(job, header))
        for fields in wanted:
            told += _notes(await self._encode(fields))
        return job.moved(JobState.FINISHING, notes=tuple(dict.fromkeys((*job.progress.notes, *told))))

    async def _level(self, job: Job, told: list[str]) -> float:
        """Return the gain of all chapters, in dB, and tell what is to be said about it."""
        answer = await self._encode(output.level(job))
        told += _notes(answer)
        gain_db = answer["gain_db"]
        assert isinstance(gain_db, float)
        return gain_db

    async def _name(self, job: Job) -> Job:
        path = await self._store.effect(lambda: publish.choose_path(job))
        named = job.moved(JobState.FINISHING, path=str(path))
        await self._store.update(named)
        return named

    async def _put_away(self, job: Job) -> str:
        """The audio stands; a source that cannot be moved is a note, not a failure."""
        try:
            return await self._store.effect(lambda: publish.put_away_source(job))
        except OSError as error:
            logger.warning("job %s: its source stays where it is: %s", job.job_id, error)
            return job.progress.source


def _notes(answer: Fields) -> list[str]:
    notes = answer.get("notes", [])
    assert isinstance(notes, list)
    return [str(note) for note in notes]


def _begin_folder(job: Job, folder: Path) -> tuple[ChapterMark, ...]:
    """Make room for the chapters, and return where they begin."""
    made = publish.encoded_file(job)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700, parents=True)
    return chapter_marks(read_plan(folder), read_timeline(folder))


def _write_header(job: Job, header: bytes) -> None:
    part = PartFile(Path(job.order.part), job.progress.data_bytes)
    try:
        part.write_header(header)
    finally:
        part.close()
