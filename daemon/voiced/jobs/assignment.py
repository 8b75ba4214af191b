"""A batch given to a worker: what is asked, what comes back, and how long that took.

The scheduler gives it out and decides what a failure costs. Belongs to the loop.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from voiced.jobs.job import segment_seed
from voiced.jobs.run import Batch, Run, Spoken
from voiced.workers.link import Fields
from voiced.workers.process import WorkerProcess
from voiced.workers.tasks import Frame, Task
from voiced_ipc.errors import InternalError, JobCancelled, VoicedError
from voiced_ipc.messages import Subtitles

_ALARM_S = 0.01
"""Least time between two looks at a deadline: after a sleep the clock of the worker's time stands for a moment."""


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


class Assignment:
    """One batch at one worker.

    Args:
        run: Whose batch it is.
        batch: What is spoken.
        worker: Who speaks; it has a slot, or a place in its queue.
        deadline_s: How long it may take, counted from its turn at the worker.
        max_chars: Greatest piece that is spoken at once; 0 = whole segments.
        prompts: Give voices of recordings; None = there are none.
    """

    def __init__(
        self,
        run: Run,
        batch: Batch,
        worker: WorkerProcess,
        deadline_s: float,
        max_chars: int = 0,
        prompts: PromptSource | None = None,
    ) -> None:
        self.run = run
        self.batch = batch
        self.worker = worker
        self.deadline_s = deadline_s
        self.is_leaving = False
        """It was stopped for somebody in a higher lane."""
        self._max_chars = max_chars
        self._prompts = prompts
        self._prompt: Fields | None = None
        self._task: Task | None = None
        self._refusal: VoicedError | OSError | None = None
        self._on_segment: Callable[[Run], None] = lambda run: None
        self._is_heard = True
        """Somebody waits for what comes."""
        self._fault: Exception | None = None
        """What was wrong with a frame."""
        self._began_s: float | None = None
        self._limit: asyncio.Timeout | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def start(self, on_segment: Callable[[Run], None]) -> None:
        """Send it to the worker; why that could not be done is raised by `relay`.

        Args:
            on_segment: Called with the run after each segment.
        """
        self._on_segment = on_segment
        try:
            self._check_rate()
            self._task = self.worker.give(self._request(), on_turn=self._begin, on_frame=self._hear)
        except (VoicedError, OSError) as error:
            self._refusal = error

    async def relay(self) -> float:
        """Pass on to the run what the worker makes; return how many seconds it took from its turn on.

        Raises:
            TimeoutError: If it took longer than its deadline.
            OSError: If the text of the job cannot be read.
            VoicedError: If it could not be given, or the worker failed.
        """
        if self._task is None:
            assert self._refusal is not None, "relay comes after start"
            raise self._refusal
        try:
            async with (
                asyncio.timeout(None) as self._limit,
                contextlib.aclosing(self.worker.frames(self._task)) as frames,
            ):
                self._watch_time()
                async for fields, _ in frames:
                    if self._fault is not None:
                        raise self._fault
                    if fields["type"] == "cancelled":
                        raise JobCancelled("the worker was told to stop")
        finally:
            self._is_heard = False
            self._limit = None
            if self._alarm is not None:
                self._alarm.cancel()
        return self.elapsed_s

    def leave(self) -> None:
        """Nobody waits for it any more."""
        self._is_heard = False
        if self._task is not None:
            self.worker.cancel(self._task)

    @property
    def elapsed_s(self) -> float:
        """Seconds since its turn at the worker in which the daemon was awake; 0 before."""
        return 0.0 if self._began_s is None else self.worker.awake() - self._began_s

    # -- its time -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """The worker begins with it."""
        self._began_s = self.worker.awake()
        self._watch_time()

    def _watch_time(self) -> None:
        """End it at its deadline; where the computer slept meanwhile, the alarm comes early and is set again."""
        if self._limit is None or self._began_s is None:
            return
        loop, left_s = asyncio.get_running_loop(), self.deadline_s - self.elapsed_s
        if left_s > 0:
            self._alarm = loop.call_later(max(left_s, _ALARM_S), self._watch_time)
        elif not self._limit.expired():
            self._limit.reschedule(loop.time())

    # -- what comes back ------------------------------------------------------------------------------

    def _hear(self, frame: Frame) -> None:
        """Take a frame the moment it comes: somebody may be listening. What goes wrong is raised by `relay`."""
        if not self._is_heard or self._fault is not None:
            return
        try:
            self._take(*frame)
        except Exception as error:  # noqa: BLE001 - `relay` raises it; here it would end the worker's link
            assert self._task is not None
            self._fault = error
            self._task.frames.put_nowait(frame)

    def _take(self, fields: Fields, payload: bytes) -> None:
        run, worker = self.run, self.worker
        kind: Any = fields["type"]
        if kind == "audio":
            run.take_audio(_index(fields), payload, worker.run_as)
        elif kind == "spoken":
            run.take_spoken(_index(fields), _spoken(fields, payload), worker.sample_rate_hz)
            self._on_segment(run)
        elif kind == "prompt" and self._prompt is not None and self._prompts is not None:
            self._prompts.told(run.job.job_id, self._prompt, fields)

    # -- what is asked --------------------------------------------------------------------------------

    def _check_rate(self) -> None:
        run, rate_hz = self.run, self.worker.sample_rate_hz
        if not run.is_durable and rate_hz != run.spec.sample_rate_hz:
            raise InternalError(
                f"{run.spec.model} speaks at {rate_hz} Hz and was announced at {run.spec.sample_rate_hz} Hz; "
                "install the model again"
            )

    def _request(self) -> Fields:
        run, speech = self.run, self.run.job.order.speech
        request: Fields = {
            "type": "speak",
            # An added voice is no name that the engine knows.
            "voice": "" if speech.voice_digest else speech.voice,
            "language": run.plan.language,
            "speed": speech.speed,
            "pitch": speech.pitch,
            "volume": speech.volume,
            "is_stream": not run.is_durable,
            "description": speech.description,
            "max_chars": self._max_chars,
            "tells_words": run.job.order.subtitles is not Subtitles.NONE,
            "segments": [self._segment(index) for index in range(self.batch.first, self.batch.end)],
        }
        if self._prompts is not None and speech.voice_digest:
            # Looked up for each batch: the worker may be another model's size than the one before.
            self._prompt = self._prompts.ask(speech.voice, speech.voice_digest, self.worker.ready)
        if self._prompt is not None:
            request["prompt"] = self._prompt
        return request

    def _segment(self, index: int) -> Fields:
        segment = self.run.plan.segments[index]
        text = self.run.text.read(segment) if segment.spoken is None else segment.spoken
        return {
            "index": index,
            "text": text.strip(),
            "language": segment.language,
            "seed": self._seed(index),
        }

    def _seed(self, index: int) -> int:
        """A described voice is what its seed makes of the words: one seed for the job, or it would be many people."""
        seed = self.run.job.order.speech.seed
        return seed if self.run.spec.identity == "description" else segment_seed(seed, index)


def _spoken(fields: Fields, heard: bytes) -> Spoken:
    words, missed = fields.get("words", 0), fields.get("missed", [])
    faults, redone = fields.get("faults", []), fields.get("redone", [])
    assert isinstance(words, int)
    assert isinstance(missed, list)
    assert isinstance(faults, list)
    assert isinstance(redone, list)
    return Spoken(words, len(missed), tuple(map(str, faults)), tuple(map(str, redone)), heard)


def _index(fields: Fields) -> int:
    index = fields["index"]
    assert isinstance(index, int)
    return index
