"""Small plans, jobs and runs for tests."""

from typing import Any

from voiced.jobs.assembly import Pauses
from voiced.jobs.job import Job, Order, Progress, Speech, stamp
from voiced.jobs.run import Run
from voiced.jobs.sinks import Sent
from voiced.jobs.spool import MemoryText
from voiced.models.catalogue import CATALOGUE
from voiced.segments import Break, Plan, Segment
from voiced.timeline import Span
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError
from voiced_ipc.messages import JobState, Lane, Output, Subtitles, new_id

PAUSES = Pauses(10, 20, 30, 40)


def make_plan(count: int, after: Break = Break.SENTENCE, chars: int = 4) -> Plan:
    """A plan of `count` segments of four letters."""
    segments = tuple(
        Segment(i * chars, (i + 1) * chars, i * chars, (i + 1) * chars, "en", after) for i in range(count)
    )
    return Plan(count * chars, "en", segments)


def make_order(**fields: Any) -> Order:
    """An order with something in every field."""
    usual = Order(
        job_id=new_id(),
        digest="d",
        lane=Lane.NORMAL,
        output=Output.FILE,
        name="book.txt",
        speech=Speech("tone"),
        format="wav",
        sample_rate_hz=0,
        subtitles=Subtitles.NONE,
        created=stamp(),
        chars=4,
        language="en",
        segments=1,
    )
    return usual._replace(**fields)


def make_job(state: JobState = JobState.QUEUED, number: int = 1, **fields: Any) -> Job:
    """A job, nothing of it spoken."""
    return Job(make_order(**fields), state, Progress(), stamp(), number)


class ListSink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.marks: list[Progress] = []
        self.spans: list[tuple[int, Span, bytes]] = []
        self.last: list[bool] = []
        self.is_behind = False
        self.is_closed = False

    def write(self, pcm: bytes) -> None:
        self.pcm += pcm

    def place(self, segment: int, span: Span, heard: bytes) -> None:
        self.spans.append((segment, span, heard))

    def mark(self, progress: Progress, *, is_last: bool) -> None:
        self.marks.append(progress)
        self.last.append(is_last)

    def finish(self) -> None:
        pass

    def fail(self, error: VoicedError) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


class Reader:
    """A peer whose mood the test sets."""

    def __init__(self) -> None:
        self.mood = Sent.YES
        self.replies: list[m.Reply] = []
        self.audio = b""

    def send(self, reply: m.Reply, payload: bytes | memoryview | None = None) -> Sent:
        if self.mood is Sent.YES:
            self.replies.append(reply)
            self.audio += bytes(payload or b"")
        return self.mood

    def of(self, kind: type[m.Reply]) -> list[Any]:
        return [reply for reply in self.replies if isinstance(reply, kind)]


def make_run(
    count: int,
    model: str = "tone",
    *,
    number: int = 1,
    done: int = 0,
    after: Break = Break.SENTENCE,
    **order: Any,
) -> tuple[Run, ListSink]:
    """A run of `count` segments and where its audio goes."""
    job = make_job(number=number, speech=Speech(model), segments=count, **order)
    job = job._replace(progress=Progress(segments_done=done))
    plan = make_plan(count, after)
    spec = CATALOGUE[model]._replace(sample_rate_hz=1000)  # of the workers that the tests play
    run = Run(job, plan, MemoryText(b"abcd" * count), spec, PAUSES)
    sink = ListSink()
    run.sink = sink
    return run, sink
