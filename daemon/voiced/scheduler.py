"""The scheduler: which segment is spoken next, on which worker.

The higher lane first, within a lane the earlier job; a job that cannot go on (its reader or its disk is behind, it is
paused) does not hold up the next. Each batch is a small task that reads its worker's frames; a batch that fails is
spoken again on a fresh worker up to `attempts` times, then its job fails and keeps its spool. Knows no socket.
"""

import asyncio
import bisect
import logging
from typing import NamedTuple, Protocol

from voiced.jobs.assignment import Assignment, PromptSource
from voiced.jobs.lanes import AtWork, makes_way
from voiced.jobs.pace import Key, Pace
from voiced.jobs.run import Batch, Run
from voiced.workers.pool import Pool
from voiced.workers.process import WorkerDismissed, WorkerProcess
from voiced_ipc.errors import (
    DeviceOutOfMemory,
    EngineCrashed,
    EngineLoadFailed,
    InternalError,
    StorageFailed,
    SynthesisFailed,
    VoicedError,
)
from voiced_ipc.messages import Lane

logger = logging.getLogger(__name__)

CANCEL_S = 0.5
"""A worker that goes on longer after a cancel, and longer than its load took, is ended if others wait for it."""


class SchedulerLimits(NamedTuple):
    """What the scheduler holds itself to."""

    attempts: int
    deadline_s: float
    """Least time allowed for a segment."""


class RunOwner(Protocol):
    """Who put the runs here."""

    def started(self, run: Run) -> None:
        """A worker begins with the first batch of a run."""

    def progressed(self, run: Run) -> None:
        """A segment was spoken."""

    def spoken(self, run: Run) -> None:
        """Every segment was given to the sink."""

    def fail(self, run: Run, error: VoicedError) -> None:
        """The run cannot go on."""


class Scheduler:
    """Spreads the batches of all runs over the pool's workers.

    Args:
        pool: Where workers come from.
        pace: Learns, and gives deadlines.
        limits: See there.
        owner: Is told what becomes of the runs.
        prompts: Give voices of recordings; None = there are none.
    """

    def __init__(
        self,
        pool: Pool,
        pace: Pace,
        limits: SchedulerLimits,
        owner: RunOwner,
        prompts: PromptSource | None = None,
    ) -> None:
        self._pool = pool
        self._pace = pace
        self.limits = limits
        self._owner = owner
        self._prompts = prompts
        self._runs: dict[str, Run] = {}
        self._order: list[Run] = []
        """The same, first the one that goes first."""
        self._tasks: dict[asyncio.Task[None], Assignment] = {}
        self._is_woken = False
        self.is_paused = False
        self.holds_batch = False
        """On battery: the batch lane waits, of models that are not lean."""
        self._is_draining = False
        self._retry: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> list[Run]:
        """The unfinished runs, first the one that goes first."""
        return list(self._order)

    @property
    def unfinished(self) -> int:
        """How many runs there are."""
        return len(self._runs)

    def find(self, job_id: str) -> Run | None:
        """Return an unfinished run."""
        return self._runs.get(job_id)

    def add(self, run: Run, *, at_once: bool = False) -> None:
        """Take a run in; its sink must stand.

        Args:
            run: It.
            at_once: Look for work before this returns, not on the next turn of the loop.
        """
        self._runs[run.job.job_id] = run
        bisect.insort(self._order, run, key=lambda other: other.job.rank)
        if at_once:
            self._dispatch()
        else:
            self.wake()

    def remove(self, run: Run) -> None:
        """Let a run go: it is done, failed or cancelled. Its batches are cancelled; those of a spoken one are done."""
        run.is_over = True
        if self._runs.pop(run.job.job_id, None) is not None:
            self._order.remove(run)
        for task, assignment in self._tasks.items():
            if assignment.run is run and not run.is_spoken:
                task.cancel()
                asyncio.get_running_loop().call_later(CANCEL_S, self._insist, assignment.worker)
        self.wake()

    def hold_batch(self, is_held: bool) -> None:
        """Let batch work of large models wait, or go on."""
        if is_held != self.holds_batch:
            self.holds_batch = is_held
            self.wake()

    def wake(self) -> None:
        """Something changed: look for work on the next turn of the loop."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._awake)

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing more; wait until the running batches have ended, at most so long."""
        self._is_draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    @property
    def flying(self) -> int:
        """Batches that are being spoken."""
        return len(self._tasks)

    # -- decide ---------------------------------------------------------------------------------------

    def _awake(self) -> None:
        self._is_woken = False
        self._dispatch()

    def _dispatch(self) -> None:
        if self._is_draining or self.is_paused:
            return
        busy: set[tuple[str, str]] = set()
        for run in self.runs:
            place = (run.spec.model, run.job.order.speech.device)
            if place in busy:
                continue
            try:
                if not self._feed(run):
                    busy.add(place)
            except (EngineLoadFailed, DeviceOutOfMemory) as error:
                self._wait_or_fail(run, error)
            except VoicedError as error:
                self._owner.fail(run, error)

    def _feed(self, run: Run) -> bool:
        """Give a run's next batches to free workers; return whether a worker is left for others."""
        while True:
            if run.is_over or run.is_paused:
                return True
            if self.holds_batch and run.job.order.lane is Lane.BATCH and not run.spec.is_lean:
                run.note("waits for mains power (setting hold_on_battery)")
                return True
            model, device = run.spec.model, run.job.order.speech.device
            free = self._pool.free_worker(model, device)
            worker = free or self._pool.worker_with_queue(model, device)
            batch = run.next_batch(worker.slots if worker else 1)
            if batch is None:
                return worker is not None
            if worker is None or (free is None and not self._is_quick(run, batch, worker)):
                self._make_way(run)
                return False
            self._pool.use(model, run.job.order.speech.keep_alive_s)
            self._assign(run, batch, worker)

    def _is_quick(self, run: Run, batch: Batch, worker: WorkerProcess) -> bool:
        """Whether a batch may wait in a worker's queue."""
        place = worker.running - worker.slots + 1
        return self._pace.is_quick(_pace_key(run, worker), run.chars(batch), place)

    def _assign(self, run: Run, batch: Batch, worker: WorkerProcess) -> None:
        is_first = not run.has_begun
        run.begin(batch, holds_back=worker.ready.get("is_repeatable") is False)
        key, chars = _pace_key(run, worker), run.chars(batch)
        deadline_s = self._pace.deadline_s(
            key, chars, least_s=self.limits.deadline_s, slowest_s_per_char=run.spec.slowest_s_per_char
        )
        learnt = self._pace.seconds_per_char(key)
        run.learnt_s_per_char = None if learnt is None else learnt / worker.slots
        max_chars = self._pool.engine(run.spec.model).max_chars
        assignment = Assignment(run, batch, worker, deadline_s, max_chars, self._prompts)
        # Now, and the world is told after the worker: somebody waits for the first word.
        assignment.start(self._progressed)
        task = asyncio.get_running_loop().create_task(self._speak(assignment))
        self._tasks[task] = assignment
        task.add_done_callback(self._landed)
        if is_first:
            self._owner.started(run)

    def _make_way(self, run: Run) -> None:
        """Stop a long segment of a lower lane where a run would have to wait for its end."""
        engine, device = self._pool.engine(run.spec.model), run.job.order.speech.device
        here = [
            (task, one)
            for task, one in self._tasks.items()
            if one.run.spec.model == run.spec.model and engine.is_served_by(one.worker, device)
        ]
        if any(one.is_leaving for _, one in here):
            return  # somebody does already
        for task, one in here:
            if makes_way(self._at_work(one), run.job.order.lane):
                one.is_leaving = True
                one.run.made_way[one.batch] += 1
                task.cancel()
                asyncio.get_running_loop().call_later(CANCEL_S, self._insist, one.worker)
                return

    def _at_work(self, one: Assignment) -> AtWork:
        expected_s = self._pace.expected_s(
            _pace_key(one.run, one.worker), one.run.chars(one.batch), one.run.spec.slowest_s_per_char
        )
        return AtWork(
            one.run.job.order.lane,
            expected_s - one.elapsed_s,
            one.worker.ready.get("can_cancel") is True,
            one.run.made_way[one.batch],
        )

    def _wait_or_fail(self, run: Run, error: VoicedError) -> None:
        """A stream fails when its engine is broken; a durable job waits until it is tried again."""
        if run.is_durable:
            run.note(f"waits: {error.message.partition(';')[0]}")  # without the seconds, which count down
            if self._retry is None:
                self._retry = asyncio.get_running_loop().call_later(1.0, self._try_again)
        else:
            self._owner.fail(run, error)

    def _try_again(self) -> None:
        self._retry = None
        self.wake()

    def _landed(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task).leave()  # it may have been cancelled before it began
        self.wake()

    def _insist(self, worker: WorkerProcess) -> None:
        """A cancelled batch still keeps its worker: end it once somebody would wait longer than for another one."""
        # A cancel of this moment is no reason: the worker was told of ours half a second ago.
        if worker.stuck_s <= CANCEL_S / 2:
            return
        # How long it goes on nobody knows: after as long as a load takes, a load is the shorter wait.
        is_wanted = any(run.spec.model == worker.name for run in self._runs.values())
        if is_wanted and worker.stuck_s >= worker.load_s:
            worker.kill("it did not stop when cancelled, and others wait")
        else:
            asyncio.get_running_loop().call_later(CANCEL_S, self._insist, worker)

    # -- speak ----------------------------------------------------------------------------------------

    def _progressed(self, run: Run) -> None:
        """A segment was spoken; with the last of them the run is, though its worker has yet to say that it is done.

        By then the audio may be on the disk and its file made: nobody would let go of the run.
        """
        self._owner.progressed(run)
        if run.is_spoken and not run.is_over:
            self._owner.spoken(run)

    async def _speak(self, assignment: Assignment) -> None:
        """Have one batch spoken; whatever happens, the run knows how it ended."""
        run, batch, worker = assignment.run, assignment.batch, assignment.worker
        failure: VoicedError | None = None
        try:
            took_s = await assignment.relay()
            self._pace.learn(_pace_key(run, worker), batch.end - batch.first, run.chars(batch), took_s)
        except TimeoutError:
            limit_s = assignment.deadline_s
            worker.kill(f"it took longer than {limit_s:.0f} s for {run.chars(batch)} characters")
            failure = EngineCrashed(f"a segment took longer than {limit_s:.0f} s")
        except WorkerDismissed as error:
            # Somebody moved or unloaded the model: what it spoke is spoken again, and is nobody's fault.
            run.land(batch, is_redone=True)
            run.note(f"segment {batch.first + 1} was begun anew: {error.message}")
            return
        except VoicedError as error:
            failure = error
        except OSError as error:
            failure = StorageFailed(f"the text of the job cannot be read: {error}")
        except asyncio.CancelledError:
            run.land(batch, is_redone=True)
            raise
        except Exception:
            logger.exception("job %s: segment %d", run.job.job_id, batch.first)
            failure = InternalError("a fault inside voiced; the log has the details")
        run.land(batch, is_redone=failure is not None)
        if failure is not None and not run.is_over:
            self._count_failure(run, batch, failure, worker)

    def _count_failure(self, run: Run, batch: Batch, failure: VoicedError, worker: WorkerProcess) -> None:
        if isinstance(failure, DeviceOutOfMemory) and (eased := self._pool.relieve(run.spec.model, worker)):
            run.note(f"segment {batch.first + 1} found no memory on {worker.device}: {eased}")
        run.attempts[batch] += 1
        attempt = run.attempts[batch]
        logger.warning(
            "job %s: segments %d-%d, attempt %d of %d: %s",
            run.job.job_id,
            batch.first,
            batch.end - 1,
            attempt,
            self.limits.attempts,
            failure.message,
        )
        if not isinstance(failure, SynthesisFailed):
            self._owner.fail(run, failure)  # it would be refused again
        elif attempt >= self.limits.attempts:
            first = run.assembly.head if run.assembly.head in range(*batch) else batch.first
            place = run.plan.segments[first]
            kind = DeviceOutOfMemory if isinstance(failure, DeviceOutOfMemory) else EngineCrashed
            message = (
                f"segment {first + 1} of {len(run.plan.segments)} (characters {place.start}-{place.end}) "
                f"could not be spoken in {attempt} attempts: {failure.message}"
            )
            self._owner.fail(run, kind(message))
        else:
            run.note(f"segment {batch.first + 1} was spoken again: {failure.message}")


def _pace_key(run: Run, worker: WorkerProcess) -> Key:
    return Key(run.spec.model, worker.device.partition(":")[0], run.plan.language)
