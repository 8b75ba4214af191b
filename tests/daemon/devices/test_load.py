import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.devices.fakes import GB, Clock, FakeMachine, FakeNvml, gpu, sample
from voiced.devices.gpu import GpuReport, GpuState
from voiced.devices.hardware import HardwareProbe
from voiced.devices.load import LoadMonitor, LoadSample
from voiced.devices.nvml import GpuWatch, NvmlReader
from voiced.devices.power import Heat
from voiced.devices.readings import HANG_S, HEAT_INTERVAL_S, SlowReadings, local_readings

REPORT = GpuReport((gpu(0.4),), "ok")


def readings(**changes: object) -> SlowReadings:
    parts = {"read_gpus": lambda workers, is_busy, wake: REPORT, "read_heat": Heat} | changes
    return SlowReadings(**parts)  # type: ignore[arg-type]


@pytest.fixture
def burner() -> Iterator[int]:
    """A process of ours that keeps one core busy."""
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    yield child.pid
    child.kill()
    child.wait()
    child.stdout.close()


def first_load(monitor: LoadMonitor, own: list[int], *, is_ours: bool) -> LoadSample:
    """Return the first sample with some load of everybody, or of ours."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        taken = monitor.sample(own)
        if (taken.own_cpu_fraction if is_ours else taken.cpu_fraction) > 0:
            return taken
        time.sleep(0.05)
    raise AssertionError("no load was seen")


@pytest.mark.process
def test_our_own_work_is_told_apart(burner: int) -> None:
    with LoadMonitor(readings()) as monitor:
        taken = first_load(monitor, [burner], is_ours=True)
    assert 0 < taken.own_cpu_fraction <= taken.cpu_fraction <= 1
    with LoadMonitor(readings()) as monitor:
        taken = first_load(monitor, [], is_ours=False)
    assert taken.own_cpu_fraction == 0
    assert taken.other_cpu_fraction == taken.cpu_fraction > 0


@pytest.mark.process
def test_a_process_that_ended_counts_nothing() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with LoadMonitor(readings()) as monitor:
        assert monitor.sample([child.pid]).own_memory_bytes == 0
        assert monitor.sample([os.getpid(), child.pid]).own_memory_bytes > 1 << 20


def test_a_sample_tells_memory_and_gpus() -> None:
    with LoadMonitor(readings()) as monitor:
        first = monitor.sample([os.getpid()])
        assert not first.is_gpu_read  # asked, and not waited for
        assert monitor.refresh_gpus().gpus == REPORT.gpus
        taken = monitor.sample([os.getpid()])
    assert taken.is_gpu_read
    assert taken.nvml == "ok"
    assert taken.gpus == REPORT.gpus
    assert taken.gpu("cuda") == taken.gpu("cuda:0") == REPORT.gpus[0]
    assert taken.gpu("cuda:1") is taken.gpu("mps") is None
    assert 0 < taken.memory_fraction < 1
    assert taken.taken.tzinfo is not None


def test_the_protocol_is_told_without_our_part() -> None:
    taken = sample(0.0, gpu(0.9, own=0.6), cpu=0.9, own_cpu=0.5, memory=0.5)._replace(own_memory_bytes=4 * GB)
    info = taken.to_info()
    assert info.cpu_fraction == pytest.approx(0.4)
    assert info.own_cpu_fraction == 0.5
    assert info.memory_fraction == pytest.approx(0.25)
    assert info.own_memory_bytes == 4 * GB
    assert info.gpus[0].utilisation_fraction == pytest.approx(0.3)
    assert info.taken == "2026-11-20T10:00:00.000+00:00"


def test_a_sample_is_cheap() -> None:
    """Far above the measured 0.6 ms, far below what 0.1 % of 5 s allows for all threads."""
    with LoadMonitor(readings()) as monitor:
        monitor.sample([os.getpid()])
        before = time.process_time()
        for _ in range(50):
            monitor.sample([os.getpid()])
        spent = time.process_time() - before
    assert spent / 50 < 0.005


def test_a_hanging_driver_holds_nobody_up_and_is_asked_once() -> None:
    gate = threading.Event()
    calls = []
    clock = Clock()

    def hang(workers: object, is_busy: bool, wake: bool) -> GpuReport:
        calls.append(1)
        if len(calls) == 2:
            gate.wait(20)
        return REPORT

    slow = readings(read_gpus=hang, clock=clock)
    monitor = LoadMonitor(slow, clock=clock)
    assert monitor.refresh_gpus().gpus[0].state is GpuState.AWAKE
    monitor.sample([])  # the question that hangs
    clock.now += HANG_S - 1
    assert monitor.sample([]).gpus[0].state is GpuState.AWAKE
    clock.now += 2
    taken = monitor.sample([])
    assert taken.gpus[0].state is GpuState.UNKNOWN
    assert taken.gpus[0].other_utilisation is None
    assert taken.gpus[0].memory_total_bytes == 12 * GB
    assert "has not answered for 16 s" in taken.nvml
    assert monitor.refresh_gpus(timeout_s=0.01).gpus[0].state is GpuState.UNKNOWN
    assert not monitor.close(timeout_s=0.01)
    assert len(calls) == 2
    gate.set()
    assert monitor.close()
    assert len(calls) == 2


def test_a_driver_that_answers_again_is_believed_again() -> None:
    gate = threading.Event()
    clock = Clock()

    def hang(workers: object, is_busy: bool, wake: bool) -> GpuReport:
        gate.wait(20)
        return REPORT

    slow = readings(read_gpus=hang, clock=clock)
    with LoadMonitor(slow, clock=clock) as monitor:
        monitor.sample([])
        clock.now += HANG_S + 1
        assert "has not answered" in monitor.sample([]).nvml
        gate.set()
        assert slow.wait(20)
        assert monitor.sample([]).nvml == "ok"


def test_a_fault_in_a_reading_is_a_value(caplog: pytest.LogCaptureFixture) -> None:
    def broken(workers: object, is_busy: bool, wake: bool) -> GpuReport:
        raise RuntimeError("the driver spoke nonsense")

    with LoadMonitor(readings(read_gpus=broken)) as monitor:
        for _ in range(2):  # the thread lives on
            assert "the driver spoke nonsense" in monitor.refresh_gpus().status
    assert "could not be read" in caplog.text


def test_heat_is_read_rarely() -> None:
    clock = Clock()
    counts = iter([3, 3, 5, 5])
    calls = []

    def heat() -> Heat:
        calls.append(1)
        return Heat(next(counts))

    slow = readings(read_heat=heat, clock=clock)
    with LoadMonitor(slow, clock=clock) as monitor:
        seen = []
        for _ in range(4):
            for _ in range(3):
                monitor.refresh_gpus()
                clock.now += 1
            seen.append(slow.latest()[1])
            clock.now += HEAT_INTERVAL_S
    assert seen == [False, False, True, False]
    assert len(calls) == 4


def test_a_hot_gpu_throttles_the_machine() -> None:
    report = GpuReport((gpu()._replace(is_throttled=True),), "ok")
    with LoadMonitor(readings(read_gpus=lambda *rest: report)) as monitor:
        monitor.refresh_gpus()
        assert monitor.sample([]).is_throttled


def test_after_close_nothing_is_read_and_nothing_waits() -> None:
    monitor = LoadMonitor(readings())
    assert monitor.close()
    began = time.monotonic()
    assert not monitor.refresh_gpus(timeout_s=20).is_read
    assert time.monotonic() - began < 10


def test_the_handle_is_given_back_at_the_end(tmp_path: Path) -> None:
    machine, nvml = FakeMachine(tmp_path), FakeNvml()
    machine.add_gpu()
    watch = GpuWatch(tmp_path, {}, NvmlReader(lambda: nvml))
    slow = readings(
        read_gpus=lambda workers, is_busy, wake: watch.read(workers, is_busy=is_busy, wake=wake),
        close=watch.close,
    )
    with LoadMonitor(slow) as monitor:
        monitor.refresh_gpus({"cuda:0": [os.getpid()]})
        assert nvml.is_open
    assert not nvml.is_open


def test_apples_gpu_is_read_from_ioreg(tmp_path: Path) -> None:
    printed = {"ioreg": '"Device Utilization %"=91', "pmset": "CPU_Speed_Limit = 50"}
    probe = HardwareProbe("Darwin", "arm64", tmp_path, lambda command: printed[command[0]], {}, 8)
    with LoadMonitor(local_readings(probe=probe)) as monitor:
        monitor.refresh_gpus()
        taken = monitor.sample([])
        (load,) = taken.gpus
        assert (load.device, load.state, load.other_utilisation) == ("mps", GpuState.AWAKE, 0.91)
        assert taken.is_throttled
        printed["ioreg"] = ""
        assert monitor.refresh_gpus().gpus[0].state is GpuState.UNKNOWN


def test_this_machine_can_be_sampled() -> None:
    with LoadMonitor() as monitor:
        assert monitor.refresh_gpus(timeout_s=20).is_read
        taken = monitor.sample([os.getpid()])
    assert taken.memory_total_bytes > 0
    assert taken.nvml


@pytest.mark.process
def test_the_module_is_light_until_it_samples() -> None:
    code = (
        "import sys, voiced.devices.load, voiced.devices.lock, voiced.devices.selector, voiced.devices.presets\n"
        "heavy = {'psutil', 'pynvml', 'subprocess', 'asyncio', 'dataclasses', 'tomllib', 'numpy', 'torch'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
