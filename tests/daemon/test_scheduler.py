"""Which segment is spoken next, on which worker; what a failure costs. Real runs and workers, played by the test."""

import asyncio
import time

import pytest

from tests.daemon.jobs.made import make_run
from tests.daemon.jobs.stage import SOUND, Stage, on_stage, stream
from tests.daemon.workers.in_memory import turns
from voiced.jobs.pace import LEARNT_SEGMENTS, Key
from voiced.jobs.run import Batch
from voiced_ipc.errors import DeviceOutOfMemory, EngineCrashed, EngineLoadFailed, InternalError, VoicedError
from voiced_ipc.messages import Lane, Output


def test_a_run_is_spoken_in_the_order_of_its_plan() -> None:
    async def play(stage: Stage) -> None:
        run, sink = stream(3)
        stage.scheduler.add(run)
        await turns()
        assert [await stage.answer() for _ in range(3)] == [[0], [1], [2]]
        assert stage.owner.done == [run.job.job_id]
        assert bytes(sink.pcm) == (SOUND + bytes(40)) * 3
        assert stage.scheduler.unfinished == 0

    on_stage(play)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_run_is_spoken_with_its_last_segment_however_late_its_worker_is(is_lost: bool) -> None:
    """What was spoken may be on the disk, and its file be made, before the worker says that it is done."""

    async def play(stage: Stage) -> None:
        run, sink = stream(1)
        stage.scheduler.add(run)
        await turns()
        (asked,) = stage.asked()
        stage.wire.speak(asked, lambda index: SOUND, ends=False)
        assert stage.owner.done == [run.job.job_id]
        assert stage.scheduler.unfinished == 0
        run.close()  # its file is made
        await turns()
        if is_lost:
            await stage.lose()
        else:
            stage.wire.done(asked)
            await turns()
        assert stage.scheduler.flying == 0
        assert stage.wire.of("cancel") == []
        assert (stage.owner.done, stage.owner.failed) == ([run.job.job_id], {})
        assert bytes(sink.pcm) == SOUND + bytes(40)

    on_stage(play)


def test_a_worker_is_given_no_more_than_its_slots() -> None:
    async def play(stage: Stage) -> None:
        for number in range(5):
            stage.scheduler.add(stream(4, number)[0])
        await turns()
        assert len(stage.asked()) == 2
        await stage.answer()
        assert len(stage.asked()) == 3

    on_stage(play, slots=2)


def is_queueing(stage: Stage, pace_s: float) -> None:
    """The worker keeps a queue, and so many seconds of work for a character were learnt."""
    worker = next(iter(stage.pool.workers()))
    worker.queue_length = 1
    stage.pace.learn(Key("tone", "cpu", "en"), LEARNT_SEGMENTS, 1000, 1000 * pace_s)


def test_a_quick_segment_waits_at_its_worker_and_a_slow_one_does_not() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        is_queueing(stage, 0.001)
        run, sink = stream(4, number=1)
        stage.scheduler.add(run)
        await turns()
        assert [asked["segments"][0]["index"] for asked in stage.asked()] == [0, 1]
        stage.pace.learn(Key("tone", "cpu", "en"), LEARNT_SEGMENTS, 1000, 10000.0)
        await stage.answer()
        assert len(stage.asked()) == 2
        await stage.answer()
        assert len(stage.asked()) == 3
        for _ in range(2):
            await stage.answer()
        assert bytes(sink.pcm) == (SOUND + bytes(40)) * 4

    on_stage(play)


def test_a_segment_lost_before_its_turn_costs_no_attempt() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        is_queueing(stage, 0.001)
        run, _ = stream(2)
        stage.scheduler.add(run)
        await turns()
        await stage.lose()
        assert run.attempts == {Batch(0, 1): 1}
        for _ in range(2):
            await stage.answer()
        assert stage.owner.done == [run.job.job_id]

    on_stage(play)


def test_a_queued_segment_has_its_whole_deadline_from_its_turn_on() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        is_queueing(stage, 0.0001)
        run, _ = stream(2)
        stage.scheduler.add(run)
        await turns()
        await asyncio.sleep(0.3)
        await stage.answer()
        await asyncio.sleep(0.3)  # 0.6 s since it was sent
        await stage.answer()
        assert stage.owner.done == [run.job.job_id]
        assert stage.pool.killed == []

    on_stage(play, deadline_s=0.5)


def slow(stage: Stage, *, can_cancel: bool = True) -> None:
    """A segment of four letters takes 40 s, and the worker can stop inside."""
    stage.pace.learn(Key("tone", "cpu", "en"), LEARNT_SEGMENTS, 100, 1000.0)
    for worker in stage.pool.workers():
        worker.ready = {**worker.ready, "can_cancel": can_cancel}


def test_a_long_segment_makes_way_twice_at_most() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        slow(stage)
        book, sink = make_run(2, number=1, lane=Lane.BATCH)
        stage.scheduler.add(book)
        await turns()
        for count in (1, 2):
            talk, _ = stream(1, number=10 + count)
            stage.scheduler.add(talk)
            await turns()
            (*_, cancelled) = stage.wire.of("cancel")
            assert len(stage.wire.of("cancel")) == count
            stage.wire.say({"type": "cancelled", "task": cancelled["task"]})
            await turns()
            stage.answered = len(stage.wire.of("speak")) - 1
            await stage.answer()
            assert stage.owner.done[-1] == talk.job.job_id
            assert not book.attempts
        stage.scheduler.add(stream(1, number=20)[0])
        await turns()
        assert len(stage.wire.of("cancel")) == 2  # not a third time
        stage.answered = len(stage.wire.of("speak")) - 1
        for _ in range(3):
            await stage.answer()
        assert len(stage.owner.done) == 4
        assert bytes(sink.pcm) == (SOUND + bytes(40)) * 2

    on_stage(play)


@pytest.mark.parametrize("why", ["cannot stop", "quick", "same lane"])
def test_a_segment_makes_no_way(why: str) -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        if why != "quick":
            slow(stage, can_cancel=why != "cannot stop")
        lane = Lane.INTERACTIVE if why == "same lane" else Lane.BATCH
        stage.scheduler.add(make_run(2, number=1, lane=lane)[0])
        await turns()
        stage.scheduler.add(stream(1, number=2)[0])
        await turns()
        assert stage.wire.of("cancel") == []
        assert len(stage.asked()) == 1

    on_stage(play)


def test_the_higher_lane_goes_first_then_the_earlier_job() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        lanes = [(Lane.BATCH, 1), (Lane.NORMAL, 3), (Lane.INTERACTIVE, 4), (Lane.NORMAL, 2)]
        runs = {
            (lane, number): make_run(1, number=number, output=Output.STREAM, lane=lane)[0]
            for lane, number in lanes
        }
        for run in runs.values():
            stage.scheduler.add(run)
        await turns()
        for _ in range(4):
            await stage.answer()
        wanted = [(Lane.INTERACTIVE, 4), (Lane.NORMAL, 2), (Lane.NORMAL, 3), (Lane.BATCH, 1)]
        assert stage.owner.began == [runs[key].job.job_id for key in wanted]

    on_stage(play)


def test_a_new_stream_takes_the_worker_at_the_next_segment() -> None:
    async def play(stage: Stage) -> None:
        book, _ = make_run(5, number=1, lane=Lane.BATCH)
        stage.scheduler.add(book)
        await turns()
        await stage.answer()
        talk, _ = stream(1, number=2)
        stage.scheduler.add(talk)
        await turns()
        assert stage.owner.began == [book.job.job_id]
        await stage.answer()
        assert stage.owner.began == [book.job.job_id, talk.job.job_id]

    on_stage(play)


@pytest.mark.parametrize("why", ["paused", "behind"])
def test_a_run_that_cannot_go_on_does_not_hold_up_the_next(why: str) -> None:
    async def play(stage: Stage) -> None:
        held, sink = stream(1, number=1)
        held.is_paused, sink.is_behind = why == "paused", why == "behind"
        free, _ = stream(1, number=2)
        stage.scheduler.add(held)
        stage.scheduler.add(free)
        await turns()
        await stage.answer()
        assert stage.owner.done == [free.job.job_id]
        held.is_paused = sink.is_behind = False
        stage.scheduler.wake()
        await turns()
        await stage.answer()
        assert stage.owner.done == [free.job.job_id, held.job.job_id]

    on_stage(play)


def test_on_battery_batch_work_waits_and_says_why() -> None:
    async def play(stage: Stage) -> None:
        book, _ = make_run(1, number=1, lane=Lane.BATCH)
        talk, _ = stream(1, number=2)
        stage.scheduler.hold_batch(True)
        stage.scheduler.add(book)
        stage.scheduler.add(talk)
        await turns()
        await stage.answer()
        assert stage.owner.done == [talk.job.job_id]
        assert any("mains power" in note for note in book.progress.notes)
        stage.scheduler.hold_batch(False)
        await turns()
        await stage.answer()
        assert stage.owner.done == [talk.job.job_id, book.job.job_id]

    on_stage(play)


def test_a_paused_scheduler_begins_nothing() -> None:
    async def play(stage: Stage) -> None:
        stage.scheduler.is_paused = True
        stage.scheduler.add(stream(1)[0])
        await turns()
        assert stage.asked() == []
        stage.scheduler.is_paused = False
        stage.scheduler.wake()
        await turns()
        assert len(stage.asked()) == 1

    on_stage(play)


def test_a_lost_worker_costs_one_attempt_and_no_sample() -> None:
    async def play(stage: Stage) -> None:
        run, sink = stream(2)
        stage.scheduler.add(run)
        await turns()
        task = stage.wire.of("speak")[0]["task"]
        stage.wire.say({"type": "audio", "task": task, "index": 0}, SOUND[:4])
        await turns()
        await stage.lose()
        assert await stage.answer() == [0]
        assert await stage.answer() == [1]
        assert stage.owner.done == [run.job.job_id]
        assert bytes(sink.pcm) == (SOUND + bytes(40)) * 2
        assert any("spoken again" in note for note in run.progress.notes)

    on_stage(play)


@pytest.mark.parametrize("attempts", [1, 3])
def test_after_so_many_attempts_the_job_fails_and_others_go_on(attempts: int) -> None:
    async def play(stage: Stage) -> None:
        bad, _ = stream(3, number=1)
        good, _ = stream(1, number=2)
        stage.scheduler.add(bad)
        stage.scheduler.add(good)
        await turns()
        for _ in range(attempts):
            assert stage.owner.failed == {}
            await stage.lose()
        error = stage.owner.failed[bad.job.job_id]
        assert type(error) is EngineCrashed
        assert f"in {attempts} attempts" in error.message
        assert "segment 1 of 3 (characters 0-4)" in error.message
        await stage.answer()
        assert stage.owner.done == [good.job.job_id]
        assert len(stage.pool.wires) == attempts + 1

    on_stage(play, attempts=attempts)


@pytest.mark.parametrize(
    ("code", "kind", "attempts"),
    [
        ("synthesis-failed", EngineCrashed, 2),
        ("device-out-of-memory", DeviceOutOfMemory, 2),
        ("internal-error", InternalError, 1),
    ],
)
def test_what_the_worker_says_is_counted_by_its_class(
    code: str, kind: type[VoicedError], attempts: int
) -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(1)
        stage.scheduler.add(run)
        await turns()
        for place in range(attempts):
            task = stage.wire.of("speak")[place]["task"]
            stage.wire.say({"type": "failed", "task": task, "code": code, "message": "ouch"})
            await turns()
        assert type(stage.owner.failed[run.job.job_id]) is kind
        assert len(stage.asked()) == attempts

    on_stage(play, attempts=2)


def test_a_segment_over_its_deadline_costs_the_worker() -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(1)
        stage.scheduler.add(run)
        while not stage.owner.failed:
            await asyncio.sleep(0.001)
        assert "took longer than" in stage.owner.failed[run.job.job_id].message
        assert len(stage.pool.killed) == 2

    on_stage(play, attempts=2, deadline_s=0.41)  # above the catalogue's bound for four letters


def test_a_cancelled_run_frees_its_worker() -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(5, number=1)
        following, _ = stream(1, number=2)
        stage.scheduler.add(run)
        stage.scheduler.add(following)
        await turns()
        stage.scheduler.remove(run)
        await turns()
        asked = stage.wire.of("speak")[0]
        assert [fields["task"] for fields in stage.wire.of("cancel")] == [asked["task"]]
        assert len(stage.asked()) == 1  # it is still at it
        stage.wire.say({"type": "cancelled", "task": asked["task"]})
        await turns()
        stage.answered = 1
        await stage.answer()
        assert stage.owner.done == [following.job.job_id]
        assert stage.pool.killed == []

    on_stage(play)


def test_a_worker_that_does_not_stop_is_ended_when_others_wait() -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(5, number=1)
        stage.scheduler.add(run)
        stage.scheduler.add(stream(1, number=2)[0])
        await turns()
        stage.scheduler.remove(run)
        while not stage.pool.killed:
            await asyncio.sleep(0.01)
        assert "did not stop" in stage.pool.killed[0]
        await turns()
        assert [fields["segments"][0]["index"] for fields in stage.asked()] == [0, 0]

    on_stage(play)


def test_a_worker_that_loads_slowly_is_given_as_long_to_stop() -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(5, number=1)
        following, _ = stream(1, number=2)
        stage.scheduler.add(run)
        stage.scheduler.add(following)
        await turns()
        (worker,) = stage.pool.workers()
        worker.load_s = 0.8  # more than a worker has that loads at once
        began = time.monotonic()
        stage.scheduler.remove(run)
        while not stage.pool.killed:
            await asyncio.sleep(0.01)
        assert time.monotonic() - began >= worker.load_s

    on_stage(play)


def test_a_broken_engine_fails_a_stream_and_holds_a_durable_job() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.is_broken = True
        talk, _ = stream(1, number=1)
        book, _ = make_run(1, number=2)
        stage.scheduler.add(talk)
        stage.scheduler.add(book)
        await turns()
        assert type(stage.owner.failed[talk.job.job_id]) is EngineLoadFailed
        assert book.job.job_id not in stage.owner.failed
        stage.pool.wires.append(None)  # type: ignore[arg-type]  # the countdown in the reason changes
        stage.scheduler.wake()
        await turns()
        assert len(book.progress.notes) == 1
        stage.pool.is_broken = False
        stage.scheduler.wake()
        await turns()
        await stage.answer()
        assert stage.owner.done == [book.job.job_id]
        assert stage.scheduler._retry is not None
        stage.scheduler._retry.cancel()

    on_stage(play)


def test_a_worker_that_ends_before_its_task_began_is_no_hang() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        run, _ = stream(1)
        stage.scheduler.add(run)
        stage.scheduler._dispatch()  # the task is made, and has not begun
        assert stage.scheduler.flying == 1
        await stage.lose()
        await stage.answer()
        assert stage.owner.done == [run.job.job_id]

    on_stage(play)


def test_segments_are_learnt_from() -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(25)
        stage.scheduler.add(run)
        await turns()
        for _ in range(25):
            await stage.answer()
        assert '"tone", "cpu", "en", 25' in stage.pace.dump()

    on_stage(play)


def test_what_was_learnt_tells_how_long_the_next_job_takes() -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        await turns()
        stage.pace.learn(Key("tone", "cpu", "en"), LEARNT_SEGMENTS, 100, 200.0)
        run, _ = stream(10)
        assert run.info().eta_s is None
        stage.scheduler.add(run)
        await turns()
        assert run.info().eta_s == pytest.approx(2.0 * 40)
        await stage.answer()
        own = run.info().eta_s
        assert own is not None
        assert own < 40  # its own pace, as soon as it has one

    on_stage(play)


def test_draining_lets_running_segments_end_and_begins_nothing() -> None:
    async def play(stage: Stage) -> None:
        run, sink = stream(3)
        stage.scheduler.add(run)
        await turns()
        draining = asyncio.get_running_loop().create_task(stage.scheduler.drain(10.0))
        await turns()
        await stage.answer()
        await draining
        assert len(stage.asked()) == 1
        assert sink.marks[-1].segments_done == 1
        assert stage.scheduler.unfinished == 1

    on_stage(play)


def test_draining_ends_what_takes_too_long() -> None:
    async def play(stage: Stage) -> None:
        run, _ = stream(3)
        stage.scheduler.add(run)
        await turns()
        await stage.scheduler.drain(0.01)
        assert stage.scheduler.flying == 0
        assert len(stage.wire.of("cancel")) == 1

    on_stage(play)
