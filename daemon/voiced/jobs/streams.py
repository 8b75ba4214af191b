"""Streams: speech for a reader who waits. They live as long as he reads, and are not kept.

Belongs to the loop.
"""

import logging
import time
from collections.abc import Callable

from voiced.jobs.intake import Intake, Planned
from voiced.jobs.job import Job, Progress, stamp
from voiced.jobs.run import Run, describe_job
from voiced.jobs.sinks import Peer, StreamSink
from voiced.jobs.spool import MemoryText
from voiced.scheduler import Scheduler
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError
from voiced_ipc.messages import JobState

logger = logging.getLogger(__name__)


class Streams:
    """Jobs that are sent as they are spoken.

    Args:
        intake: Plans them.
        scheduler: Has them spoken.
        publish: Tells the world: an event class and its fields.
    """

    def __init__(self, intake: Intake, scheduler: Scheduler, publish: Callable[..., None]) -> None:
        self._intake = intake
        self._scheduler = scheduler
        self._publish = publish
        self._runs: dict[str, Run] = {}
        self.done = 0
        """Streams spoken since the start."""

    def find(self, job_id: str) -> Run | None:
        """Return a stream that is spoken, or spoken and not yet all sent."""
        return self._runs.get(job_id)

    async def plan(self, request: m.Synthesize, payload: bytes) -> Planned:
        """Return the planned stream.

        Raises:
            VoicedError: If it is refused.
        """
        return await self._intake.plan_stream(request, payload)

    def begin(
        self, planned: Planned, accepted: m.Accepted, request: m.Synthesize, payload: bytes, peer: Peer
    ) -> None:
        """Put a stream into the queue, and tell the peer that it is accepted."""
        job_id = request.request_id
        job = Job(planned.order, JobState.RUNNING, Progress(), stamp(), number=time.monotonic_ns())
        run = Run(job, planned.plan, MemoryText(payload), planned.spec, self._intake.pauses())
        sink = StreamSink(
            peer,
            request,
            planned.spec.sample_rate_hz,
            on_lost=lambda error: self._lost(run, error),
            on_read=self._scheduler.wake,
            on_over=lambda: self._over(job_id),
        )
        run.sink = sink
        self._runs[job_id] = run
        # First the worker, then the peer: he waits for the first word. What is spoken comes on a later turn.
        self._scheduler.add(run, at_once=True)
        if not run.is_over:
            sink.start(accepted, run.info)

    def spoken(self, run: Run) -> None:
        """Every segment was given to the sink; the end follows the last audio."""
        run.job = run.job._replace(progress=run.progress).moved(JobState.DONE)
        self.done += 1
        self._publish(m.JobFinished, job=run.info())
        assert run.sink is not None
        run.sink.finish()

    def grant(self, job_id: str, credit_bytes: int) -> None:
        """A reader allows more. A stream that has ended meanwhile needs none."""
        run = self._runs.get(job_id)
        if run is not None and isinstance(run.sink, StreamSink):
            run.sink.grant(credit_bytes)

    def end(self, run: Run, state: JobState, error: VoicedError) -> None:
        """End a stream before its end, and tell its reader."""
        self._scheduler.remove(run)
        sink = run.sink
        run.close()
        if sink is not None:  # else it has told already: its reader is gone
            sink.fail(error)
        if run.job.state.is_final:
            return  # it was spoken, and the world was told; only the rest of the sending is lost
        run.job = run.job._replace(progress=run.progress)
        run.job = run.job.moved(state, error_code=error.code.value, error=error.message)
        kind = m.JobFailed if state is JobState.FAILED else m.JobWasCancelled
        self._publish(kind, job=describe_job(run.job))

    def end_all(self, error: VoicedError) -> None:
        """End every stream, and tell the readers why."""
        for run in list(self._runs.values()):
            self.end(run, JobState.CANCELLED, error)

    def _lost(self, run: Run, error: VoicedError) -> None:
        logger.info("stream %s ends: %s", run.job.job_id, error.message)
        self.end(run, JobState.CANCELLED, error)

    def _over(self, job_id: str) -> None:
        run = self._runs.pop(job_id, None)
        if run is not None:
            run.close()
