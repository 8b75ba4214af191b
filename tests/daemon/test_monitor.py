"""The lock and the load, where they meet the pool, the settings and the events."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.devices.fakes import GB, gpu
from tests.daemon.workers.tiny import shelf_in
from voiced.devices.gpu import GpuReport
from voiced.devices.hardware import GpuInfo, Hardware
from voiced.devices.load import LoadMonitor
from voiced.devices.lock import new_lock, process_start
from voiced.devices.power import Heat
from voiced.devices.readings import SlowReadings
from voiced.jobs.schema import open_database
from voiced.jobs.store import Store
from voiced.models.catalogue import find_spec
from voiced.monitor import LOCK_SETTING, DeviceMonitor
from voiced.workers.pool import Pool, PoolLimits
from voiced_ipc import messages as m
from voiced_ipc.errors import DeviceUnavailable, InvalidRequest

ID = "a" * 22


class Desk:
    """A monitor, its store, and what it told."""

    def __init__(
        self, store: Store, folder: Path, load: LoadMonitor | None = None, hardware: Hardware | None = None
    ) -> None:
        self.store = store
        self.told: list[tuple[type[m.Event], dict[str, Any]]] = []
        self._came = asyncio.Event()
        pool = Pool(PoolLimits(2, 5.0, 300.0), shelf_in(folder), lambda: None, lambda event: None)
        self.monitor = DeviceMonitor(pool, store, self._publish, load or LoadMonitor(), hardware)

    def _publish(self, event: type[m.Event], **fields: Any) -> None:
        self.told.append((event, fields))
        self._came.set()

    def of(self, kind: type[m.Event]) -> list[dict[str, Any]]:
        return [fields for event, fields in self.told if event is kind]

    async def until(self, look: Callable[[], object]) -> None:
        async with asyncio.timeout(10.0):
            while not look():
                await self._came.wait()
                self._came.clear()

    async def set_lock(self, device: str, **fields: Any) -> str:
        return await self.monitor.lock(m.SetDeviceLock(request_id=ID, device=device, **fields))


def at_desk(
    tmp_path: Path,
    play: Callable[[Desk], Awaitable[None]],
    load: LoadMonitor | None = None,
    hardware: Hardware | None = None,
) -> None:
    async def main() -> None:
        store = Store(open_database(tmp_path / "jobs.sqlite")[0])
        store.start(asyncio.get_running_loop())
        desk = Desk(store, tmp_path, load, hardware)
        try:
            await play(desk)
        finally:
            await desk.monitor.stop()
            await asyncio.to_thread(store.close)

    asyncio.run(main())


def kept(tmp_path: Path) -> dict[str, Any]:
    store = Store(open_database(tmp_path / "jobs.sqlite")[0])
    value = store.setting(LOCK_SETTING)
    store.close()
    assert value is not None
    found: dict[str, Any] = json.loads(value)
    return found


def test_samples_come_as_long_as_it_runs(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        assert desk.monitor.load_info() is None
        desk.monitor.start(0.01, None)
        await desk.until(lambda: len(desk.of(m.LoadChanged)) >= 3)
        load = desk.monitor.load_info()
        assert load is not None
        assert load.own_memory_bytes > 0
        assert 0.0 <= load.memory_fraction <= 1.0
        assert desk.monitor.loop_lag_ms >= 0.0

    at_desk(tmp_path, play)


def test_a_lock_is_kept_told_and_in_force(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        assert await desk.set_lock("cpu", for_s=3600) == "locked to cpu"
        assert desk.monitor.lock_info().device == "cpu"
        assert desk.monitor.lock_info().until is not None
        assert [fields["lock"].device for fields in desk.of(m.DeviceLockChanged)] == ["cpu"]

    at_desk(tmp_path, play)
    assert kept(tmp_path)["device"] == "cpu"


def test_auto_takes_the_lock_away(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        await desk.set_lock("cpu")
        assert await desk.set_lock("auto") == "the device is auto"
        assert desk.monitor.lock_info() == m.LockInfo(device="auto")

    at_desk(tmp_path, play)


def test_a_configured_device_holds_where_nobody_set_another(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        desk.monitor.configure("cpu", is_strict=False)
        assert desk.monitor.lock_info() == m.LockInfo(device="cpu")
        assert desk.monitor.problem == ""

    at_desk(tmp_path, play)


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        absent = "mps"
        if desk.monitor.hardware.is_apple_silicon:
            absent = "cuda"
        desk.monitor.configure(absent, is_strict=False)
        assert desk.monitor.problem
        desk.monitor.configure(absent, is_strict=True)
        assert desk.monitor.problem
        with pytest.raises(DeviceUnavailable):
            await desk.set_lock(absent)
        assert desk.of(m.DeviceLockChanged) == []  # nothing was kept, nothing told

    at_desk(tmp_path, play)


def test_a_lock_until_a_program_that_is_not_there(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        with pytest.raises(InvalidRequest):
            await desk.set_lock("cpu", until_pid=2**22 + 1)

    at_desk(tmp_path, play)


def test_a_lock_of_an_earlier_run_goes_on_and_ends_by_itself(tmp_path: Path) -> None:
    earlier = datetime.now(UTC) - timedelta(seconds=100)
    lock = new_lock("cpu", for_s=100.2, until_pid=None, now=earlier, start_of=process_start)

    async def play(desk: Desk) -> None:
        desk.monitor.start(0.02, lock.to_json())
        assert desk.monitor.lock_info().device == "cpu"
        await desk.until(lambda: desk.of(m.DeviceLockChanged))
        assert desk.monitor.lock_info().device == "auto"
        assert desk.of(m.DeviceLockChanged)[0]["reason"]

    at_desk(tmp_path, play)


@pytest.mark.parametrize("text", ["nonsense", "{}", '{"device": 5}'])
def test_a_kept_lock_that_cannot_be_read_does_not_stop_the_start(tmp_path: Path, text: str) -> None:
    async def play(desk: Desk) -> None:
        desk.monitor.start(0.01, text)
        await desk.until(lambda: desk.of(m.LoadChanged))

    at_desk(tmp_path, play)


def test_what_it_knows_of_the_machine(tmp_path: Path) -> None:
    async def play(desk: Desk) -> None:
        info = desk.monitor.hardware_info()
        assert info.memory_bytes > 0
        assert info.tier == desk.monitor.tier
        assert desk.monitor.max_text_chars > 0
        assert desk.monitor.decisions(5) == []

    at_desk(tmp_path, play)


def test_what_the_driver_tells_of_a_gpu_chooses_its_tier_and_precision(tmp_path: Path) -> None:
    turing = gpu(total_gb=16)._replace(compute_capability="7.5")
    load = LoadMonitor(SlowReadings(lambda workers, is_busy, wake: GpuReport((turing,), "ok"), Heat))
    listed = Hardware("Linux", "x86_64", "AMD EPYC", 8, 16, 64 * GB, gpus=(GpuInfo(0),))

    async def play(desk: Desk) -> None:
        assert (desk.monitor.tier, desk.monitor.hardware_info().gpu_memory_bytes) == ("gpu_low", 0)
        desk.monitor.start(0.01, None)
        await desk.until(lambda: desk.monitor.hardware_info().gpu_memory_bytes)
        assert desk.monitor.tier == "gpu_high"
        info = desk.monitor.hardware_info()
        assert (info.gpu_memory_bytes, info.compute_capability) == (16 * GB, "7.5")
        maya = find_spec("maya1")
        assert maya is not None
        assert maya.precisions[0] == "bf16"
        assert (await desk.monitor.place(maya, "cuda:0")).run.precision == "fp16"

    at_desk(tmp_path, play, load, listed)
