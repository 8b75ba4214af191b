"""A job at work: its plan, its audio in the making, and which segments are to be spoken next.

Belongs to the loop. Decides nothing about workers; the scheduler asks `next_batch` and reports back.
"""

import time
from collections import Counter
from typing import NamedTuple, Protocol

from voiced.jobs.assembly import BYTES_PER_SAMPLE, Assembly, Pauses
from voiced.jobs.job import Job, Progress
from voiced.jobs.spool import TextSource
from voiced.models.spec import ModelSpec
from voiced.segments import Plan
from voiced.timeline import Span
from voiced.workers.spawn import RunAs
from voiced_ipc.errors import VoicedError
from voiced_ipc.messages import JobInfo, JobState, Output

_LEAST_BATCHES = 4
"""A file of few segments is still divided among the cores."""
_AHEAD_BATCHES = 2
"""Batches beyond the running ones that may wait for an earlier one."""


class Sink(Protocol):
    """Where the audio of a job goes."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that no more should be made."""

    def write(self, pcm: bytes) -> None:
        """Take audio in plan order."""

    def place(self, segment: int, span: Span, heard: bytes) -> None:
        """A segment became whole, lies there, and its words are heard then."""

    def mark(self, progress: Progress, *, is_last: bool) -> None:
        """Everything up to `progress.data_bytes` was written: a place to go on from after a crash."""

    def finish(self) -> None:
        """All audio was written."""

    def fail(self, error: VoicedError) -> None:
        """The job ends without the rest."""

    def close(self) -> None:
        """Let go of files."""


class Batch(NamedTuple):
    """Consecutive segments that a worker speaks at once; a pure function of the plan, so that it can be repeated."""

    first: int
    end: int
    """One past the last."""


class Spoken(NamedTuple):
    """What a worker told of a segment."""

    words: int
    missed: int
    faults: tuple[str, ...] = ()
    """What is wrong with it, in words that follow "it"."""
    redone: tuple[str, ...] = ()
    """What was wrong with a first take."""
    heard: bytes = b""
    """When its words are heard, as `voiced.word_times` packs it; empty = that is not known, or nobody asks."""


class Run:
    """One unfinished job."""

    def __init__(self, job: Job, plan: Plan, text: TextSource, spec: ModelSpec, pauses: Pauses) -> None:
        self.job = job
        self.plan = plan
        self.text = text
        self.spec = spec
        self.batch_size = batch_size_of(plan, spec, is_durable=self.is_durable)
        first = job.progress.segments_done
        self.assembly = Assembly(plan.segments, pauses, first, job.progress.data_bytes)
        self.sink: Sink | None = None
        self.is_paused = job.state is JobState.PAUSED
        self.is_over = False
        self.flying: set[Batch] = set()
        self.attempts: Counter[Batch] = Counter()
        self.made_way: Counter[Batch] = Counter()
        """How often a batch was stopped for a higher lane."""
        self.accepted_at = time.monotonic()
        self.told_at = 0.0
        """When the last event about its progress went out."""
        self.has_begun = False
        """Whether a worker has begun with it."""
        self.learnt_s_per_char: float | None = None
        """What was learnt of the pace, all slots together: tells how long it takes before it knows that itself."""
        self._next = first
        self._redo: list[Batch] = []
        self._spoken: dict[int, Spoken] = {}
        self._work_began: float | None = None
        self._progress = job.progress

    @property
    def is_durable(self) -> bool:
        """Whether it makes a file."""
        return self.job.order.output is Output.FILE

    # -- what to speak --------------------------------------------------------------------------------

    def next_batch(self, slots: int) -> Batch | None:
        """Return what is to be spoken next, None = nothing now; the same until `begin`.

        Args:
            slots: Segments that are spoken side by side: bounds how far ahead of the first gap it may go.
        """
        if self.is_over or self.is_paused or self.sink is None:
            return None
        if self._redo:
            return self._redo[0]
        if self._next >= len(self.plan.segments) or self.sink.is_behind:
            return None
        if self._next - self.assembly.head >= (slots + _AHEAD_BATCHES) * self.batch_size:
            return None
        # Batches begin at multiples of their size, whatever was spoken before.
        end = min((self._next // self.batch_size + 1) * self.batch_size, len(self.plan.segments))
        return Batch(self._next, end)

    def begin(self, batch: Batch, *, holds_back: bool = False) -> None:
        """A worker begins with a batch.

        Args:
            batch: Which.
            holds_back: Its engine does not repeat itself: a segment is heard when it is whole.
        """
        self.has_begun = True
        if batch in self._redo:
            self._redo.remove(batch)
        else:
            self._next = batch.end
        self.assembly.holds_back = holds_back
        self.flying.add(batch)
        for index in range(batch.first, batch.end):
            self.assembly.begin(index)
        if self._work_began is None:
            self._work_began = time.monotonic()

    def land(self, batch: Batch, *, is_redone: bool) -> None:
        """A worker has ended with a batch.

        Args:
            batch: Which.
            is_redone: It failed and is to be spoken again.
        """
        self.flying.discard(batch)
        if is_redone:
            self._redo.append(batch)
            self._redo.sort()
        if not self.flying and self._work_began is not None:
            self._progress = self._progress._replace(work_s=self.work_s)
            self._work_began = None

    def chars(self, batch: Batch) -> int:
        """Return how many characters a batch has."""
        return self.plan.segments[batch.end - 1].end - self.plan.segments[batch.first].start

    # -- what was spoken ------------------------------------------------------------------------------

    def take_audio(self, index: int, pcm: bytes, where: RunAs) -> None:
        """Take audio of a segment.

        Args:
            index: Of the segment.
            pcm: Its next bytes.
            where: Where and how the model runs.
        """
        sink = self.sink
        if self.is_over or sink is None:
            return
        if self._progress.first_audio_ms is None:
            first_ms = (time.monotonic() - self.accepted_at) * 1000
            self._progress = self._progress._replace(first_audio_ms=first_ms)
        if (self._progress.device, self._progress.precision) != (where.device, where.precision):
            if self._progress.device:
                old = f"{self._progress.device} ({self._progress.precision})"
                self.note(f"from segment {index + 1} on {where.device} ({where.precision}), before on {old}")
            self._progress = self._progress._replace(device=where.device, precision=where.precision)
        for piece in self.assembly.audio(index, pcm):
            sink.write(piece)  # its reader may be found gone, and the run be over then

    def take_spoken(self, index: int, spoken: Spoken, sample_rate_hz: int) -> None:
        """Take the end of a segment."""
        sink = self.sink
        if self.is_over or sink is None:
            return
        self._spoken[index] = spoken
        for piece in self.assembly.spoken(index, sample_rate_hz):
            sink.write(piece)
        closed, self.assembly.closed = self.assembly.closed, []
        for one in closed:
            span = Span(one.start // BYTES_PER_SAMPLE, one.end // BYTES_PER_SAMPLE)
            sink.place(one.segment, span, self._spoken[one.segment].heard)
            self._count(one.segment)
            segments = one.segment + 1
            if segments % self.batch_size == 0 or segments == len(self.plan.segments):
                self._mark(sink, segments, one.after, sample_rate_hz)

    def _count(self, index: int) -> None:
        spoken = self._spoken.pop(index)
        if spoken.faults:
            again = ", in a second take too" if spoken.redone else ""
            self.note(f"segment {index + 1} {' and '.join(spoken.faults)}{again}")
        elif spoken.redone:
            self.note(f"segment {index + 1} was spoken again: its first take {' and '.join(spoken.redone)}")
        self._progress = self._progress._replace(
            words_spoken=self._progress.words_spoken + spoken.words,
            words_missed=self._progress.words_missed + spoken.missed,
            faulty_segments=self._progress.faulty_segments + bool(spoken.faults),
        )

    def _mark(self, sink: Sink, segments: int, data_bytes: int, sample_rate_hz: int) -> None:
        self._progress = self._progress._replace(
            segments_done=segments, data_bytes=data_bytes, sample_rate_hz=sample_rate_hz
        )
        marked = self._progress._replace(work_s=self.work_s)
        sink.mark(marked, is_last=segments == len(self.plan.segments))

    def close(self) -> None:
        """Let go of its text and of its sink's files."""
        self.is_over = True
        self.text.close()
        if self.sink is not None:
            self.sink.close()
            self.sink = None  # it holds the run: both go at once, and no collection has to find them

    # -- how far it is --------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """How far it is, as it would be written now."""
        return self._progress._replace(work_s=self.work_s)

    def note(self, text: str) -> None:
        """Tell the caller something about the job."""
        if text not in self._progress.notes and len(self._progress.notes) < 20:
            self._progress = self._progress._replace(notes=(*self._progress.notes, text))

    @property
    def work_s(self) -> float:
        """Seconds in which at least one segment was being spoken."""
        running = 0.0 if self._work_began is None else time.monotonic() - self._work_began
        return self._progress.work_s + running

    @property
    def is_spoken(self) -> bool:
        """Whether every segment was given to the sink."""
        return self.assembly.is_whole

    def info(self) -> JobInfo:
        """Return the job as a client sees it."""
        done = self.assembly.head
        chars_done = self.plan.segments[done - 1].end if done else 0
        left = self.plan.chars - chars_done
        own = self.work_s / chars_done if chars_done and self.work_s else None
        pace = own or self.learnt_s_per_char
        return describe_job(
            self.job._replace(progress=self.progress),
            segments_done=done,
            eta_s=None if pace is None else pace * left,
        )


def batch_size_of(plan: Plan, spec: ModelSpec, *, is_durable: bool) -> int:
    """Return how many segments a worker speaks at once: as many as the engine likes, and work for several cores.

    A function of the plan and the catalogue alone, so that a job taken up again has the same batches.
    """
    most = spec.file_batch if is_durable else spec.stream_batch
    return max(1, min(most, len(plan.segments) // _LEAST_BATCHES)) if is_durable else most


def describe_job(job: Job, *, segments_done: int | None = None, eta_s: float | None = None) -> JobInfo:
    """Return a job as a client sees it.

    Args:
        job: It.
        segments_done: Where a running job is really; None = what the ledger says.
        eta_s: Seconds left, where known.
    """
    order, progress = job.order, job.progress
    rate = progress.sample_rate_hz
    audio_s = progress.data_bytes / BYTES_PER_SAMPLE / rate if rate else 0.0
    return JobInfo(
        job_id=order.job_id,
        state=job.state,
        lane=order.lane,
        output=order.output,
        name=order.relative or order.name,
        model=order.speech.model,
        voice=order.speech.voice,
        language=order.language,
        device=progress.device,
        precision=progress.precision,
        format=order.format,
        chars=order.chars,
        segments=order.segments,
        segments_done=progress.segments_done if segments_done is None else segments_done,
        audio_s=audio_s,
        created=order.created,
        updated=job.updated,
        elapsed_s=progress.work_s,
        eta_s=None if job.state.is_final else eta_s,
        rtf=progress.work_s / audio_s if audio_s else None,
        first_audio_ms=progress.first_audio_ms,
        path=progress.path if job.state is JobState.DONE else "",
        words_spoken=progress.words_spoken,
        words_missed=progress.words_missed,
        faulty_segments=progress.faulty_segments,
        error_code=progress.error_code,
        error=progress.error,
        notes=list(progress.notes),
    )
