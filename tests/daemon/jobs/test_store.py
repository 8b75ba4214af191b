"""The store: what is awaited is on disk, what fails fails alone."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.daemon.jobs.made import make_job
from voiced.jobs import database
from voiced.jobs.job import Progress, stamp
from voiced.jobs.schema import open_database
from voiced.jobs.store import Store
from voiced_ipc.errors import InvalidRequest, StorageFailed
from voiced_ipc.messages import JobState


def with_store(path: Path, play: Callable[[Store], Awaitable[None]]) -> None:
    async def main() -> None:
        store = Store(open_database(path / "jobs.sqlite")[0])
        store.start(asyncio.get_running_loop())
        try:
            await play(store)
        finally:
            await asyncio.to_thread(store.close)

    asyncio.run(main())


class Gate:
    """Holds the store's thread, so that what comes meanwhile is one group."""

    def __init__(self, store: Store) -> None:
        self._open = threading.Event()
        self._is_reached = threading.Event()
        self._held = store.do(self._hold)

    def _hold(self, connection: sqlite3.Connection) -> None:
        self._is_reached.set()
        assert self._open.wait(10.0)

    async def reached(self) -> None:
        await asyncio.to_thread(self._is_reached.wait, 10.0)

    async def lift(self) -> None:
        self._open.set()
        await self._held


def test_a_look_beside_the_thread_waits_for_nobody_and_sees_what_is_committed(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        here, coming = make_job(), make_job()
        await store.insert(here)
        gate = Gate(store)
        await gate.reached()
        waiting = store.insert(coming)
        assert store.may_know(here.job_id)
        assert not store.may_know(coming.job_id)
        await gate.lift()
        await waiting
        assert store.may_know(coming.job_id)

    with_store(tmp_path, play)


def test_what_cannot_be_looked_up_at_once_may_be_known(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite", isolation_level=None)) as other:
            other.execute("ALTER TABLE jobs RENAME TO gone")
            assert store.may_know("a" * 22)
            other.execute("ALTER TABLE gone RENAME TO jobs")
        assert not store.may_know("a" * 22)

    with_store(tmp_path, play)


def test_what_waits_goes_into_one_commit(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        gate = Gate(store)
        await gate.reached()
        jobs = [make_job() for _ in range(50)]
        waiting = [store.insert(job) for job in jobs]
        await gate.lift()
        before = store.turns
        done = await asyncio.gather(*waiting)
        assert [job.number for job in done] == list(range(1, 51))
        assert store.turns <= before + 1

    with_store(tmp_path, play)


def test_an_item_that_fails_is_undone_alone(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        gate = Gate(store)
        await gate.reached()
        good, bad = make_job(), make_job()

        def half(connection: sqlite3.Connection) -> None:
            database.insert_job(connection, bad)
            raise OSError(28, "No space left on device")

        waiting: list[Awaitable[object]] = [store.insert(good), store.do(half), store.keep("key", "value")]
        await gate.lift()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(results[1], StorageFailed)
        assert "No space left" in results[1].message
        assert isinstance(results[1].__cause__, OSError)
        assert not isinstance(results[0], BaseException)
        assert not isinstance(results[2], BaseException)
        assert await store.find(good.job_id) is not None
        assert await store.find(bad.job_id) is None

    with_store(tmp_path, play)


def test_a_fault_of_one_item_is_told_to_everybody_and_the_thread_lives(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        gate = Gate(store)
        await gate.reached()
        job = make_job()
        waiting: list[Awaitable[object]] = [store.insert(job), store.do(lambda connection: 1 / 0)]
        await gate.lift()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [StorageFailed, StorageFailed]
        assert await store.find(job.job_id) is None
        assert (await store.insert(job)).number == 1

    with_store(tmp_path, play)


def test_an_error_of_ours_keeps_its_class_and_harms_nobody_else(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        def refuse(connection: sqlite3.Connection) -> None:
            raise InvalidRequest("no")

        gate = Gate(store)
        await gate.reached()
        job = make_job()
        refused, accepted = store.do(refuse), store.insert(job)
        await gate.lift()
        with pytest.raises(InvalidRequest):
            await refused
        assert (await accepted).job_id == job.job_id

    with_store(tmp_path, play)


def test_the_same_id_gives_the_same_job(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        job = make_job(name="first.txt")
        first = await store.insert(job)
        again = await store.insert(make_job(job_id=job.job_id, name="second.txt"))
        assert again == first
        assert again.order.name == "first.txt"

    with_store(tmp_path, play)


def test_a_job_that_is_withdrawn_was_never_there(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        kept, first = await store.insert(make_job()), await store.insert(make_job())
        late = store.update(first)
        await store.withdraw(first.job_id)
        await late
        await store.update(first)  # what comes too late brings nothing back
        assert await store.find(first.job_id) is None
        assert await store.find(kept.job_id) == kept
        again = await store.insert(first)
        assert again.number > first.number

    with_store(tmp_path, play)


def test_progress_counts_only_when_its_audio_is_on_disk(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        job = await store.insert(make_job())
        seen = []
        moved = job.moved(JobState.RUNNING, segments_done=1)
        await store.update(moved, lambda: seen.append(threading.current_thread().name))
        assert seen == ["store"]

        def refuse() -> None:
            raise OSError("the disk is full")

        with pytest.raises(StorageFailed):
            await store.update(job.moved(JobState.RUNNING, segments_done=2), refuse)
        known = await store.find(job.job_id)
        assert known is not None
        assert known.progress == Progress(segments_done=1)

    with_store(tmp_path, play)


def test_an_effect_raises_what_the_disk_said(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        assert await store.effect(lambda: 7) == 7
        with pytest.raises(FileNotFoundError):
            await store.effect(lambda: (tmp_path / "nothing").read_bytes())

    with_store(tmp_path, play)


def test_pages_newest_first(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        jobs = [await store.insert(make_job(JobState.DONE if n % 2 else JobState.QUEUED)) for n in range(7)]
        ids = [job.job_id for job in reversed(jobs)]
        first = await store.page([], None, 3)
        assert [job.job_id for job in first] == ids[:3]
        second = await store.page([], first[-1].number, 3)
        assert [job.job_id for job in second] == ids[3:6]
        done = await store.page([JobState.DONE], None, 9)
        assert [job.job_id for job in done] == ids[1::2]
        assert await store.page([JobState.FAILED, JobState.CANCELLED], None, 9) == []

    with_store(tmp_path, play)


def test_a_row_that_cannot_be_read_stays_out_of_a_page(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        jobs = [await store.insert(make_job()) for _ in range(4)]
        broken = (jobs[2].job_id,)
        await store.do(
            lambda c: c.execute("UPDATE jobs SET job_order = '{' WHERE job_id = ?", broken).rowcount
        )
        page = await store.page([], None, 3)
        assert [job.number for job in page] == [jobs[i].number for i in (3, 1, 0)]

    with_store(tmp_path, play)


def test_history_is_forgotten_work_is_not(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        for state in (JobState.QUEUED, JobState.DONE, JobState.FAILED, JobState.PAUSED):
            await store.insert(make_job(state)._replace(updated="2020-01-01T00:00:00.000+00:00"))
        await store.insert(make_job(JobState.DONE))
        assert await store.forget("2021-01-01T00:00:00.000+00:00", stamp()) == 2
        assert len(await store.page([], None, 9)) == 3

    with_store(tmp_path, play)


def test_what_ended_under_a_wrong_clock_is_no_older_than_what_came_before_it(tmp_path: Path) -> None:
    years = (2019, 2036, 2018, 2022, 1970, 2036, 2023)

    async def play(store: Store) -> None:
        for year in years:
            done = make_job(JobState.DONE)
            await store.insert(done._replace(updated=f"{year}-01-01T00:00:00.000+00:00"))
        assert await store.forget("2021-01-01T00:00:00.000+00:00", "2023-02-01T00:00:00.000+00:00") == 2
        left = [int(job.updated[:4]) for job in await store.page([], None, 9)]
        assert left == [2023, 2036, 1970, 2022, 2036]

    with_store(tmp_path, play)


def test_what_is_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    ids: dict[JobState, str] = {}

    async def play(store: Store) -> None:
        await store.keep("paused", "1")
        await store.keep("paused", "2")
        for state in JobState:
            ids[state] = (await store.insert(make_job(state))).job_id

    with_store(tmp_path, play)
    again = Store(open_database(tmp_path / "jobs.sqlite")[0])
    assert again.setting("paused") == "2"
    assert again.setting("other") is None
    unfinished = [state for state in JobState if not state.is_final]
    assert [job.job_id for job in again.unfinished()] == [ids[state] for state in unfinished]
    kept = {ids[state] for state in JobState if state not in (JobState.DONE, JobState.CANCELLED)}
    assert again.ids_with_spool() == kept
    again.close()


def test_close_finishes_what_waits_and_then_refuses(tmp_path: Path) -> None:
    async def play(store: Store) -> None:
        job = make_job()
        waiting = store.insert(job)
        await asyncio.to_thread(store.close)
        assert (await waiting).job_id == job.job_id
        with pytest.raises(StorageFailed):
            store.find(job.job_id)

    with_store(tmp_path, play)
