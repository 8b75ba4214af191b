"""Models that go to another device, make room, and grow. The children are real, the devices are names."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.workers.pool_stage import Stage, on_stage
from tests.daemon.workers.tiny import ECHO, tiny_child
from voiced.models.memory import GIB, Room
from voiced.models.spec import ModelSpec
from voiced.workers import pool as pool_module
from voiced.workers.engine import Engine
from voiced.workers.ground import Ground, Placing
from voiced.workers.growth import LEARNT_TASKS
from voiced.workers.process import WorkerDismissed, WorkerProcess
from voiced.workers.spawn import RunAs
from voiced_ipc.errors import DeviceOutOfMemory

pytestmark = pytest.mark.process


TESTED = """
ready()
for fields in serve():
    link.send({"type": "done", "task": fields["task"]})
"""
UNFIT = """
ready()
for fields in serve():
    if fields["type"] == "test":
        link.send({"type": "failed", "task": fields["task"], "code": "synthesis-failed", "message": "only noise"})
    else:
        link.send({"type": "done", "task": fields["task"]})
"""
SLOW = """
ready()
for fields in serve():
    pass
"""
OUT_OF_MEMORY = (
    'link.send({"type": "refused", "code": "device-out-of-memory", "message": "no memory for the weights"})'
)

UNKNOWN = Room()


class Machine:
    """A machine with one GPU that has so much room."""

    def __init__(
        self, stage: Stage, *, gpu: Room = UNKNOWN, cpu: Room = UNKNOWN, usual: str = "cuda:0"
    ) -> None:
        self.rooms = {"cuda:0": gpu, "cpu": cpu}
        self.usual = usual
        self.placed: list[str] = []
        stage.pool.ground = Ground(self.place, lambda device: self.rooms[device])

    async def place(self, spec: ModelSpec, asked: str) -> Placing:
        device = asked or self.usual
        self.placed.append(device)
        return Placing(RunAs(device=device, precision="fp32"))


def model(stage: Stage, name: str, size_gib: float = 0.0) -> Engine:
    """A model with a GPU path and a need."""
    spec = stage.pool.engines["tone"].spec._replace(
        model=name, has_gpu_path=True, weights_bytes=int(size_gib * GIB)
    )
    return stage.pool.engines.setdefault(name, Engine(spec))


async def ready(stage: Stage, name: str = "tone", device: str = "") -> WorkerProcess:
    found: list[WorkerProcess] = []

    def look() -> bool:
        worker = stage.pool.free_worker(name, device)
        found.extend([worker] if worker else [])
        return bool(found)

    await stage.until(look)
    return found[0]


async def soon(look: Callable[[], object]) -> None:
    """Wait for what nobody tells."""
    async with asyncio.timeout(10.0):
        while not look():
            await asyncio.sleep(0.01)


async def gone(stage: Stage, worker: WorkerProcess, name: str = "tone") -> None:
    await stage.until(lambda: worker not in stage.pool.engines[name].workers)


def with_gpu_path(stage: Stage) -> Engine:
    engine = stage.pool.engines["tone"]
    engine.spec = engine.spec._replace(has_gpu_path=True)
    return engine


class TestHandOver:
    def test_the_old_one_serves_until_the_new_one_has_passed_its_test(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage)
            engine = with_gpu_path(stage)
            old = await ready(stage)
            assert old.device == "cuda:0"
            stage.pool.move("tone", "cpu", "GPU at 92 %")
            stage.pool.move("tone", "cpu", "said twice")
            assert stage.pool.free_worker("tone") is old
            await stage.until(lambda: "switched" in stage.kinds())
            new = await ready(stage)
            assert (new.device, engine.main) == ("cpu", new)
            await gone(stage, old)
            assert stage.kinds() == ["loaded", "loaded", "switched", "unloaded"]
            switched = stage.events[2]
            assert (switched.old_device, switched.run.device, switched.text) == (
                "cuda:0",
                "cpu",
                "GPU at 92 %",
            )

        on_stage(tmp_path, TESTED, play)

    def test_a_task_of_the_old_one_ends_there(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage)
            with_gpu_path(stage)
            old = await ready(stage)
            task = asyncio.create_task(anext(old.run({"type": "speak"})))
            stage.program = TESTED
            stage.pool.move("tone", "cpu", "load")
            await stage.until(lambda: "switched" in stage.kinds())
            assert old.is_retiring
            assert not old.is_dismissed
            assert not task.done()
            assert (await ready(stage)).device == "cpu"
            old.kill("for the test")
            await asyncio.gather(task, return_exceptions=True)

        on_stage(tmp_path, SLOW, play)

    @pytest.mark.parametrize(
        ("program", "said"), [(UNFIT, "only noise"), ("", "exit code 0"), (OUT_OF_MEMORY, "no memory")]
    )
    def test_a_new_one_that_fails_goes_and_the_old_one_stays(
        self, tmp_path: Path, program: str, said: str
    ) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage)
            engine = with_gpu_path(stage)
            old = await ready(stage)
            stage.program = program
            stage.pool.move("tone", "cpu", "load")
            await stage.until(lambda: not engine.is_moving and engine.workers == [old])
            assert "switched" not in stage.kinds()
            assert stage.pool.free_worker("tone") is old
            assert said in stage.events[-1].text

        on_stage(tmp_path, TESTED, play)

    def test_a_person_waits_for_nobody(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            machine = Machine(stage)
            with_gpu_path(stage)
            old = await ready(stage)
            task = asyncio.create_task(anext(old.run({"type": "speak"})))
            await asyncio.sleep(0)
            machine.usual = "cpu"
            stage.pool.move_now("tone", "cpu", "locked to cpu")
            with pytest.raises(WorkerDismissed, match="locked to cpu"):
                await task
            assert (await ready(stage)).device == "cpu"
            assert not any(kind in stage.kinds() for kind in ("replaced", "broken"))

        on_stage(tmp_path, SLOW, play)

    def test_one_that_does_not_go_is_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pool_module, "_INSIST_S", 0.05)

        async def play(stage: Stage) -> None:
            Machine(stage)
            with_gpu_path(stage)
            old = await ready(stage)
            stage.pool.move_now("tone", "cpu", "locked to cpu")
            await gone(stage, old)

        on_stage(tmp_path, "ready()\nwhile True: time.sleep(1)", play)


class TestOneRequest:
    def test_its_device_is_beside_the_usual_one(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage)
            engine = with_gpu_path(stage)
            usual = await ready(stage)
            aside = await ready(stage, device="cpu")
            assert (usual.device, aside.device) == ("cuda:0", "cpu")
            assert engine.main is usual
            assert stage.pool.free_worker("tone") is usual
            assert stage.pool.free_worker("tone", "cuda") is usual

        on_stage(tmp_path, ECHO, play)

    def test_an_engine_without_a_gpu_path_has_one_place(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            worker = await ready(stage)
            assert stage.pool.free_worker("tone", "cuda:0") is worker

        on_stage(tmp_path, ECHO, play)


class TestRoom:
    def test_idle_models_make_room(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            machine = Machine(stage, gpu=Room(9 * GIB, 10 * GIB))
            first, second = model(stage, "first", 4), model(stage, "second", 8)
            await ready(stage, "first")
            machine.rooms["cuda:0"] = Room(5 * GIB, 10 * GIB)
            stage.pool.load("second")
            await stage.until(lambda: not first.workers)
            assert stage.events[-1].text == "second needs the memory"
            machine.rooms["cuda:0"] = Room(9 * GIB, 10 * GIB)
            await ready(stage, "second")
            assert second.main is not None

        on_stage(tmp_path, ECHO, play)

    def test_it_waits_for_a_busy_one(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            machine = Machine(stage, gpu=Room(9 * GIB, 10 * GIB))
            model(stage, "busy", 4)
            waits = model(stage, "waits", 8)
            busy = await ready(stage, "busy")
            task = busy.tasks.add(lambda: None)
            machine.rooms["cuda:0"] = Room(5 * GIB, 10 * GIB)
            stage.pool.load("waits")
            await soon(lambda: waits.waits_for)
            assert busy.state.value == "ready"
            busy.tasks.take(task.number, ({"type": "done"}, b""))
            machine.rooms["cuda:0"] = Room(9 * GIB, 10 * GIB)
            await ready(stage, "waits")
            assert not waits.waits_for

        on_stage(tmp_path, ECHO, play)

    def test_what_a_gpu_has_no_room_for_goes_to_the_cpu_and_says_why(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage, gpu=Room(9 * GIB, 10 * GIB), cpu=Room(60 * GIB, 64 * GIB))
            great = model(stage, "great", 20)
            assert (await ready(stage, "great")).device == "cpu"
            assert "needs 20.0 GiB of memory on cuda:0" in great.notes[-1]

        on_stage(tmp_path, ECHO, play)

    def test_what_fits_nowhere_is_refused_and_nothing_is_started(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage, cpu=Room(3 * GIB, 4 * GIB), usual="cpu")
            model(stage, "great", 20)
            with pytest.raises(DeviceOutOfMemory, match=r"needs 20\.0 GiB.*take a smaller model"):
                await stage.pool.loaded("great")
            assert stage.pool.children() == []

        on_stage(tmp_path, ECHO, play)

    def test_two_loads_at_once_do_not_count_the_same_room(self, tmp_path: Path) -> None:
        loads_for_ever = "for fields in serve():\n    pass"

        async def play(stage: Stage) -> None:
            Machine(stage, gpu=Room(9 * GIB, 10 * GIB))
            first, second = model(stage, "first", 6), model(stage, "second", 6)
            stage.program = loads_for_ever
            stage.pool.load("first")
            await soon(lambda: first.workers[0].pid)
            stage.pool.load("second")
            await soon(lambda: second.waits_for)
            assert not second.workers[0].pid

        on_stage(tmp_path, ECHO, play)


class TestOutOfMemory:
    def test_first_idle_models_go_then_the_model_goes_to_the_cpu(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage)
            idle, engine = model(stage, "idle"), model(stage, "wanted")
            await ready(stage, "idle")
            worker = await ready(stage, "wanted")
            said = stage.pool.relieve("wanted", worker)
            assert said == "idle was unloaded; smaller pieces are spoken"
            assert engine.max_chars == engine.spec.max_segment_chars // 2
            await stage.until(lambda: not idle.workers)
            assert "CPU" in stage.pool.relieve("wanted", worker)
            await gone(stage, worker, "wanted")
            assert (await ready(stage, "wanted")).device == "cpu"

        on_stage(tmp_path, ECHO, play)

    def test_on_the_cpu_there_is_nothing_more_to_do(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            Machine(stage, usual="cpu")
            worker = await ready(stage)
            assert stage.pool.relieve("tone", worker)
            assert not stage.pool.relieve("tone", worker)

        on_stage(tmp_path, ECHO, play)

    def test_a_load_without_memory_ends_on_the_cpu(self, tmp_path: Path) -> None:
        async def play(stage: Stage) -> None:
            machine = Machine(stage)
            with_gpu_path(stage)
            asked = asyncio.create_task(ready(stage))
            await stage.until(lambda: machine.placed == ["cuda:0", "cuda:0", "cpu"])
            stage.program = ECHO
            stage.pool.engines["tone"].broken_until = 0.0
            assert (await asked).device == "cpu"

        on_stage(tmp_path, OUT_OF_MEMORY, play)


class TestGrowth:
    def test_a_worker_that_grows_is_replaced_between_two_tasks(self, tmp_path: Path) -> None:
        grows = """
            rss = 100
            ready()
            while (frame := link.receive()) is not None:
                if frame[0]["type"] == "ping":
                    link.send({"type": "pong", "n": 0, "rss_bytes": rss << 20})
                elif frame[0]["type"] == "end":
                    os._exit(0)
                elif frame[0]["type"] == "speak":
                    rss += frame[0]["more"]
                    link.send({"type": "done", "task": frame[0]["task"]})
        """

        async def play(stage: Stage) -> None:
            worker = await stage.worker()
            for _ in range(LEARNT_TASKS + 1):
                tasks = worker.growth.tasks
                async for _ in worker.run({"type": "speak", "more": 0}):
                    pass
                while worker.growth.tasks == tasks:
                    await asyncio.sleep(0.005)
            for _ in range(2):  # its size is told after the first, it goes after the second
                async for _ in worker.run({"type": "speak", "more": 400}):
                    pass
                while worker.growth.last_bytes < 500 << 20:
                    await asyncio.sleep(0.005)
            await gone(stage, worker)
            assert stage.kinds() == ["loaded", "replaced"]
            assert "grew from 100 to" in stage.events[-1].text
            assert await stage.worker() is not worker

        on_stage(tmp_path, grows, play)


def test_a_refusal_keeps_its_class(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.pool.load("tone")
        worker = stage.pool.engines["tone"].workers[0]
        await gone(stage, worker)
        assert isinstance(worker.refusal, DeviceOutOfMemory)

    on_stage(tmp_path, OUT_OF_MEMORY, play)


def test_a_model_has_the_same_threads_alone_and_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> None:
        shares: list[int] = []

        def spawn(spec: ModelSpec, run: RunAs, files: object) -> object:
            shares.append(run.threads)
            return tiny_child(ECHO)

        monkeypatch.setattr(pool_module, "spawn_worker", spawn)
        Machine(stage, usual="cpu")
        for name in ("first", "second"):
            model(stage, name)
            await ready(stage, name)
        assert shares == [2, 2]

    on_stage(tmp_path, ECHO, play)
