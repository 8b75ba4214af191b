"""A stream: never more than was granted, the end last, a reader who is gone or asleep is let go."""

import asyncio
import heapq
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.jobs.made import Reader, make_job
from tests.told import told_accepted
from voiced.jobs.run import describe_job
from voiced.jobs.sinks import STALL_S, Sent, StreamSink
from voiced_ipc import messages as m
from voiced_ipc.errors import JobCancelled, StreamStalled, VoicedError

RATE = 1000
ACCEPTED = told_accepted("a" * 22, output=m.Output.STREAM)


class Clock:
    """Time and timers in the hands of the test, in place of the loop's and of `time.monotonic`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0

    def monotonic(self) -> float:
        return self.now

    def call_later(
        self, delay_s: float, callback: Callable[..., object], *args: object
    ) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        handle = asyncio.TimerHandle(self.now + delay_s, callback, args, loop)
        self._count += 1
        heapq.heappush(self._due, (handle.when(), self._count, handle))
        return handle

    @property
    def waiting(self) -> int:
        return sum(1 for _, _, handle in self._due if not handle.cancelled())

    def sleep(self, seconds: float) -> None:
        """The whole machine stands: what is due meanwhile runs afterwards."""
        self.now += seconds
        due = [entry for entry in sorted(self._due) if entry[0] <= self.now]
        self._due = [entry for entry in self._due if entry[0] > self.now]
        heapq.heapify(self._due)
        for _, _, handle in due:
            if not handle.cancelled():
                handle._run()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, handle = heapq.heappop(self._due)
            if not handle.cancelled():
                handle._run()
        self.now = end


class Play:
    """A sink, its reader and its clock."""

    def __init__(self, credit_bytes: int) -> None:
        self.clock = Clock()
        self.reader = Reader()
        self.lost: list[VoicedError] = []
        self.overs = 0
        self.reads = 0
        request = m.Synthesize(request_id="a" * 22, credit_bytes=credit_bytes)
        self.sink = StreamSink(self.reader, request, RATE, self.lost.append, self._read, self._over)

    def _read(self) -> None:
        self.reads += 1

    def _over(self) -> None:
        self.overs += 1


def in_play(
    monkeypatch: pytest.MonkeyPatch, play: Callable[[Play], None], credit_bytes: int = 1 << 20
) -> None:
    async def main() -> None:
        made = Play(credit_bytes)
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.get_running_loop(), "call_later", made.clock.call_later)
            patched.setattr("voiced.jobs.sinks.time.monotonic", made.clock.monotonic)
            made.sink.start(ACCEPTED, lambda: describe_job(make_job()))
            play(made)

    asyncio.run(main())


def test_the_acceptance_comes_first_however_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        assert p.reader.replies == [ACCEPTED]
        p.reader.replies.clear()
        p.reader.mood = Sent.FULL
        p.sink.start(ACCEPTED, lambda: describe_job(make_job()))
        p.sink.write(b"ab" * 10)
        p.sink.finish()
        p.clock.advance(STALL_S / 2)
        assert p.reader.replies == []
        p.reader.mood = Sent.YES
        p.clock.advance(1.0)
        kinds = [type(reply) for reply in p.reader.replies]
        assert kinds == [m.Accepted, m.AudioChunk, m.Done]

    in_play(monkeypatch, play)


def test_who_never_takes_the_acceptance_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.reader.mood = Sent.FULL
        p.sink.start(ACCEPTED, lambda: describe_job(make_job()))
        p.clock.advance(STALL_S + 10)
        assert [type(error) for error in p.lost] == [StreamStalled]
        assert p.overs == 1

    in_play(monkeypatch, play)


def is_behind(p: Play) -> bool:
    return p.sink.is_behind


def test_audio_goes_out_in_order_and_the_end_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(b"ab" * 40_000)
        p.sink.write(b"cd")
        p.sink.finish()
        chunks = p.reader.of(m.AudioChunk)
        assert [chunk.sequence for chunk in chunks] == [0, 1, 2]
        assert p.reader.audio == b"ab" * 40_000 + b"cd"
        assert isinstance(p.reader.replies[-1], m.Done)
        assert p.reader.replies[-1].samples == 40_001
        assert p.overs == 1
        p.clock.advance(60)
        assert len(p.reader.replies) == 5
        assert p.clock.waiting == 0

    in_play(monkeypatch, play)


def test_never_more_than_was_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(100))
        assert len(p.reader.audio) == 10
        p.sink.finish()
        assert p.reader.of(m.Done) == []
        p.sink.grant(7)  # half a sample stays behind
        assert len(p.reader.audio) == 16
        p.sink.grant(3)
        assert len(p.reader.audio) == 20
        p.sink.grant(1000)
        assert len(p.reader.audio) == 100
        assert isinstance(p.reader.replies[-1], m.Done)
        assert p.reads == 3

    in_play(monkeypatch, play, credit_bytes=10)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["write", "grant", "full", "yes", "wait"]), st.integers(0, 200)),
        max_size=30,
    )
)
def test_credit_is_kept_whatever_happens(steps: list[tuple[str, int]]) -> None:
    def play(p: Play) -> None:
        granted, written = 50, b""
        for step, number in steps:
            if step == "write":
                written += (piece := bytes([number]) * (2 * number))
                p.sink.write(piece)
            elif step == "grant":
                granted += number
                p.sink.grant(number)
            elif step == "wait":
                p.clock.advance(number / 100)
            else:
                p.reader.mood = Sent.FULL if step == "full" else Sent.YES
            assert len(p.reader.audio) <= granted
            assert written.startswith(p.reader.audio)
        if not p.lost:
            p.reader.mood = Sent.YES
            p.sink.finish()
            p.sink.grant(len(written) + 2)
            p.clock.advance(1.0)
            assert p.reader.audio == written
            assert isinstance(p.reader.replies[-1], m.Done)

    with pytest.MonkeyPatch.context() as monkeypatch:
        in_play(monkeypatch, play, credit_bytes=50)


def test_a_reader_without_credit_is_let_go_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(100))
        p.clock.advance(STALL_S - 1)
        assert p.lost == []
        p.sink.grant(10)  # a sign of life counts
        p.clock.advance(STALL_S - 1)
        assert p.lost == []
        p.clock.advance(3)
        assert [type(error) for error in p.lost] == [StreamStalled]
        assert isinstance(p.reader.replies[-1], m.ErrorReply)
        assert p.reader.replies[-1].code == "stream-stalled"
        assert p.overs == 1
        assert p.clock.waiting == 0

    in_play(monkeypatch, play, credit_bytes=10)


def test_a_reader_who_slept_with_the_machine_is_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(100))
        p.clock.advance(STALL_S / 2)
        p.clock.sleep(100 * STALL_S)
        p.clock.advance(STALL_S / 2 - 1)
        assert p.lost == []
        p.sink.grant(10)  # what it granted before is only read now
        assert len(p.reader.audio) == 20
        p.clock.advance(STALL_S + 1)
        assert [type(error) for error in p.lost] == [StreamStalled]

    in_play(monkeypatch, play, credit_bytes=10)


def test_a_slow_engine_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(10))
        p.clock.advance(10 * STALL_S)
        assert p.lost == []
        assert len(p.reader.of(m.Progress)) == pytest.approx(10 * STALL_S / 0.25, abs=2)

    in_play(monkeypatch, play, credit_bytes=10)


def test_a_full_peer_is_tried_again_by_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.reader.mood = Sent.FULL
        for _ in range(50):
            p.sink.write(b"ab")
        assert p.clock.waiting == 2  # the progress, and the next attempt
        p.reader.mood = Sent.YES
        p.clock.advance(0.1)
        assert p.reader.audio == b"ab" * 50
        assert p.lost == []

    in_play(monkeypatch, play)


def test_a_peer_that_grants_and_never_reads_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.reader.mood = Sent.FULL
        p.sink.write(bytes(100))
        p.clock.advance(STALL_S + 1)
        assert [type(error) for error in p.lost] == [StreamStalled]

    in_play(monkeypatch, play)


def test_a_peer_that_reads_all_but_the_end_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(100))
        p.reader.mood = Sent.FULL
        p.sink.finish()
        p.clock.advance(STALL_S + 1)
        assert p.overs == 1

    in_play(monkeypatch, play)


@pytest.mark.parametrize("when", ["audio", "progress"])
def test_a_peer_that_is_gone_ends_the_stream(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    def play(p: Play) -> None:
        p.reader.mood = Sent.GONE
        if when == "audio":
            p.sink.write(bytes(10))
        else:
            p.clock.advance(0.5)
        assert len(p.lost) == 1
        assert p.overs == 1
        p.sink.finish()
        p.sink.grant(10)
        assert p.overs == 1
        assert p.reader.replies == [ACCEPTED]

    in_play(monkeypatch, play)


def test_a_failure_is_told_once_and_ends_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(100))
        p.sink.fail(JobCancelled("somebody asked"))
        p.sink.fail(JobCancelled("again"))
        p.sink.finish()
        errors = p.reader.of(m.ErrorReply)
        assert [(error.code, error.message) for error in errors] == [("job-cancelled", "somebody asked")]
        assert p.reader.of(m.Done) == []
        assert p.overs == 1
        assert p.lost == []

    in_play(monkeypatch, play, credit_bytes=10)


def test_it_is_behind_when_half_a_minute_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def play(p: Play) -> None:
        p.sink.write(bytes(30 * RATE * 2))
        assert not is_behind(p)
        p.sink.write(bytes(2))
        assert is_behind(p)
        p.sink.grant(2)
        assert not is_behind(p)

    in_play(monkeypatch, play, credit_bytes=0)
