"""Streams: what a stream leaves behind."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.daemon.jobs.made import PAUSES, Reader, make_run
from tests.daemon.jobs.stage import Stage, on_stage
from tests.daemon.workers.in_memory import turns
from tests.told import told_accepted
from voiced.jobs.assembly import Pauses
from voiced.jobs.intake import Planned
from voiced.jobs.run import Run
from voiced.jobs.sinks import Sent
from voiced.jobs.streams import Streams
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError
from voiced_ipc.messages import JobState


class Usual:
    """The settings of pauses, where `Streams` asks for them."""

    def pauses(self) -> Pauses:
        return PAUSES


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def begin(stage: Stage, reader: Reader, told: list[type[m.Event]] | None = None) -> tuple[Streams, str]:
    """A stream of two segments in the queue; the stage's owner hands it on as the manager does."""

    def publish(event: type[m.Event], **fields: object) -> None:
        if told is not None:
            told.append(event)

    streams = Streams(Usual(), stage.scheduler, publish)  # type: ignore[arg-type]

    def spoken(run: Run) -> None:
        stage.scheduler.remove(run)
        streams.spoken(run)

    def fail(run: Run, error: VoicedError) -> None:
        streams.end(run, JobState.FAILED, error)

    stage.owner.spoken = spoken  # type: ignore[method-assign]
    stage.owner.fail = fail  # type: ignore[method-assign]
    made = make_run(2, output=m.Output.STREAM, lane=m.Lane.INTERACTIVE)[0]
    job_id = made.job.job_id
    planned = Planned(made.job.order, made.plan, made.spec, made.plan.chars)
    request = m.Synthesize(request_id=job_id, credit_bytes=1 << 20)
    streams.begin(planned, told_accepted(job_id, output=m.Output.STREAM), request, b"abcd" * 2, reader)
    return streams, job_id


def test_a_stream_that_was_spoken_is_gone_without_a_collection() -> None:
    async def play(stage: Stage) -> None:
        reader = Reader()
        streams, job_id = begin(stage, reader)
        run = streams.find(job_id)
        assert run is not None
        seen = weakref.ref(run)
        del run
        await turns()
        for _ in range(2):
            await stage.answer()
        assert [type(reply) for reply in (reader.replies[0], reader.replies[-1])] == [m.Accepted, m.Done]
        assert streams.find(job_id) is None
        await turns()
        assert seen() is None

    with no_collector():
        on_stage(play)


def test_a_stream_whose_reader_is_gone_ends_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def play(stage: Stage) -> None:
        reader = Reader()
        told: list[type[m.Event]] = []
        streams, job_id = begin(stage, reader, told)
        await turns()
        reader.mood = Sent.GONE
        await stage.answer()
        assert streams.find(job_id) is None
        assert told == [m.JobWasCancelled]
        assert stage.scheduler.unfinished == 0

    on_stage(play)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_stream_that_cannot_begin_gets_the_reason_alone() -> None:
    async def play(stage: Stage) -> None:
        reader = Reader()
        stage.pool.is_broken = True
        streams, job_id = begin(stage, reader)
        assert streams.find(job_id) is None
        assert [type(reply) for reply in reader.replies] == [m.ErrorReply]
        assert stage.scheduler.unfinished == 0

    on_stage(play)
