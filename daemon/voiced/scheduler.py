"""The scheduler: which segment is spoken next, on which worker.

The higher lane first, within a lane the earlier job; a job that cannot go on (its reader or its disk is behind, it is
paused) does not hold up the next. Each batch is a small task that reads its worker's frames; a batch that fails is
spoken again on a fresh worker up to `attempts` times, then its job fails and keeps its spool. Knows no socket.
"""

import asyncio
import bisect
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from voiced.jobs.job import segment_seed
from voiced.jobs.pace import Key, Pace
from voiced.jobs.run import Batch, Run, Spoken
from voiced.workers.pool import Pool
from voiced.workers.process import WorkerDismissed, WorkerProcess
from voiced_ipc.errors import (
    DeviceOutOfMemory,
    EngineCrashed,
    EngineLoadFailed,
    InternalError,
    JobCancelled,
    StorageFailed,
    SynthesisFailed,
    VoicedError,
)

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


class PromptSource(Protocol):
    """Where voices of recordings come from."""

    def ask(self, voice: str, digest: str, ready: Mapping[str, object]) -> dict[str, object] | None:
        """Return the `prompt` of a `speak` frame; None = this voice needs none.

        Args:
            voice: A voice that was added.
            digest: What it was when the job began.
            ready: What the worker said of itself.

        Raises:
            VoicedError: If it is gone since.
        """

    def told(self, job_id: str, asked: Mapping[str, object], answer: Mapping[str, object]) -> None:
        """Take note of a worker's `prompt` frame."""


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
        self._tasks: dict[asyncio.Task[None], tuple[Run, WorkerProcess, int]] = {}
        self._is_woken = False
        self.is_paused = False
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

    def add(self, run: Run) -> None:
        """Take a run in; its sink must stand."""
        self._runs[run.job.job_id] = run
        bisect.insort(self._order, run, key=lambda other: other.job.rank)
        self.wake()

    def remove(self, run: Run) -> None:
        """Let a run go: it is done, failed or cancelled. Its batches are cancelled."""
        run.is_over = True
        if self._runs.pop(run.job.job_id, None) is not None:
            self._order.remove(run)
        for task, (owner, worker, _) in self._tasks.items():
            if owner is run:
                task.cancel()
                asyncio.get_running_loop().call_later(CANCEL_S, self._insist, worker)
        self.wake()

    def wake(self) -> None:
        """Something changed: look for work on the next turn of the loop."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._dispatch)

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

    def _dispatch(self) -> None:
        self._is_woken = False
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
            worker = self._pool.free_worker(run.spec.model, run.job.order.speech.device)
            if worker is None:
                return False
            batch = run.next_batch(worker.slots)
            if batch is None:
                return True
            if not run.has_begun:
                self._owner.started(run)
            run.begin(batch, holds_back=worker.ready.get("is_repeatable") is False)
            self._pool.use(run.spec.model, run.job.order.speech.keep_alive_s)
            # The task begins on a later turn of the loop; until then others must find the slot taken.
            slot = worker.reserve()
            task = asyncio.get_running_loop().create_task(self._speak(run, batch, worker, slot))
            self._tasks[task] = (run, worker, slot)
            task.add_done_callback(self._landed)

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
        _, worker, slot = self._tasks.pop(task)
        worker.release(slot)
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

    async def _speak(self, run: Run, batch: Batch, worker: WorkerProcess, slot: int) -> None:
        """Speak one batch; whatever happens, the run knows how it ended."""
        key = Key(run.spec.model, worker.device.partition(":")[0], run.plan.language)
        chars = run.chars(batch)
        deadline_s = self._pace.deadline_s(
            key, chars, least_s=self.limits.deadline_s, slowest_s_per_char=run.spec.slowest_s_per_char
        )
        began = time.monotonic()
        failure: VoicedError | None = None
        try:
            async with asyncio.timeout(deadline_s):
                await self._relay(run, batch, worker, slot)
            self._pace.learn(key, batch.end - batch.first, chars, time.monotonic() - began)
        except TimeoutError:
            worker.kill(f"it took longer than {deadline_s:.0f} s for {chars} characters")
            failure = EngineCrashed(f"a segment took longer than {deadline_s:.0f} s")
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
        elif run.is_spoken and not run.is_over:
            self._owner.spoken(run)

    async def _relay(self, run: Run, batch: Batch, worker: WorkerProcess, slot: int) -> None:
        rate = worker.sample_rate_hz
        if not run.is_durable and rate != run.spec.sample_rate_hz:
            raise InternalError(
                f"{run.spec.model} speaks at {rate} Hz and was announced at {run.spec.sample_rate_hz} Hz; "
                "install the model again"
            )
        request = self._request(run, batch)
        prompt = self._prompt(run, worker)
        if prompt is not None:
            request["prompt"] = prompt
        async with contextlib.aclosing(worker.run(request, reserved=slot)) as frames:
            async for fields, payload in frames:
                kind: Any = fields["type"]
                if kind == "audio":
                    run.take_audio(_index(fields), payload, worker.run_as)
                elif kind == "spoken":
                    words, missed = fields.get("words", 0), fields.get("missed", [])
                    assert isinstance(words, int)
                    assert isinstance(missed, list)
                    run.take_spoken(_index(fields), Spoken(words, len(missed)), rate)
                    self._owner.progressed(run)
                elif kind == "prompt" and prompt is not None and self._prompts is not None:
                    self._prompts.told(run.job.job_id, prompt, fields)
                elif kind == "cancelled":
                    raise JobCancelled("the worker was told to stop")

    def _request(self, run: Run, batch: Batch) -> dict[str, object]:
        speech = run.job.order.speech
        segments = []
        for index in range(batch.first, batch.end):
            segment = run.plan.segments[index]
            text = run.text.read(segment) if segment.spoken is None else segment.spoken
            segments.append(
                {
                    "index": index,
                    "text": text.strip(),
                    "language": segment.language,
                    "seed": self._seed(run, index),
                }
            )
        return {
            "type": "speak",
            # An added voice is no name that the engine knows.
            "voice": "" if speech.voice_digest else speech.voice,
            "language": run.plan.language,
            "speed": speech.speed,
            "pitch": speech.pitch,
            "volume": speech.volume,
            "is_stream": not run.is_durable,
            "description": speech.description,
            "max_chars": self._pool.engine(run.spec.model).max_chars,
            "segments": segments,
        }

    def _prompt(self, run: Run, worker: WorkerProcess) -> dict[str, object] | None:
        """Whose recordings speak: looked up for each batch, as the worker may be another model's size than before."""
        speech = run.job.order.speech
        if self._prompts is None or not speech.voice_digest:
            return None
        return self._prompts.ask(speech.voice, speech.voice_digest, worker.ready)

    def _seed(self, run: Run, index: int) -> int:
        """A described voice is what its seed makes of the words: one seed for the job, or it would be many people."""
        seed = run.job.order.speech.seed
        return seed if run.spec.identity == "description" else segment_seed(seed, index)

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


def _index(fields: dict[str, object]) -> int:
    index = fields["index"]
    assert isinstance(index, int)
    return index
