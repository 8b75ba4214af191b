"""The pool: starts what is needed, replaces what dies, gives up on what keeps dying. The children are real."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.workers.pool_stage import Stage, on_stage
from tests.daemon.workers.tiny import DEAF, ECHO, tiny_child
from voiced.workers import pool as pool_module
from voiced.workers.engine import BROKEN_DEATHS
from voiced.workers.pool import PoolLimits
from voiced.workers.process import WorkerLost, WorkerProcess
from voiced_ipc.errors import EngineLoadFailed, ShuttingDown, UnknownModel

pytestmark = pytest.mark.process


DIES = "ready()\nfor fields in serve():\n    os._exit(7)"
REFUSES = 'link.send({"type": "refused", "code": "x", "message": "no model file"})'


async def die_of(stage: Stage) -> None:
    worker = await stage.worker()
    with pytest.raises(WorkerLost):
        async for _ in worker.run({"type": "speak"}):
            pass
    await stage.until(lambda: worker not in stage.pool.engines["tone"].workers)


def test_a_worker_is_started_when_it_is_needed_and_once(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        assert stage.pool.free_worker("tone") is None
        assert stage.pool.free_worker("tone") is None
        worker = await stage.worker()
        assert stage.pool.children() == [worker]
        assert stage.kinds() == ["loaded"]
        assert worker.load_s > 0
        assert (tmp_path / "models/tone").is_dir()

    on_stage(tmp_path, ECHO, play)


def test_waiting_for_a_model_gives_its_voices(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        engines = await asyncio.gather(*(stage.pool.loaded("tone") for _ in range(3)))
        assert [engine.voices[0]["voice"] for engine in engines] == ["v"] * 3
        assert len(stage.pool.children()) == 1

    on_stage(tmp_path, ECHO, play)


def test_a_load_waits_for_the_old_worker_that_was_told_to_go(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        old = await stage.worker()
        stage.pool.unload("tone", "a test")
        engine = await stage.pool.loaded("tone")
        assert old not in engine.workers
        assert (await stage.worker()).pid != old.pid

    on_stage(tmp_path, ECHO, play)


def test_an_unknown_model(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        for ask in (stage.pool.free_worker, stage.pool.load, lambda model: stage.pool.use(model, 1.0)):
            with pytest.raises(UnknownModel, match="models --all"):
                ask("gpt")

    on_stage(tmp_path, ECHO, play)


def test_a_crashed_worker_is_replaced(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await die_of(stage)
        stage.program = ECHO
        await stage.worker()
        assert stage.kinds() == ["loaded", "replaced", "loaded"]
        assert stage.events[1].text == "exit code 7"

    on_stage(tmp_path, DIES, play)


def test_a_model_that_dies_five_times_is_broken_for_a_while(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        for _ in range(BROKEN_DEATHS):
            await die_of(stage)
        assert stage.kinds()[-1] == "broken"
        with pytest.raises(EngineLoadFailed, match=r"exit code 7.*tried again in"):
            stage.pool.free_worker("tone")
        with pytest.raises(EngineLoadFailed):
            stage.pool.load("tone")
        stage.program = ECHO
        stage.pool.engines["tone"].broken_until = 0.0
        await stage.worker()

    on_stage(tmp_path, DIES, play)


def test_a_refusal_is_told_and_the_backoff_grows(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        waits = []
        for _ in range(4):
            stage.pool.engines["tone"].broken_until = 0.0
            with pytest.raises(EngineLoadFailed, match="no model file"):
                # It was never ready, so its voices are not known.
                await stage.pool.loaded("tone")
            waits.append(stage.events[-1].text.rpartition(" in ")[2])
        assert waits == ["1 s", "2 s", "4 s", "8 s"]
        assert stage.kinds() == ["broken"] * 4

    on_stage(tmp_path, REFUSES, play)


def test_a_model_that_cannot_even_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(stage: Stage) -> None:
        monkeypatch.setattr(
            pool_module, "spawn_worker", lambda *_, **__: tiny_child("")._replace(command=["/nowhere/at/all"])
        )
        with pytest.raises(EngineLoadFailed, match="cannot be started"):
            await stage.pool.loaded("tone")

    on_stage(tmp_path, ECHO, play)


def test_a_silent_worker_is_killed_while_it_works(tmp_path: Path) -> None:
    hangs = "ready()\nfor fields in serve():\n    time.sleep(60)"

    async def play(stage: Stage) -> None:
        worker = await stage.worker()
        with pytest.raises(WorkerLost, match="no sign of life"):
            async for _ in worker.run({"type": "speak"}):
                pass
        await stage.until(lambda: "replaced" in stage.kinds())

    on_stage(tmp_path, hangs, play, PoolLimits(2, 0.3, 300.0))


def test_a_worker_that_answers_may_take_its_time(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        worker = await stage.worker()
        slot = asyncio.get_running_loop().create_task(anext(worker.run({"type": "speak"})))
        turns = stage.pool.turns
        while stage.pool.turns < turns + 4:
            await asyncio.sleep(0.02)
        assert worker.rss_bytes == 12345
        assert stage.kinds() == ["loaded"]
        slot.cancel()
        await asyncio.gather(slot, return_exceptions=True)

    on_stage(tmp_path, DEAF, play, PoolLimits(2, 0.3, 300.0))


def test_an_idle_model_goes_and_its_end_is_no_fault(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.pool.use("tone", 0.01)
        await stage.worker()
        await stage.until(lambda: "unloaded" in stage.kinds())
        assert (stage.kinds()[-1], stage.events[-1].text) == ("unloaded", "idle for 0 s")
        assert len(stage.pool.engines["tone"].deaths) == 0
        await stage.worker()

    on_stage(tmp_path, ECHO, play)


def test_a_pinned_model_stays(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.pool.use("tone", -1)
        await stage.worker()
        turns = stage.pool.turns
        while stage.pool.turns < turns + 3:
            await asyncio.sleep(0.02)
        assert stage.kinds() == ["loaded"]

    on_stage(tmp_path, ECHO, play, PoolLimits(2, 5.0, 0.0))


def test_a_worker_that_does_not_go_is_killed(tmp_path: Path) -> None:
    stays = "ready()\nwhile True: time.sleep(1)"

    async def play(stage: Stage) -> None:
        worker = await stage.worker()
        assert stage.pool.unload("tone", "somebody asked for it")
        assert stage.pool.free_worker("tone") is None
        await stage.until(lambda: "unloaded" in stage.kinds())
        assert worker._process is not None
        assert worker._process._process.returncode == -9
        assert (stage.kinds()[-1], stage.events[-1].text) == ("unloaded", "somebody asked for it")
        assert not stage.pool.unload("tone", "again")

    on_stage(tmp_path, stays, play)


def test_scribes_two_at_most_one_for_quick_work(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        found: list[WorkerProcess] = []

        def look(*, is_heavy: bool) -> Callable[[], bool]:
            def free() -> bool:
                scribe = stage.pool.scribery.free(is_heavy=is_heavy)
                found.extend([scribe] if scribe else [])
                return scribe is not None

            return free

        await stage.until(look(is_heavy=True))
        found[0].tasks.slots = 1
        task = found[0].tasks.add(lambda: None)
        assert stage.pool.scribery.free(is_heavy=True) is None
        await stage.until(look(is_heavy=False))
        assert found[1] is not found[0]
        found[1].tasks.slots = 1
        found[1].tasks.add(lambda: None)
        assert stage.pool.scribery.free(is_heavy=False) is None
        assert len(stage.pool.children()) == 2
        found[0].tasks.take(task.number, ({"type": "done"}, b""))
        assert stage.pool.scribery.free(is_heavy=False) is found[0]
        assert stage.pool.scribery.free(is_heavy=True) is None

    on_stage(tmp_path, ECHO, play)


def test_stop_ends_everybody_also_who_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_END_S", 0.3)
    pids: list[int] = []

    async def play(stage: Stage) -> None:
        pids.append((await stage.worker()).pid)
        await stage.pool.stop()
        with pytest.raises(ShuttingDown):
            stage.pool.load("tone")
        stage.pool.scribery.load()
        assert stage.pool.children() == []
        assert stage.kinds() == ["loaded", "unloaded"]

    on_stage(tmp_path, "ready()\nwhile True: time.sleep(1)", play)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
