from pathlib import Path

import pytest

from tests.daemon.devices.fakes import (
    GB,
    Clock,
    FakeMachine,
    FakeNvml,
    NVMLError,
    NVMLError_DriverNotLoaded,
    NVMLError_GpuIsLost,
    NVMLError_LibraryNotFound,
    NVMLError_LibRmVersionMismatch,
    NVMLError_NotFound,
    NVMLError_NotSupported,
)
from voiced.devices.gpu import GpuLoad, GpuState
from voiced.devices.hardware import GpuInfo
from voiced.devices.nvml import REST_S, RETRY_S, GpuWatch, NvmlReader, NvmlUnavailable

GPU = GpuInfo(0, bus="0000:01:00.0")
PID = 4711


@pytest.fixture
def nvml() -> FakeNvml:
    return FakeNvml()


def read(nvml: FakeNvml, *pids: int, is_busy: bool = True) -> GpuLoad:
    reader = NvmlReader(lambda: nvml)
    reader.open()
    try:
        return reader.read(GPU, pids, is_busy=is_busy)
    finally:
        reader.close()


class TestReader:
    def test_tells_all_of_a_gpu(self, nvml: FakeNvml) -> None:
        assert read(nvml) == GpuLoad(
            device="cuda:0",
            number=0,
            name="NVIDIA GeForce RTX 3060",
            state=GpuState.AWAKE,
            utilisation_fraction=0.4,
            memory_total_bytes=12 * GB,
            memory_used_bytes=2 * GB,
            temperature_c=61.0,
            compute_capability="8.6",
        )
        assert not nvml.is_open

    def test_tells_our_own_part_apart(self, nvml: FakeNvml) -> None:
        nvml.utilisation = 90
        nvml.used = 8 * GB
        nvml.process(PID, 5 * GB, 60)
        nvml.process(99, 1 * GB, 30)
        load = read(nvml, PID)
        assert (load.own_utilisation_fraction, load.own_memory_bytes) == (0.6, 5 * GB)
        assert load.other_utilisation == pytest.approx(0.3)
        assert load.other_memory_bytes == 3 * GB
        assert load.free_memory_bytes == 4 * GB
        shown = load.to_sample()
        assert shown.utilisation_fraction == pytest.approx(0.3)
        assert (shown.memory_used_bytes, shown.temperature_c) == (3 * GB, 61.0)

    def test_does_not_guess_our_part_where_processes_are_hidden(self, nvml: FakeNvml) -> None:
        """WSL2 shows no memory of processes, a container other process ids."""
        load = read(nvml, PID)
        assert load.own_utilisation_fraction is None
        assert load.own_memory_bytes is None
        assert load.other_utilisation is None
        assert load.other_memory_fraction is None
        nvml.process(PID, None, 60)
        assert read(nvml, PID).own_memory_bytes is None

    def test_counts_everything_as_others_while_our_workers_idle(self, nvml: FakeNvml) -> None:
        load = read(nvml, PID, is_busy=False)
        assert load.other_utilisation == 0.4
        assert load.other_memory_bytes is None  # weights lie there while idle too

    def test_no_use_since_is_no_use(self, nvml: FakeNvml) -> None:
        nvml.process(PID, GB, 60)
        nvml.errors["nvmlDeviceGetProcessUtilization"] = NVMLError_NotFound("nothing since")
        assert read(nvml, PID).own_utilisation_fraction == 0.0
        nvml.errors["nvmlDeviceGetProcessUtilization"] = NVMLError_NotSupported("never")
        assert read(nvml, PID).own_utilisation_fraction is None

    @pytest.mark.parametrize(
        "function",
        ["nvmlDeviceGetTemperature", "nvmlDeviceGetCudaComputeCapability", "nvmlDeviceGetUtilizationRates"],
    )
    def test_leaves_out_what_a_driver_does_not_support(self, nvml: FakeNvml, function: str) -> None:
        nvml.errors[function] = NVMLError_NotSupported("not supported")
        load = read(nvml)
        assert load.state is GpuState.AWAKE
        assert load.memory_used_bytes == 2 * GB

    @pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByPciBusId", "nvmlDeviceGetUtilizationRates"])
    def test_a_lost_gpu_is_a_state(self, nvml: FakeNvml, function: str) -> None:
        nvml.errors[function] = NVMLError_GpuIsLost("GPU is lost")
        load = read(nvml, PID)
        assert load.state is GpuState.LOST
        assert load.other_utilisation is None

    def test_a_gpu_that_does_not_answer_is_unknown(self, nvml: FakeNvml) -> None:
        nvml.errors["nvmlDeviceGetHandleByPciBusId"] = NVMLError("unknown error")
        assert read(nvml).state is GpuState.UNKNOWN

    def test_heat_of_the_gpu_is_told(self, nvml: FakeNvml) -> None:
        nvml.reasons = 0x4  # a power cap is no heat
        assert not read(nvml).is_throttled
        nvml.reasons = 0x44
        assert read(nvml).is_throttled

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (NVMLError_LibraryNotFound("no library"), "install the driver"),
            (NVMLError_DriverNotLoaded("no driver"), "modprobe nvidia"),
            (NVMLError_LibRmVersionMismatch("mismatch"), "restart the computer"),
            (NVMLError("odd"), "nvidia-smi"),
        ],
    )
    def test_says_why_it_cannot_be_opened(self, nvml: FakeNvml, error: Exception, words: str) -> None:
        nvml.init_error = error
        with pytest.raises(NvmlUnavailable, match=words):
            read(nvml)

    def test_names_the_package_that_is_missing(self) -> None:
        def missing() -> object:
            raise ImportError("No module named 'pynvml'")

        with pytest.raises(NvmlUnavailable, match="pip install nvidia-ml-py"):
            NvmlReader(missing).open()

    def test_the_real_library_opens_or_says_why(self) -> None:
        reader = NvmlReader()
        said = ""
        try:
            reader.open()
        except NvmlUnavailable as error:
            said = str(error)
        assert reader.is_open or "NVIDIA driver" in said or "nvidia-ml-py" in said
        if reader.is_open:
            assert reader.read(GpuInfo(0), (), is_busy=False).state is not GpuState.ASLEEP
        reader.close()
        assert not reader.is_open


class TestWatch:
    @pytest.fixture
    def machine(self, tmp_path: Path) -> FakeMachine:
        return FakeMachine(tmp_path)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    def watch(self, machine: FakeMachine, nvml: FakeNvml, clock: Clock, **options: bool) -> GpuWatch:
        return GpuWatch(machine.root, {}, NvmlReader(lambda: nvml), clock=clock, **options)

    def test_a_machine_without_gpu_never_opens_nvml(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        report = self.watch(machine, nvml, clock).read({})
        assert (report.gpus, report.status) == ((), "no NVIDIA GPU with a driver")
        assert nvml.opened == 0

    def test_a_sleeping_gpu_is_not_touched_and_counts_as_free(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu(control="auto")
        machine.set_power("suspended")
        report = self.watch(machine, nvml, clock).read({})
        assert nvml.opened == 0
        (load,) = report.gpus
        assert load.state is GpuState.ASLEEP
        assert load.other_utilisation == 0.0
        assert load.to_sample().is_asleep
        assert report.status == "ok"

    def test_a_sleeping_gpu_keeps_what_it_told_while_awake(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu(control="auto")
        watch = self.watch(machine, nvml, clock)
        watch.read({})
        machine.set_power("suspended")
        (load,) = watch.read({}).gpus
        assert (load.state, load.memory_total_bytes, load.free_memory_bytes) == (
            GpuState.ASLEEP,
            12 * GB,
            12 * GB,
        )
        assert load.temperature_c is None
        assert nvml.opened == 1

    def test_no_handle_is_held_without_a_worker(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu()
        watch = self.watch(machine, nvml, clock)
        assert watch.read({}).gpus[0].utilisation_fraction == 0.4
        assert not nvml.is_open
        held = []
        for pids in ([PID], [PID], []):
            watch.read({"cuda:0": pids})
            held.append(nvml.is_open)
        assert held == [True, True, False]
        assert nvml.opened == 2

    def test_a_worker_makes_it_ask_whatever_the_kernel_says(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu(control="auto")
        machine.set_power("suspended")
        assert self.watch(machine, nvml, clock).read({"cuda:0": [PID]}).gpus[0].state is GpuState.AWAKE

    @pytest.mark.parametrize("reason", ["wake", "setting"])
    def test_a_sleeping_gpu_is_woken_only_when_told(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock, reason: str
    ) -> None:
        machine.add_gpu(control="auto")
        machine.set_power("suspended")
        watch = self.watch(machine, nvml, clock, keep_asleep=reason == "wake")
        assert watch.read({}, wake=reason == "wake").gpus[0].memory_total_bytes == 12 * GB
        assert nvml.opened == 1

    def test_an_unused_laptop_gpu_is_left_alone_long_enough_to_fall_asleep(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu(control="auto")
        nvml.utilisation = 0
        watch = self.watch(machine, nvml, clock)
        for _ in range(24):  # two minutes
            assert watch.read({}).gpus[0].utilisation_fraction == 0.0
            clock.now += REST_S / 24
        assert nvml.opened == 1
        watch.read({})
        assert nvml.opened == 2

    def test_a_used_laptop_gpu_is_asked_each_time(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu(control="auto")
        watch = self.watch(machine, nvml, clock)
        for _ in range(3):
            watch.read({})
            clock.now += 5
        assert nvml.opened == 3

    def test_a_desktops_gpu_never_sleeps_and_is_asked_each_time(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu(control="on")
        nvml.utilisation = 0
        watch = self.watch(machine, nvml, clock)
        for _ in range(3):
            watch.read({})
            clock.now += 5
        assert nvml.opened == 3

    def test_opening_nvml_would_wake_a_second_gpu_too(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu("0000:01:00.0", control="auto")
        machine.add_gpu("0000:02:00.0", control="auto")
        watch = self.watch(machine, nvml, clock)
        watch.read({})
        machine.set_power("suspended", "0000:02:00.0")
        clock.now += 5
        assert [gpu.state for gpu in watch.read({}).gpus] == [GpuState.AWAKE, GpuState.ASLEEP]
        assert nvml.opened == 1
        clock.now += REST_S
        first, _ = watch.read({}).gpus
        assert (first.state, first.utilisation_fraction) == (GpuState.UNKNOWN, None)  # too old to be told
        assert first.memory_total_bytes == 12 * GB
        assert nvml.opened == 1

    def test_a_failure_is_told_and_tried_again_later(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu()
        nvml.init_error = NVMLError_LibRmVersionMismatch("mismatch")
        calls = []

        def load() -> FakeNvml:
            calls.append(1)
            return nvml

        watch = GpuWatch(machine.root, {}, NvmlReader(load), clock=clock)
        for _ in range(5):
            report = watch.read({"cuda:0": [PID]})
            assert "restart the computer" in report.status
            assert report.gpus[0].state is GpuState.UNKNOWN
            clock.now += RETRY_S / 6
        assert len(calls) == 1
        nvml.init_error = None
        clock.now += RETRY_S
        assert watch.read({}).status == "ok"

    def test_after_a_loss_nvml_is_opened_afresh(
        self, machine: FakeMachine, nvml: FakeNvml, clock: Clock
    ) -> None:
        machine.add_gpu()
        watch = self.watch(machine, nvml, clock)
        nvml.errors["nvmlDeviceGetUtilizationRates"] = NVMLError_GpuIsLost("lost")
        assert watch.read({"cuda:0": [PID]}).gpus[0].state is GpuState.LOST
        assert not nvml.is_open
        nvml.errors.clear()
        assert watch.read({"cuda:0": [PID]}).gpus[0].state is GpuState.AWAKE
        watch.close()
        assert not nvml.is_open
