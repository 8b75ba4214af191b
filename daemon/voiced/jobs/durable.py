"""Durable jobs: accepted when they are on disk, taken up again after any end of the daemon, published exactly once.

Belongs to the loop.
"""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from voiced.jobs import publish
from voiced.jobs.background import Background
from voiced.jobs.cancel import Cancellable
from voiced.jobs.endings import Endings
from voiced.jobs.finish import Finisher
from voiced.jobs.intake import Intake, Planned
from voiced.jobs.job import Job, Progress, digest_of, stamp
from voiced.jobs.run import Run, describe_job
from voiced.jobs.sinks import FileSink
from voiced.jobs.sources import put_away
from voiced.jobs.spool import FileText, PartFile
from voiced.jobs.store import Store
from voiced.memory import trim_memory
from voiced.scheduler import Scheduler
from voiced.segments import Plan, read_plan
from voiced.timeline import TimelineFile
from voiced_ipc import messages as m
from voiced_ipc.errors import (
    IdReused,
    InvalidRequest,
    JobCancelled,
    JobNotFound,
    StorageFailed,
    VoicedError,
)
from voiced_ipc.messages import JobState, Subtitles

logger = logging.getLogger(__name__)

_LARGE_BYTES = 64 << 20
"""Sound of a job after which memory is given back: the C library keeps half of what was in flight, up to 50 MB."""

DISK_RETRY_S = 3.0
"""Pause before what the disk refused is tried again."""


class DurableJobs:
    """Jobs that make files.

    Args:
        store: Where they are kept.
        intake: Plans them.
        finisher: Makes the files.
        scheduler: Has them spoken.
        background: Runs what nobody waits for.
        publish: Tells the world: an event class and its fields.
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        finisher: Finisher,
        scheduler: Scheduler,
        background: Background,
        publish: Callable[..., None],
    ) -> None:
        self._store = store
        self._intake = intake
        self._finisher = finisher
        finisher.on_left = lambda job: background.later(DISK_RETRY_S, lambda: self.sweep(job))
        self._scheduler = scheduler
        self._background = background
        self._publish = publish
        self.endings = Endings()
        self.done = 0
        """Jobs done since the start."""
        self.room_made: Callable[[], None] = lambda: None
        """Called when a job has ended: the drop folder may claim another."""

    # -- new jobs -------------------------------------------------------------------------------------

    async def again(self, request: m.Synthesize, payload: bytes) -> Job | None:
        """Return the job that the same request made before; None if there is none.

        Raises:
            IdReused: If the id belongs to another request.
        """
        known = await self._store.find(request.request_id)
        if known is not None and known.order.digest != digest_of(request, payload):
            raise IdReused(
                f"job {known.job_id} was asked for with other content: every request needs its own id"
            )
        return known

    async def submit(self, request: m.Synthesize, payload: bytes, work: Cancellable) -> Planned:
        """Accept a request: it is on disk when this returns.

        Args:
            request: What is asked.
            payload: The text, where no document holds it.
            work: What a cancel ends: until it is accepted.

        Raises:
            JobCancelled: If it was cancelled; nothing is kept.
            VoicedError: If it is refused; the document lies where the client put it.
        """
        try:
            with work:
                planned = await self._intake.plan_file(request, payload)
            await self.accept(planned)
        except JobCancelled:
            self._intake.throw_away(request)
            raise
        except VoicedError:
            self._intake.give_back(request)
            raise
        return planned

    async def accept(self, planned: Planned, state: JobState = JobState.QUEUED) -> None:
        """Put a job into the store, then into the queue. What is in the store is accepted, whatever comes then.

        Raises:
            StorageFailed: If the disk refuses; nothing is kept.
        """
        progress = Progress(notes=planned.notes if planned.order.claim else ())
        job = await self._store.insert(Job(planned.order, state, progress, stamp()))
        try:
            self._begin(job, planned.plan)
        except OSError as error:
            self._background.spawn(self._give_up(job, _unopened(error)))
        self._publish(m.JobAccepted, job=describe_job(job))

    # -- at work --------------------------------------------------------------------------------------

    def restore(self, jobs: list[Job]) -> None:
        """Take up the durable jobs of an earlier run."""
        for job in jobs:
            if job.state is JobState.FINISHING:
                self._spawn_finish(job)
                continue
            try:
                self._begin(job, read_plan(self._intake.folder(job.job_id)))
            except OSError as error:
                fault = StorageFailed(f"it cannot go on after a restart: its files cannot be read: {error!r}")
                self._background.spawn(self._give_up(job, fault))
            except VoicedError as error:  # its plan is damaged, or its model was removed
                self._background.spawn(self._give_up(job, error))

    def _begin(self, job: Job, plan: Plan) -> None:
        """Put a durable job into the queue.

        Raises:
            OSError: If its files cannot be opened.
            UnknownModel, ModelMissing: If its model is gone.
        """
        spec = self._intake.casting.spec(job.order.speech.model)
        folder = self._intake.folder(job.job_id)
        with contextlib.ExitStack() as opened:
            part = PartFile(Path(job.order.part), job.progress.data_bytes)
            opened.callback(part.close)
            has_words = job.order.subtitles is not Subtitles.NONE
            timeline = TimelineFile(folder, job.progress.segments_done, has_words=has_words)
            opened.callback(timeline.close)
            text = FileText(folder / "text")
            opened.pop_all()  # all there: the sink has them from here on
        run = Run(job, plan, text, spec, self._intake.pauses())
        run.sink = FileSink(
            part,
            timeline,
            self._store,
            lambda: run.job,
            on_written=lambda: self._spawn_finish(run.job._replace(progress=run.progress), run),
            on_failed=lambda error: self.fail(run, error),
            on_room=self._scheduler.wake,
        )
        self._scheduler.add(run)
        if run.is_spoken:  # everything was in the part when the daemon ended
            self._scheduler.remove(run)
            self.spoken(run)
            self._spawn_finish(run.job._replace(progress=run.progress), run)

    def spoken(self, run: Run) -> None:
        """Every segment of a run was given to its sink; its last group is on the way to the disk."""
        run.job = run.job.moved(JobState.FINISHING)
        self.endings.begin(run.job.job_id, run)

    def _spawn_finish(self, job: Job, run: Run | None = None) -> None:
        """Have the file of a job made; `run` is None where it was taken up again when all was spoken."""
        if run is not None and job.progress.data_bytes > _LARGE_BYTES:
            trim_memory()  # its audio went through; an encoder needs memory now
        self._background.spawn(self._finish(job, self.endings.begin(job.job_id, run).work, run))

    async def _finish(self, job: Job, work: Cancellable, run: Run | None) -> None:
        try:
            done = await self._finisher.finish(job, work)
        except JobCancelled:
            await self._cancelled(job)
        except VoicedError as error:
            await self._give_up(job, error)
        else:
            if run is not None:
                run.job = done
            self.endings.close(job.job_id)  # before anybody looks whether there is room
            self._done(done)
        finally:
            self.endings.close(job.job_id)
            if run is not None:
                run.close()
            self.room_made()

    def _done(self, job: Job) -> None:
        self.done += 1
        self._publish(m.JobFinished, job=describe_job(job))

    def fail(self, run: Run, error: VoicedError) -> None:
        """End a run that cannot go on; its spool is kept for a retry."""
        self._scheduler.remove(run)
        run.close()
        self._background.spawn(self._fail(run.job._replace(progress=run.progress), error))

    async def _fail(self, job: Job, error: VoicedError) -> None:
        try:
            if self.endings.is_cancelled(job.job_id):  # its last audio was on the way to the disk
                await self._cancelled(job)
            else:
                await self._give_up(job, error)
        finally:
            self.endings.close(job.job_id)

    async def _give_up(self, job: Job, error: VoicedError) -> None:
        """Note that a durable job failed, and set its source aside; as soon as the disk allows."""
        logger.error("job %s failed: %s", job.job_id, error.message)
        try:
            # What the ledger knows counts; what ran ahead of it is spoken again by a retry.
            known = await self._store.find(job.job_id) or job
            failed = known.moved(
                JobState.FAILED, error_code=error.code.value, error=error.message, notes=job.progress.notes
            )
            await self._store.update(failed)
        except StorageFailed as fault:
            logger.warning("job %s: its end waits for the disk: %s", job.job_id, fault.message)
            self._background.later(DISK_RETRY_S, lambda: self._give_up(job, error))
            return
        failed = await self.put_away(failed)
        self._publish(m.JobFailed, job=describe_job(failed))
        self.room_made()

    async def put_away(self, job: Job) -> Job:
        """Move a dropped text where it belongs, and remember where that is; as soon as the disk allows."""
        try:
            return await self._store.do(lambda connection: put_away(connection, job))
        except StorageFailed as error:
            logger.warning("job %s: its source stays where it is for now: %s", job.job_id, error.message)
            self._background.later(DISK_RETRY_S, lambda: self._put_away_again(job))
            return job

    async def _put_away_again(self, job: Job) -> None:
        await self.put_away(job)

    # -- asked from outside ---------------------------------------------------------------------------

    async def cancel(self, run: Run) -> None:
        """End a run; its audio goes, its source is set aside."""
        await self._cancelled(run.job._replace(progress=run.progress))

    async def _cancelled(self, job: Job) -> None:
        cancelled = await self._write_cancelled(job.moved(JobState.CANCELLED))
        self._publish(m.JobWasCancelled, job=describe_job(cancelled))
        self.room_made()

    async def _write_cancelled(self, job: Job) -> Job:
        """Note that a job was cancelled and remove what it has; as soon as the disk allows."""
        try:
            await self._store.update(job)
        except StorageFailed as error:
            logger.warning("job %s: its cancel waits for the disk: %s", job.job_id, error.message)
            self._background.later(DISK_RETRY_S, lambda: self._write_cancelled_again(job))
            return job
        job = await self.put_away(job)
        await self.sweep(job)
        return job

    async def _write_cancelled_again(self, job: Job) -> None:
        await self._write_cancelled(job)

    async def forget_failed(self, job: Job) -> None:
        """Remove what a failed job has kept for a retry."""
        cancelled = job.moved(JobState.CANCELLED)
        await self._store.update(cancelled)
        await self.sweep(cancelled)
        self._publish(m.JobWasCancelled, job=describe_job(cancelled))

    async def hold(self, run: Run) -> None:
        """Remember whether a run is paused."""
        known = await self._store.find(run.job.job_id)
        await self._store.update((known or run.job).moved(run.job.state))

    async def retry(self, job_id: str) -> str:
        """Go on with a failed job where its spool ends.

        Raises:
            JobNotFound: If there is none of that id.
            InvalidRequest: If it has not failed.
            StorageFailed: If its spool is gone.
        """
        job = await self._store.find(job_id)
        if job is None:
            raise JobNotFound(f"no job {job_id}; `voiced jobs` lists them")
        if job.state is not JobState.FAILED:
            remedy = "; hand its text in again" if job.state is JobState.CANCELLED else ""
            raise InvalidRequest(f"the job is {job.state.value}; only a failed one can be retried{remedy}")
        queued = job.moved(JobState.QUEUED, error_code="", error="")
        if job.progress.path:  # all is spoken, and perhaps the file lies there already
            await self._store.update(queued)
            self._spawn_finish(queued)
            return "goes on with the finished file"
        plan = read_plan(self._intake.folder(job_id))
        await self._store.update(queued)
        try:
            self._begin(queued, plan)
        except OSError as error:
            self._background.spawn(self._give_up(queued, _unopened(error)))
            raise _unopened(error) from error
        except VoicedError as error:  # its model was removed
            self._background.spawn(self._give_up(queued, error))
            raise
        if queued.progress.segments_done == queued.order.segments:
            return "all of it is spoken: its file is made again"
        return f"goes on at segment {queued.progress.segments_done + 1} of {queued.order.segments}"

    async def sweep(self, job: Job) -> None:
        """Remove what a job has kept; as soon as the disk allows."""
        is_gone = False
        with contextlib.suppress(OSError, StorageFailed):
            is_gone = await self._store.effect(
                lambda: publish.remove_kept(job, self._intake.folder(job.job_id))
            )
        if not is_gone:
            self._background.later(DISK_RETRY_S, lambda: self.sweep(job))


def _unopened(error: OSError) -> StorageFailed:
    return StorageFailed(f"its files cannot be opened: {error}; mend that, then `voiced retry` goes on")
