"""Row 17, device truth: what is asked for is honoured or refused, over a list of devices that is made up.

The machine and its driver are named stand-ins; the lock, the rules, the pool and its children are real. That every
tensor is on its device, and out of memory on a real one, belong to a machine with a GPU: not run here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.devices.fakes import GB, gpu
from tests.daemon.workers.pool_stage import LIMIT_S, USUAL
from tests.daemon.workers.tiny import shelf_in, tiny_child
from voiced.config import Config
from voiced.devices.gpu import GpuLoad, GpuReport, GpuState
from voiced.devices.hardware import GpuInfo, Hardware
from voiced.devices.load import LoadMonitor
from voiced.devices.power import Heat
from voiced.devices.readings import SlowReadings
from voiced.jobs.schema import open_database
from voiced.jobs.store import Store
from voiced.models.spec import ModelSpec
from voiced.monitor import DeviceMonitor
from voiced.placing import wanted_of
from voiced.workers import pool as pool_module
from voiced.workers import supervision
from voiced.workers.engine import Engine
from voiced.workers.events import PoolEvent, PoolEventKind
from voiced.workers.pool import Pool
from voiced.workers.process import WorkerProcess
from voiced.workers.spawn import Files, RunAs, Spawn
from voiced_ipc import messages as m
from voiced_ipc.errors import DeviceUnavailable

ID = "a" * 22
TESTED = """
ready()
for fields in serve():
    if fields["type"] != "speak":
        link.send({"type": "done", "task": fields["task"]})
"""
"""A worker that passes its test and speaks for ever."""
UNFIT = TESTED.replace('"done"', '"failed", "code": "synthesis-failed", "message": "noise"')


class Machine:
    """A machine with two GPUs that are as loaded as the test says, its pool, and who decides."""

    def __init__(self, store: Store, folder: Path, patched: pytest.MonkeyPatch, gpus: int) -> None:
        self.gpus = tuple(gpu(0.1, number=number) for number in range(gpus))
        self.told: list[tuple[type[m.Event], dict[str, Any]]] = []
        self.events: list[PoolEvent] = []
        self.spawned: list[RunAs] = []
        self.program = TESTED
        self._changed = asyncio.Event()
        self.pool = Pool(USUAL, shelf_in(folder), self._changed.set, self.events.append)
        infos = tuple(
            GpuInfo(number=number, name="NVIDIA", memory_bytes=12 * GB, compute_capability="8.6")
            for number in range(gpus)
        )
        hardware = Hardware("Linux", "x86_64", "Some CPU", 8, 16, 32 * GB, gpus=infos)
        load = LoadMonitor(SlowReadings(lambda *_: GpuReport(self.gpus, "ok"), Heat))
        self.monitor = DeviceMonitor(self.pool, store, self._publish, load, hardware)
        self.monitor.wanted = wanted_of(Config())
        self.monitor.configure("auto", is_strict=False)
        self.pool.ground = self.monitor.ground()
        spec = self.pool.engines["tone"].spec
        self.pool.engines["tone"] = Engine(spec._replace(has_gpu_path=True, min_vram_gb=4.0))
        patched.setattr(pool_module, "spawn_worker", self._spawn)

    def _spawn(self, spec: ModelSpec, run: RunAs, files: Files) -> Spawn:
        self.spawned.append(run)
        return tiny_child(self.program)

    def _publish(self, event: type[m.Event], **fields: Any) -> None:
        self.told.append((event, fields))

    async def until(self, look: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not look():
                await self._changed.wait()
                self._changed.clear()

    async def worker(self, device: str = "") -> WorkerProcess:
        found: list[WorkerProcess] = []

        def look() -> bool:
            worker = self.pool.free_worker("tone", device)
            found.extend([worker] if worker else [])
            return bool(found)

        await self.until(look)
        return found[0]

    async def lock(self, device: str) -> str:
        return await self.monitor.lock(m.SetDeviceLock(request_id=ID, device=device))

    def load_gpus(self, *loads: GpuLoad) -> None:
        """Say how the GPUs are, and have it seen."""
        self.gpus = loads
        self.monitor._load.refresh_gpus()

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.monitor._tick()

    def kinds(self) -> list[PoolEventKind]:
        return [event.kind for event in self.events]


def on_machine(tmp_path: Path, play: Callable[[Machine], Awaitable[None]], gpus: int = 2) -> None:
    async def main() -> None:
        store = Store(open_database(tmp_path / "jobs.sqlite")[0])
        store.start(asyncio.get_running_loop())
        with pytest.MonkeyPatch.context() as patched:
            machine = Machine(store, tmp_path, patched, gpus)
            machine.pool.start()
            try:
                await play(machine)
            finally:
                await machine.pool.stop()
                await machine.monitor.stop()
                await asyncio.to_thread(store.close)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("asked", "gpus", "got"),
    [
        ("", 0, "cpu"),
        ("", 2, "cuda:0"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda:7", 2, "cpu"),
        ("cuda", 0, "cpu"),
        ("mps", 2, "cpu"),
    ],
)
def test_a_request_gets_its_device_or_the_cpu_with_a_note(
    tmp_path: Path, asked: str, gpus: int, got: str
) -> None:
    async def play(machine: Machine) -> None:
        worker = await machine.worker(asked)
        assert worker.device == got == machine.spawned[-1].device
        asked_base = asked.partition(":")[0]
        is_other = asked not in ("", "auto") and asked_base != got.partition(":")[0]
        assert any(asked in note for note in machine.pool.engines["tone"].notes) is is_other

    on_machine(tmp_path, play, gpus)


@pytest.mark.parametrize("asked", ["cuda:7", "mps"])
def test_strict_mode_refuses_instead(tmp_path: Path, asked: str) -> None:
    async def play(machine: Machine) -> None:
        machine.monitor.configure("auto", is_strict=True)
        with pytest.raises(DeviceUnavailable, match=asked):
            await machine.monitor.place(machine.pool.engines["tone"].spec, asked)

    on_machine(tmp_path, play)


@pytest.mark.parametrize(("lock", "got"), [("cpu", "cpu"), ("cuda:1", "cuda:1"), ("cuda", "cuda:0")])
def test_a_lock_is_obeyed_by_loads_and_requests(tmp_path: Path, lock: str, got: str) -> None:
    async def play(machine: Machine) -> None:
        await machine.lock(lock)
        assert (await machine.worker()).device == got
        device, note = machine.monitor.resolve("cuda:0" if got != "cuda:0" else "cpu")
        assert device in (got, lock)
        assert "locked the device" in note

    on_machine(tmp_path, play)


def test_a_lock_acts_at_once_on_what_is_loaded_and_nothing_fails(tmp_path: Path) -> None:
    async def play(machine: Machine) -> None:
        old = await machine.worker()
        machine.ticks(1)
        task = asyncio.create_task(_all(old))
        await asyncio.sleep(0)
        await machine.lock("cpu")
        await asyncio.gather(task, return_exceptions=True)
        await machine.until(lambda: old not in machine.pool.engines["tone"].workers)
        assert (await machine.worker()).device == "cpu"
        assert PoolEventKind.BROKEN not in machine.kinds()

    on_machine(tmp_path, play)


def test_a_locked_device_is_never_left_for_load(tmp_path: Path) -> None:
    async def play(machine: Machine) -> None:
        await machine.lock("cuda:0")
        worker = await machine.worker()
        machine.load_gpus(gpu(0.99, number=0), gpu(0.0, number=1))
        machine.ticks(50)
        assert machine.pool.free_worker("tone") is worker
        assert PoolEventKind.SWITCHED not in machine.kinds()

    on_machine(tmp_path, play)


def test_a_busy_gpu_is_left_when_the_new_worker_has_passed_its_test(tmp_path: Path) -> None:
    async def play(machine: Machine) -> None:
        old = await _at_work_for_a_while(machine)
        machine.ticks(1)
        machine.load_gpus(gpu(0.95, number=0), gpu(0.95, number=1))
        await _switched(machine)
        assert (await machine.worker()).device == "cpu"
        assert old.is_retiring

    on_machine(tmp_path, play)


def test_after_a_failed_move_the_old_one_still_answers(tmp_path: Path) -> None:
    async def play(machine: Machine) -> None:
        old = await machine.worker()
        machine.program = UNFIT
        machine.pool.move("tone", "cpu", "for the test")
        await machine.until(lambda: not machine.pool.engines["tone"].is_moving)
        assert machine.pool.free_worker("tone") is old

    on_machine(tmp_path, play)


def test_a_gpu_too_small_for_the_model_is_not_used(tmp_path: Path) -> None:
    async def play(machine: Machine) -> None:
        engine = machine.pool.engines["tone"]
        engine.spec = engine.spec._replace(min_vram_gb=24.0)
        assert (await machine.worker()).device == "cpu"

    on_machine(tmp_path, play)


def test_a_lost_gpu_is_left_at_once(tmp_path: Path) -> None:
    async def play(machine: Machine) -> None:
        old = await _at_work_for_a_while(machine)
        machine.ticks(1)
        machine.load_gpus(*(one._replace(state=GpuState.LOST) for one in machine.gpus))
        machine.ticks(2)
        await machine.until(lambda: old not in machine.pool.engines["tone"].workers)
        assert (await machine.worker()).device == "cpu"

    on_machine(tmp_path, play)


async def _all(worker: WorkerProcess) -> None:
    async for _ in worker.run({"type": "speak"}):
        pass


async def _at_work_for_a_while(machine: Machine) -> WorkerProcess:
    """A worker that is in use: an idle one is not moved."""
    worker = await machine.worker()
    worker.tasks.slots = 2
    worker.tasks.add(lambda: None)
    worker.spawned_at -= 3600.0
    return worker


async def _switched(machine: Machine) -> None:
    """Look until the wish has lasted and the model has moved; the samples' clock is the machine's own."""
    async with asyncio.timeout(LIMIT_S):
        while PoolEventKind.SWITCHED not in machine.kinds():
            machine.ticks(1)
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def quick_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "TURN_S", 0.05)
