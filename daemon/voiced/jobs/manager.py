"""The manager: all jobs, durable ones and streams, behind one face.

It owns the room in the queue, tells the scheduler's news to the right side, and serves what people ask of a job.
Belongs to the loop.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from voiced.drop.claim import Claim
from voiced.drop.sidecar import Sidecars
from voiced.jobs.abilities import Abilities
from voiced.jobs.assignment import PromptSource
from voiced.jobs.background import Background
from voiced.jobs.cancel import Cancellable
from voiced.jobs.dropped import DroppedTexts
from voiced.jobs.durable import DurableJobs
from voiced.jobs.finish import Finisher
from voiced.jobs.intake import Intake
from voiced.jobs.job import Job, Order
from voiced.jobs.pace import Pace
from voiced.jobs.run import Run, describe_job
from voiced.jobs.sinks import Peer
from voiced.jobs.store import Store
from voiced.jobs.streams import Streams
from voiced.models.spec import ModelSpec
from voiced.scheduler import Scheduler, SchedulerLimits
from voiced.workers.pool import Pool
from voiced_ipc import messages as m
from voiced_ipc.errors import (
    IdReused,
    InvalidRequest,
    JobCancelled,
    JobNotFound,
    QueueFull,
    ShuttingDown,
    VoicedError,
)
from voiced_ipc.messages import JobInfo, JobState

_TELL_S = 0.25
_ENDING_S = 1.0
"""So long the files that are being made may take at a stop."""
PAUSED_SETTING = "is_paused"
PAUSED_NOTE = "everything is paused, this waits too: `voiced resume` goes on"


class _Accepting(NamedTuple):
    """A job that is being planned."""

    work: Cancellable
    over: asyncio.Event
    dropped: str
    """The name of a dropped text; empty = it was asked for."""


class JobManager:
    """All jobs.

    Args:
        store: Where durable ones are kept.
        intake: Plans them.
        finisher: Makes files.
        pool: Where workers come from.
        pace: What is learnt of their speed.
        publish: Tells the world: an event class and its fields.
        prompts: Give voices of recordings to workers.
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        finisher: Finisher,
        pool: Pool,
        pace: Pace,
        publish: Callable[..., None],
        prompts: PromptSource | None = None,
    ) -> None:
        config = intake.config
        self._store = store
        self._intake = intake
        self._publish = publish
        self.background = Background()
        self.scheduler = Scheduler(
            pool, pace, SchedulerLimits(config.attempts, config.segment_deadline_s), self, prompts
        )
        self.durable = DurableJobs(store, intake, finisher, self.scheduler, self.background, publish)
        self._dropped = DroppedTexts(self.durable, store, intake, self.scheduler, self.background, publish)
        self.streams = Streams(intake, self.scheduler, publish)
        self._accepting: dict[str, _Accepting] = {}
        self._is_stopping = False
        self.on_hold: Callable[[bool], None] = lambda is_held: None
        """Called when everything is held, or goes on."""

    # -- what there is --------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Jobs that may still be accepted."""
        if self._is_stopping:
            return 0
        unfinished = len(self.durable.endings) + self.scheduler.unfinished
        return self._intake.config.queue_limit - unfinished - len(self._accepting)

    @property
    def active(self) -> list[Run]:
        """Unfinished runs: those being finished, then the queue in its order."""
        return [*self.durable.endings.runs, *self.scheduler.runs]

    @property
    def reading(self) -> list[str]:
        """Names of dropped texts that were taken and are being read."""
        return [one.dropped for one in self._accepting.values() if one.dropped]

    @property
    def done(self) -> int:
        """Jobs done since the start."""
        return self.durable.done + self.streams.done

    def _find(self, job_id: str) -> Run | None:
        return self.durable.endings.find(job_id) or self.scheduler.find(job_id) or self.streams.find(job_id)

    async def find(self, job_id: str) -> JobInfo:
        """Return a job.

        Raises:
            JobNotFound: If there is none of that id.
        """
        run = self._find(job_id)
        return run.info() if run else describe_job(await self._stored(job_id))

    async def page(self, states: list[JobState], before: str, limit: int) -> tuple[list[JobInfo], str]:
        """Return a page of durable jobs, newest first, and where the next one begins.

        Raises:
            InvalidRequest: If `before` is not the end of a page.
        """
        if before and not (before.isascii() and before.isdigit()):
            raise InvalidRequest("before must be the `next` of an earlier page")
        jobs = await self._store.page(states, int(before) if before else None, limit)
        following = str(jobs[-1].number) if len(jobs) == limit else ""
        infos = []
        for job in jobs:
            run = self._find(job.job_id)
            infos.append(run.info() if run else describe_job(job))
        return infos, following

    async def abilities(self, model: str) -> Abilities:
        """Return what a model can do, its voices above all.

        Raises:
            VoicedError: If there is no such model, or it cannot be loaded.
        """
        return await self._intake.casting.abilities(model)

    def device(self, asked: str, spec: ModelSpec) -> tuple[str, str]:
        """Return the device of a request, and what differs from the one asked for; see `Casting.device`."""
        return self._intake.casting.device(asked, spec, is_strict=self._intake.config.strict_device)

    async def _stored(self, job_id: str) -> Job:
        job = await self._store.find(job_id)
        if job is None:
            raise JobNotFound(f"no job {job_id}; `voiced jobs` lists them")
        return job

    # -- new jobs -------------------------------------------------------------------------------------

    async def stream(self, request: m.Synthesize, payload: bytes, peer: Peer) -> None:
        """Accept a stream and tell the peer.

        Raises:
            VoicedError: If it is refused.
        """
        job_id = request.request_id
        if self._find(job_id) or job_id in self._accepting:
            raise IdReused(f"a job {job_id} is running already: every request needs an id of its own")
        with self._reserved(job_id) as work:
            with work:
                planned = await self.streams.plan(request, payload)
            accepted = await self._accepted(planned.order, planned.original_chars, planned.notes)
            self.streams.begin(planned, accepted, request, payload, peer)

    async def submit(self, request: m.Synthesize, payload: bytes) -> m.Accepted:
        """Accept a durable job: it is on disk when this returns. The same request again gives the same job.

        Raises:
            VoicedError: If it is refused; nothing is kept.
        """
        while request.request_id in self._accepting:
            await self._accepting[request.request_id].over.wait()
        if self.room <= 0 and not self._store.may_know(request.request_id):
            self._check_room()  # at once: no wait for what others have to write
        # Reserved before the look into the store: the same request may come twice at once.
        with self._reserved(request.request_id, has_place=True) as work:
            known = await self.durable.again(request, payload)
            if known is not None:
                return await self._accepted(known.order, known.order.chars, ())
            self._check_room(own=1)
            planned = await self.durable.submit(request, payload, work)
        return await self._accepted(planned.order, planned.original_chars, planned.notes)

    def take_claim(self, claim: Claim, sidecars: Sidecars) -> None:
        """Make a job of a dropped text, beside; it was claimed because there was room."""
        self.background.spawn(self._take_claim(claim, sidecars))

    async def _take_claim(self, claim: Claim, sidecars: Sidecars) -> None:
        while claim.job_id in self._accepting:  # a sidecar came while it was planned
            await self._accepting[claim.job_id].over.wait()
        if not self._is_stopping:  # else it is found again at the next start
            with self._reserved(claim.job_id, has_place=True, dropped=str(claim.relative)) as work:
                await self._dropped.take(claim, sidecars, work)

    @contextlib.contextmanager
    def _reserved(self, job_id: str, *, has_place: bool = False, dropped: str = "") -> Iterator[Cancellable]:
        """Keep a place in the queue while a job is planned, which a cancel ends.

        Whoever asks for the same id meanwhile waits.

        Raises:
            QueueFull, ShuttingDown: If there is no place.
        """
        if self._is_stopping:
            raise ShuttingDown("the daemon is stopping; ask again after its restart")
        if job_id in self._accepting:
            raise InvalidRequest(f"job {job_id} is being taken in at this moment; ask again when it is")
        if not has_place:
            self._check_room()
        accepting = self._accepting[job_id] = _Accepting(Cancellable(), asyncio.Event(), dropped)
        try:
            yield accepting.work
        finally:
            del self._accepting[job_id]
            accepting.over.set()

    def _check_room(self, own: int = 0) -> None:
        """Refuse a job for which there is no place, besides the `own` places that it has already."""
        if self.room + own <= 0:
            limit = self._intake.config.queue_limit
            raise QueueFull(f"{limit} jobs are waiting already; ask again when some are done")

    async def _accepted(self, order: Order, original_chars: int, notes: tuple[str, ...]) -> m.Accepted:
        run, rate_hz = await self._intake.casting.usage(order)
        machine = self._intake.machine()
        return m.Accepted(
            request_id=order.job_id,
            job_id=order.job_id,
            output=order.output,
            model=order.speech.model,
            voice=order.speech.voice,
            language=order.language,
            device=run.device,
            precision=run.precision,
            sample_rate_hz=rate_hz,
            channels=1,
            chars=order.chars,
            segments=order.segments,
            original_chars=original_chars,
            is_truncated=original_chars > order.chars,
            tier=machine.tier,
            max_text_chars=machine.max_text_chars,
            notes=[*notes, PAUSED_NOTE] if self.scheduler.is_paused else list(notes),
        )

    # -- told by the scheduler ------------------------------------------------------------------------

    def started(self, run: Run) -> None:
        """The first segment of a run is being spoken."""
        run.job = run.job.moved(JobState.RUNNING)
        self._publish(m.JobStarted, job=run.info())

    def progressed(self, run: Run) -> None:
        """A segment of a run was spoken."""
        now = time.monotonic()
        if now - run.told_at >= _TELL_S:
            run.told_at = now
            self._publish(m.SegmentFinished, job=run.info())

    def spoken(self, run: Run) -> None:
        """Every segment of a run was given to its sink."""
        self.scheduler.remove(run)
        if run.is_durable:
            self.durable.spoken(run)
        else:
            self.streams.spoken(run)

    def fail(self, run: Run, error: VoicedError) -> None:
        """A run cannot go on."""
        if run.is_durable:
            self.durable.fail(run, error)
        else:
            self.streams.end(run, JobState.FAILED, error)

    # -- asked from outside ---------------------------------------------------------------------------

    async def cancel(self, job_id: str) -> str:
        """Cancel a job, also one that is planned yet or whose file is being made; return what was done.

        Raises:
            JobNotFound: If there is none of that id.
        """
        accepting = self._accepting.get(job_id)
        if accepting is not None:
            accepting.work.cancel()
            await accepting.over.wait()
        was_ending = await self.durable.endings.cancel(job_id)
        run = self.scheduler.find(job_id)
        if run is not None and run.is_durable:
            self.scheduler.remove(run)
            run.close()
            await self.durable.cancel(run)
            return "cancelled"
        stream = self.streams.find(job_id)
        if stream is not None:
            self.streams.end(stream, JobState.CANCELLED, JobCancelled("the job was cancelled"))
            return "cancelled"
        if accepting is not None and accepting.work.is_cancelled and not await self._store.find(job_id):
            return "cancelled"
        job = await self._stored(job_id)
        if was_ending and job.state is JobState.CANCELLED:
            return "cancelled"
        if job.state is JobState.FAILED:
            await self.durable.forget_failed(job)
            return "the audio that the failed job had kept was removed"
        return f"the job is {job.state.value} already"

    async def pause(self, job_id: str | None, *, is_paused: bool) -> str:
        """Hold, or go on with, one job or everything; kept over restarts.

        Raises:
            JobNotFound: If no such job is unfinished.
        """
        if job_id is None:
            await self._store.keep(PAUSED_SETTING, "1" if is_paused else "")
            self.hold(is_held=is_paused)
            self._publish(m.PauseChanged, is_paused=is_paused)
        else:
            await self._pause_job(job_id, is_paused)
        self.scheduler.wake()
        return "paused" if is_paused else "going on"

    def hold(self, *, is_held: bool) -> None:
        """Speak nothing and make no files, or go on."""
        self.scheduler.is_paused = is_held
        self.on_hold(is_held)

    async def _pause_job(self, job_id: str, is_paused: bool) -> None:
        run = self.scheduler.find(job_id)
        if self.durable.endings.find(job_id) is not None:
            raise InvalidRequest(
                f"all of job {job_id} is spoken and its file is being made: `voiced cancel` ends that, "
                "`voiced pause` without an id holds it"
            )
        if run is None:
            raise JobNotFound(f"no job {job_id} is waiting or running; `voiced jobs` lists them")
        run.is_paused = is_paused
        going = JobState.RUNNING if run.has_begun else JobState.QUEUED
        run.job = run.job.moved(JobState.PAUSED if is_paused else going)
        if run.is_durable:
            await self.durable.hold(run)

    async def retry(self, job_id: str) -> str:
        """Go on with a failed job where its spool ends.

        Raises:
            JobNotFound: If there is none of that id.
            InvalidRequest: If it has not failed.
            StorageFailed: If its spool is gone.
        """
        with self._reserved(job_id):
            return await self.durable.retry(job_id)

    # -- the end --------------------------------------------------------------------------------------

    async def stop(self, timeout_s: float) -> None:
        """Take nothing new, let running segments end, end streams; durable jobs stay as they are on disk.

        A file that is being made is left too, unless that takes but a moment: it is made anew after the start.
        """
        self._is_stopping = True
        await self.scheduler.drain(timeout_s)
        await self.durable.endings.leave(_ENDING_S)
        for run in self.scheduler.runs:
            if run.is_durable:
                run.close()
        self.streams.end_all(ShuttingDown("the daemon is stopping"))
        await self.background.finish(max(1.0, timeout_s))
