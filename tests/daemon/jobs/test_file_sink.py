"""Audio in groups: each with its ledger, none counted that is not on disk."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.daemon.jobs.made import make_job
from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.jobs.job import Job, Progress
from voiced.jobs.schema import open_database
from voiced.jobs.sinks import GROUP_BYTES, GROUP_S, FileSink
from voiced.jobs.spool import PartFile
from voiced.jobs.store import Store
from voiced.timeline import Span, TimelineFile, read_timeline, read_words
from voiced_ipc.errors import StorageFailed, VoicedError


class Desk:
    """A sink with a real store and a real file, and a clock of the test's."""

    def __init__(self, store: Store, path: Path, job: Job, clock: list[float]) -> None:
        self.store = store
        self.job = job
        self.clock = clock
        self.path = path
        self.part = PartFile(path, job.progress.data_bytes)
        self.written = asyncio.Event()
        self.failed: list[VoicedError] = []
        self.rooms = 0
        self.timeline = TimelineFile(path.parent, job.progress.segments_done, has_words=True)
        self.sink = FileSink(
            self.part,
            self.timeline,
            store,
            lambda: self.job,
            self.written.set,
            self.failed.append,
            self._room,
        )

    def _room(self) -> None:
        self.rooms += 1

    def mark(self, segments: int, data_bytes: int, *, is_last: bool = False) -> None:
        self.sink.mark(Progress(segments_done=segments, data_bytes=data_bytes), is_last=is_last)

    async def known(self) -> tuple[int, int]:
        """Segments and bytes as the ledger has them."""
        job = await self.store.find(self.job.job_id)
        assert job is not None
        return job.progress.segments_done, job.progress.data_bytes

    @property
    def sound(self) -> bytes:
        return self.path.read_bytes()[WAV_HEADER_BYTES:]


def is_behind(desk: Desk) -> bool:
    return desk.sink.is_behind


def at_desk(tmp_path: Path, play: Callable[[Desk], Awaitable[None]]) -> None:
    faults: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: faults.append(context))
        store = Store(open_database(tmp_path / "jobs.sqlite")[0])
        store.start(loop)
        desk: Desk | None = None
        clock = [100.0]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("voiced.jobs.sinks.time.monotonic", lambda: clock[0])
            try:
                desk = Desk(store, tmp_path / "job.part", await store.insert(make_job()), clock)
                await play(desk)
            finally:
                await asyncio.to_thread(store.close)
                if desk is not None:
                    desk.part.close()
                    desk.timeline.close()

    asyncio.run(main())
    assert faults == []


def test_small_groups_wait_for_a_second_of_work(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(b"ab")
        desk.mark(1, 2)
        assert await desk.known() == (0, 0)
        desk.clock[0] += GROUP_S
        desk.sink.write(b"cd")
        desk.mark(2, 4)
        assert await desk.known() == (2, 4)
        assert desk.sound == b"abcd"

    at_desk(tmp_path, play)


def test_the_places_of_segments_are_written_with_their_audio(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.place(0, Span(0, 1), b"")
        desk.mark(1, 2)
        assert read_timeline(tmp_path) == []
        desk.clock[0] += GROUP_S
        desk.sink.place(1, Span(3, 4), b"12345678")
        desk.sink.place(2, Span(5, 9), b"abcdefgh")  # beyond the mark: cut off when the job is taken up again
        desk.mark(2, 4)
        assert await desk.known() == (2, 4)
        assert read_timeline(tmp_path) == [Span(0, 1), Span(3, 4), Span(5, 9)]
        assert read_words(tmp_path) == {1: b"12345678", 2: b"abcdefgh"}
        desk.sink.place(3, Span(9, 10), b"")
        desk.mark(4, 20, is_last=True)
        await asyncio.wait_for(desk.written.wait(), 10.0)
        assert read_timeline(tmp_path)[3:] == [Span(9, 10)]

    at_desk(tmp_path, play)


def test_a_large_group_is_written_at_once(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(bytes(GROUP_BYTES))
        assert await desk.known() == (0, 0)
        desk.mark(1, GROUP_BYTES)
        assert await desk.known() == (1, GROUP_BYTES)
        await asyncio.sleep(0)
        assert desk.rooms == 1

    at_desk(tmp_path, play)


def test_the_last_group_is_written_and_told(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(b"abcd")
        desk.mark(2, 4, is_last=True)
        desk.sink.finish()
        await asyncio.wait_for(desk.written.wait(), 10.0)
        assert await desk.known() == (2, 4)
        assert desk.sound == b"abcd"

    at_desk(tmp_path, play)


def test_audio_beyond_the_mark_is_written_but_does_not_count(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(b"abcdXX")
        desk.clock[0] += GROUP_S
        desk.mark(1, 4)
        assert await desk.known() == (1, 4)
        desk.sink.write(b"YY")
        desk.mark(2, 8, is_last=True)
        await asyncio.wait_for(desk.written.wait(), 10.0)
        assert desk.sound == b"abcdXXYY"

    at_desk(tmp_path, play)


def test_closing_writes_what_was_marked(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(b"ab")
        desk.mark(1, 2)
        desk.sink.close()
        assert await desk.known() == (1, 2)
        assert desk.sound == b"ab"
        assert not desk.written.is_set()

    at_desk(tmp_path, play)


def test_a_refusing_disk_is_told_once(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.part.close()
        for segments in (1, 2, 3):
            desk.sink.write(bytes(GROUP_BYTES))
            desk.mark(segments, segments * GROUP_BYTES)
        assert await desk.known() == (0, 0)
        await asyncio.sleep(0)
        assert [type(error) for error in desk.failed] == [StorageFailed]
        desk.sink.close()
        assert await desk.known() == (0, 0)

    at_desk(tmp_path, play)


def test_a_group_behind_a_lost_one_does_not_count(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        loop = asyncio.get_running_loop()
        held = loop.create_future()
        descriptor, desk.part._descriptor = desk.part._descriptor, -1

        def mend(_connection: object) -> None:
            desk.part._descriptor = descriptor
            loop.call_soon_threadsafe(held.set_result, None)

        desk.sink.write(bytes(GROUP_BYTES))
        desk.mark(1, GROUP_BYTES)
        await_mend = desk.store.do(mend)
        desk.sink.write(bytes(GROUP_BYTES))
        desk.mark(2, 2 * GROUP_BYTES)
        await await_mend
        await held
        assert await desk.known() == (0, 0)
        assert len(desk.failed) == 1

    at_desk(tmp_path, play)


def test_it_is_behind_when_the_disk_does_not_keep_up(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(bytes(16 << 20))
        assert not is_behind(desk)
        desk.sink.write(b"ab")
        assert is_behind(desk)
        desk.mark(1, (16 << 20) + 2)
        await desk.known()
        await asyncio.sleep(0)
        assert not is_behind(desk)

    at_desk(tmp_path, play)


def test_it_goes_on_where_the_ledger_ends(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.sink.write(b"abcd")
        desk.mark(1, 4)
        desk.sink.close()
        await desk.known()
        job = desk.job._replace(progress=Progress(segments_done=1, data_bytes=4))
        again = Desk(desk.store, desk.path, job, desk.clock)
        again.sink.write(b"ef")
        again.mark(2, 6, is_last=True)
        await asyncio.wait_for(again.written.wait(), 10.0)
        assert again.sound == b"abcdef"
        again.part.close()

    at_desk(tmp_path, play)
