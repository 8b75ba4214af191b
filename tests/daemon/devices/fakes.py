"""A machine to look at: files below a folder, a driver that answers, samples of load."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from voiced.devices.gpu import GpuLoad, GpuState
from voiced.devices.load import LoadSample

GB = 10**9
START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def write(root: Path, path: str, text: str) -> None:
    """Write a file below the fake root."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


class FakeMachine:
    """A root folder that looks like Linux with NVIDIA GPUs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.buses: list[str] = []

    def add_gpu(
        self, bus: str = "0000:01:00.0", name: str = "NVIDIA GeForce RTX 3060", control: str = "on"
    ) -> None:
        """Put a GPU with its driver on the bus."""
        self.add_device(bus, vendor="0x10de", kind="0x030000", driver="nvidia")
        write(
            self.root,
            f"proc/driver/nvidia/gpus/{bus}/information",
            f"Model: \t\t {name}\nIRQ:   \t\t 52\nGPU UUID: \t GPU-{len(self.buses) + 1}aaa-bbb\n",
        )
        write(self.root, f"sys/bus/pci/devices/{bus}/power/control", f"{control}\n")
        self.buses.append(bus)
        self.set_power("active", bus)

    def add_device(self, bus: str, *, vendor: str, kind: str, driver: str) -> None:
        """Put any device on the bus."""
        write(self.root, f"sys/bus/pci/devices/{bus}/vendor", f"{vendor}\n")
        write(self.root, f"sys/bus/pci/devices/{bus}/class", f"{kind}\n")
        folder = self.root / "sys/bus/pci/drivers" / driver
        folder.mkdir(parents=True, exist_ok=True)
        (self.root / f"sys/bus/pci/devices/{bus}/driver").symlink_to(folder)

    def set_power(self, status: str, bus: str = "0000:01:00.0") -> None:
        """Set the kernel's word on a device."""
        write(self.root, f"sys/bus/pci/devices/{bus}/power/runtime_status", f"{status}\n")


class NVMLError(Exception):
    """The base of the fake driver's errors, as in pynvml."""


class NVMLError_GpuIsLost(NVMLError): ...


class NVMLError_NotSupported(NVMLError): ...


class NVMLError_NotFound(NVMLError): ...


class NVMLError_LibraryNotFound(NVMLError): ...


class NVMLError_DriverNotLoaded(NVMLError): ...


class NVMLError_LibRmVersionMismatch(NVMLError): ...


class FakeNvml:
    """The functions of pynvml that are used, over one GPU per PCI address; counts its opening and closing."""

    NVMLError = NVMLError
    NVMLError_GpuIsLost = NVMLError_GpuIsLost
    NVMLError_NotSupported = NVMLError_NotSupported
    NVMLError_NotFound = NVMLError_NotFound
    NVMLError_LibraryNotFound = NVMLError_LibraryNotFound
    NVMLError_DriverNotLoaded = NVMLError_DriverNotLoaded
    NVMLError_LibRmVersionMismatch = NVMLError_LibRmVersionMismatch

    def __init__(self) -> None:
        self.opened = 0
        self.is_open = False
        self.asked: list[Any] = []
        self.init_error: Exception | None = None
        self.errors: dict[str, Exception] = {}
        self.utilisation = 40
        self.used = 2 * GB
        self.total = 12 * GB
        self.reasons = 0
        self.processes: list[Any] = []
        self.shares: list[Any] = []
        self.gate: threading.Event | None = None
        """A call hangs until it is set."""

    def process(self, pid: int, memory: int | None, share: int) -> None:
        """Let a process use the GPU."""
        self.processes.append(SimpleNamespace(pid=pid, usedGpuMemory=memory))
        self.shares.append(SimpleNamespace(pid=pid, smUtil=share, timeStamp=1000 + len(self.shares)))

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise self.init_error
        self.opened += 1
        self.is_open = True

    def nvmlShutdown(self) -> None:
        assert self.is_open
        self.is_open = False

    def nvmlDeviceGetHandleByPciBusId(self, bus: bytes) -> Any:
        return self._answer("nvmlDeviceGetHandleByPciBusId", bus, bus.decode())

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        return self._answer("nvmlDeviceGetHandleByIndex", index, str(index))

    def _answer(self, function: str, handle: Any, value: Any) -> Any:
        assert self.is_open, f"{function} without nvmlInit"
        self.asked.append(handle)
        if self.gate is not None:
            self.gate.wait(20)
        if function in self.errors:
            raise self.errors[function]
        return value

    def __getattr__(self, name: str) -> Any:
        values = {
            "nvmlDeviceGetName": "NVIDIA GeForce RTX 3060",
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=self.utilisation, memory=1),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=self.total, used=self.used),
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetCudaComputeCapability": (8, 6),
            "nvmlDeviceGetCurrentClocksThrottleReasons": self.reasons,
            "nvmlDeviceGetComputeRunningProcesses": self.processes,
            "nvmlDeviceGetProcessUtilization": self.shares,
        }
        if name not in values:
            raise AttributeError(name)
        return lambda handle, *rest: self._answer(name, handle, values[name])


class Clock:
    """Seconds that pass when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def gpu(
    used: float | None = 0.1,
    *,
    own: float | None = 0.0,
    vram: float = 0.1,
    total_gb: float = 12.0,
    number: int = 0,
    state: GpuState = GpuState.AWAKE,
) -> GpuLoad:
    """Return a GPU whose memory is used by others."""
    return GpuLoad(
        device=f"cuda:{number}",
        number=number,
        state=state,
        utilisation_fraction=used,
        own_utilisation_fraction=own,
        memory_total_bytes=int(total_gb * GB),
        memory_used_bytes=int(vram * total_gb * GB),
    )


def sample(
    at_s: float = 1000.0, *gpus: GpuLoad, cpu: float = 0.1, own_cpu: float = 0.0, memory: float = 0.3
) -> LoadSample:
    """Return the load of a machine with 16 GB."""
    return LoadSample(
        taken=START + timedelta(seconds=at_s),
        monotonic_s=at_s,
        cpu_fraction=cpu,
        own_cpu_fraction=own_cpu,
        memory_total_bytes=16 * GB,
        memory_available_bytes=int((1 - memory) * 16 * GB),
        gpus=gpus,
        nvml="ok",
    )
