"""Jobs whatever the order in which workers, the store and people are heard: each ends once, and nothing stays behind.

The real manager, scheduler, store and finisher. Workers are played by the test, the planning is a stand-in, and the
store is heard when the test says so.
"""

import asyncio
import contextlib
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.daemon.jobs.made import PAUSES, Reader, make_order, make_plan
from tests.daemon.jobs.stage import SOUND, PlayedPool
from tests.daemon.workers.in_memory import Wire, turns
from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.config import Config
from voiced.jobs.finish import Finisher
from voiced.jobs.intake import Intake, Machine, Planned
from voiced.jobs.job import digest_of
from voiced.jobs.manager import JobManager
from voiced.jobs.pace import Pace
from voiced.jobs.schema import open_database
from voiced.jobs.sinks import Sent, StreamSink
from voiced.jobs.store import Store
from voiced.models.catalogue import CATALOGUE
from voiced.models.spec import ModelSpec
from voiced.workers.spawn import RunAs
from voiced_ipc import messages as m
from voiced_ipc.errors import JobCancelled, JobNotFound
from voiced_ipc.messages import JobState, Lane, Output, Synthesize

PAUSE = bytes(PAUSES.sentence_ms * 2)  # at 1000 Hz, which the played workers speak at
MOST_JOBS, MOST_LOSSES, MOST_CANCELS = 5, 2, 2
CREDIT = len(SOUND)  # less than a segment with its pause: a reader has to go on granting


class HeldStore(Store):
    """The real store, whose answers are heard one by one when `let` is called."""

    held: deque[tuple["asyncio.Future[Any]", "asyncio.Future[Any]"]]

    def do(self, work: Callable[..., Any]) -> "asyncio.Future[Any]":
        outer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.held.append((super().do(work), outer))
        return outer

    async def let(self) -> None:
        """Let the oldest answer be heard."""
        inner, outer = self.held.popleft()
        await asyncio.wait([inner])
        error = inner.exception()
        if outer.done():
            return
        if error is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())


class PlainIntake:
    """A stand-in for the planning: a segment for each word."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = Config(audio_folder=root / "Audio")
        self.casting = self

    def spec(self, _model: str) -> ModelSpec:
        return CATALOGUE["tone"]._replace(sample_rate_hz=1000)

    async def usage(self, _order: object) -> tuple[RunAs, int]:
        return RunAs(), 1000

    def machine(self) -> Machine:
        return Machine()

    def pauses(self) -> object:
        return PAUSES

    def folder(self, job_id: str) -> Path:
        return self.root / "spool" / job_id

    def throw_away(self, _request: Synthesize) -> None:
        """No document was handed in."""

    async def plan_stream(self, request: Synthesize, payload: bytes) -> Planned:
        count = len(payload.split())
        order = make_order(
            job_id=request.request_id, output=Output.STREAM, lane=Lane.INTERACTIVE, segments=count
        )
        return Planned(order, make_plan(count), self.spec("tone"), 4 * count)

    async def plan_file(self, request: Synthesize, payload: bytes) -> Planned:
        count = len(payload.split())
        folder = self.folder(request.request_id)
        folder.mkdir(parents=True)
        (folder / "text").write_bytes(b"abcd" * count)
        order = make_order(
            job_id=request.request_id,
            digest=digest_of(request, payload),
            segments=count,
            chars=4 * count,
            part=str(self.config.audio_folder / ".voiced" / f"{request.request_id}.part"),
            audio_folder=str(self.config.audio_folder),
        )
        return Planned(order, make_plan(count), self.spec("tone"), 4 * count)


class Play:
    """The house, and what may happen next in it."""

    def __init__(self, root: Path, store: HeldStore, slots: int) -> None:
        self.store = store
        self.pool = PlayedPool(slots)
        intake = PlainIntake(root)

        async def encode(fields: object) -> dict[str, object]:
            raise AssertionError(fields)

        finisher = Finisher(store, encode, root / "spool", 0o600)
        self.told: Counter[tuple[str, str]] = Counter()
        self.manager = JobManager(store, cast(Intake, intake), finisher, self.pool, Pace(), self._publish)
        self.pool._on_change = self.manager.scheduler.wake
        self.words: dict[str, int] = {}
        self.ids: list[str] = []
        """Of all that was asked for."""
        self.readers: dict[str, Reader] = {}
        """Of the streams among them."""
        self.asking: set[asyncio.Task[Any]] = set()
        self._losses = self._cancels = 0
        self._saying: dict[tuple[int, int], Iterator[tuple[dict[str, Any], bytes]]] = {}

    def _publish(self, kind: type[m.Event], **fields: Any) -> None:
        job = fields.get("job")
        if job is not None and job.state.is_final:
            self.told[job.job_id, job.state.value] += 1

    def can(self) -> dict[str, Callable[[], Any]]:
        """What may happen now, by name."""
        found: dict[str, Callable[[], Any]] = {}
        if len(self.ids) < MOST_JOBS:
            found |= {f"submit {count}": partial(self._submit, count) for count in (1, 3)}
            found["speak"] = partial(self._speak, 2)
        if self._at_work():
            found["frame"] = self._say
            if self._losses < MOST_LOSSES:
                found["lose"] = self._lose
        if self.store.held:
            found["store"] = self.store.let
        if waiting := self._waiting():
            found["grant"] = partial(self._grant, waiting)
            if self._cancels < MOST_CANCELS:
                found["leave"] = partial(self._leave, waiting[0])
        if left := self._left():
            found["tick"] = partial(self._tick, left)
        if self.ids and self._cancels < MOST_CANCELS:
            found["cancel"] = self._cancel
        return found

    def _submit(self, count: int) -> None:
        request = Synthesize(request_id=m.new_id(), output=Output.FILE)
        self.ids.append(request.request_id)
        self.words[request.request_id] = count
        self._ask(self.manager.submit(request, b"word " * count))

    def _speak(self, count: int) -> None:
        request = Synthesize(request_id=m.new_id(), output=Output.STREAM, credit_bytes=CREDIT)
        self.ids.append(request.request_id)
        self.words[request.request_id] = count
        reader = self.readers[request.request_id] = Reader()
        self._ask(self.manager.stream(request, b"word " * count, reader))

    def _waiting(self) -> list[str]:
        """The streams whose readers have not heard their end."""
        return [
            job_id
            for job_id, reader in self.readers.items()
            if reader.mood is Sent.YES and reader.of(m.Accepted) and not _lasts(reader)
        ]

    def _grant(self, waiting: list[str]) -> None:
        for job_id in waiting:
            self.manager.streams.grant(job_id, CREDIT)

    def _leave(self, job_id: str) -> None:
        self._cancels += 1
        self.readers[job_id].mood = Sent.GONE

    def _left(self) -> list[StreamSink]:
        """Where readers are gone, which is noticed when something is to be sent."""
        runs = [
            self.manager.streams.find(one) for one, reader in self.readers.items() if reader.mood is Sent.GONE
        ]
        return [run.sink for run in runs if run is not None and isinstance(run.sink, StreamSink)]

    def _tick(self, sinks: list[StreamSink]) -> None:
        for sink in sinks:
            sink._tick()

    def _cancel(self) -> None:
        self._cancels += 1
        self._ask(self.manager.cancel(self.ids[-1]))

    def _ask(self, asked: Any) -> None:
        async def ask() -> None:
            with contextlib.suppress(JobCancelled, JobNotFound):
                await asked

        task = asyncio.get_running_loop().create_task(ask())
        self.asking.add(task)
        task.add_done_callback(self.asking.discard)

    # -- the worker -----------------------------------------------------------------------------------

    def _at_work(self) -> list[tuple[Wire, dict[str, Any], tuple[int, int]]]:
        """Tasks of living workers that have not ended, in their order."""
        return [
            (wire, asked, place)
            for number, wire in enumerate(self.pool.wires)
            if not wire.is_closing()
            for asked in wire.of("speak")
            if (place := (number, asked["task"])) not in self._saying or self._saying[place] is not _ENDED
        ]

    def _say(self) -> None:
        """Let a worker say the next thing of its first task."""
        wire, asked, place = self._at_work()[0]
        is_cancelled = any(frame["task"] == asked["task"] for frame in wire.of("cancel"))
        if is_cancelled:
            self._saying[place] = _ENDED
            wire.say({"type": "cancelled", "task": asked["task"]})
            return
        fields, payload = next(self._saying.setdefault(place, iter(_frames(asked))))
        if fields["type"] == "done":
            self._saying[place] = _ENDED
        wire.say(fields, payload)

    def _lose(self) -> None:
        self._losses += 1
        self._at_work()[0][0].end()

    # -- the end --------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let everything come to its end that goes on by itself."""
        for _ in range(2000):
            await turns()
            able = self.can()
            going = [able[name] for name in ("frame", "store", "grant", "tick") if name in able]
            if not going:
                return
            for act in going:
                done = act()
                if done is not None:
                    await done
        raise AssertionError(f"it does not come to an end: {list(self.can())}")


def _lasts(reader: Reader) -> list[Any]:
    """What ends a stream."""
    return [*reader.of(m.Done), *reader.of(m.ErrorReply)]


_ENDED: Iterator[tuple[dict[str, Any], bytes]] = iter(())


def _frames(asked: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What a worker answers."""
    for segment in asked["segments"]:
        place = {"task": asked["task"], "index": segment["index"]}
        yield {"type": "audio", **place}, SOUND
        yield {"type": "spoken", **place, "samples": len(SOUND) // 2, "words": 1, "missed": []}, b""
    yield {"type": "done", "task": asked["task"]}, b""


async def _check(play: Play, root: Path) -> None:
    manager = play.manager
    assert not play.asking
    assert manager.active == []
    assert (manager.scheduler.unfinished, manager.scheduler.flying, len(manager.durable.endings)) == (0, 0, 0)
    assert manager.room == Config().queue_limit
    files = 0
    for job_id, reader in play.readers.items():
        assert manager.streams.find(job_id) is None
        if reader.mood is Sent.YES and reader.of(m.Accepted):
            assert len(_lasts(reader)) == 1
        if reader.of(m.Done):
            assert reader.audio == (SOUND + PAUSE) * play.words[job_id]
    for job_id in [one for one in play.ids if one not in play.readers]:
        found = play.store.find(job_id)
        await play.store.let()
        job = await found
        if job is None:  # cancelled before it was accepted
            continue
        assert job.state in (JobState.DONE, JobState.CANCELLED), job.progress.error
        assert play.told[job_id, job.state.value] == 1
        if job.state is JobState.DONE:
            files += 1
            audio = Path(job.progress.path).read_bytes()[WAV_HEADER_BYTES:]
            assert audio == (SOUND + PAUSE) * play.words[job_id]
    lying = [path for path in (root / "Audio").rglob("*") if path.is_file()]
    assert len(lying) == files


@settings(max_examples=100)
@given(
    slots=st.sampled_from([1, 2]),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.sampled_from([1, 1, 12])), max_size=40),
)
def test_every_job_ends_once_and_leaves_nothing(slots: int, steps: list[tuple[int, int, int]]) -> None:
    """Each step is the choice of what happens, how many turns the loop has after it, and how often it may happen."""

    async def main(root: Path) -> None:
        store = HeldStore(open_database(root / "jobs.sqlite")[0])
        store.held = deque()
        store.start(asyncio.get_running_loop())
        try:
            play = Play(root, store, slots)
            for choice, pause, times in steps:
                names = [*play.can()]
                for _ in range(times):
                    act = play.can().get(names[choice % len(names)]) if names else None
                    if act is not None and (done := act()) is not None:
                        await done
                    await turns(pause)
            await play.settle()
            await _check(play, root)
        finally:
            store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
