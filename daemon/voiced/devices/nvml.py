"""The GPUs' load: NVML behind values, asked only when that wakes nobody.

`NvmlReader` holds the driver's library while it is open; `GpuWatch` decides when it may be. The rule for laptops: as
long as no worker of ours runs on a GPU no handle is held, a GPU that the kernel has powered down is not asked at all
(it counts as free), and one that is awake without being used is asked rarely, so that it can fall asleep.

A missing package, driver or GPU is a value (`GpuReport.status`), never an exception. Both classes belong to one
thread, the monitor's: a driver can hang in any call.
"""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from voiced.devices.gpu import GpuLoad, GpuReport, GpuState, Workers
from voiced.devices.hardware import GpuInfo, list_gpus
from voiced.devices.power import Power, may_sleep, power_of

PACKAGE = "nvidia-ml-py"
RETRY_S = 60.0
"""After NVML could not be opened it is tried again this much later: a driver does not come back within seconds."""
REST_S = 120.0
"""A GPU that may sleep and that nobody uses is asked this rarely. The kernel and the driver let it sleep after some
ten seconds without a question, so it can."""
IDLE_FRACTION = 0.02
"""Up to this use a GPU counts as used by nobody: a desktop drawn on it keeps it awake with more."""

_THERMAL_REASONS = 0x20 | 0x40
"""nvmlClocksEventReasonSwThermalSlowdown and ...HwThermalSlowdown, nvml.h."""
_TEMPERATURE_GPU = 0
"""NVML_TEMPERATURE_GPU, nvml.h."""

NvmlLibrary = Any
"""The module `pynvml` of the package nvidia-ml-py, or what stands in for it."""


def import_nvml() -> NvmlLibrary:
    """Return the library; takes some 25 ms the first time.

    Raises:
        ImportError: If the package is not installed.
    """
    import pynvml

    return pynvml


class NvmlUnavailable(Exception):
    """NVML cannot be opened; the message says why and what to do."""


class NvmlReader:
    """Reads GPUs from NVML while it is open.

    Args:
        load_library: Gives the library.
    """

    def __init__(self, load_library: Callable[[], NvmlLibrary] = import_nvml) -> None:
        self._load_library = load_library
        self._library: NvmlLibrary = None
        self._seen_us: dict[int, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether the driver's library is held."""
        return self._library is not None

    def open(self) -> None:
        """Open the library.

        Raises:
            NvmlUnavailable: With cause and remedy.
        """
        if self.is_open:
            return
        try:
            library = self._load_library()
        except ImportError:
            raise NvmlUnavailable(
                f"the Python package {PACKAGE} is missing, GPU load is unknown: pip install {PACKAGE}"
            ) from None
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            raise NvmlUnavailable(_remedy(library, error)) from error
        self._library = library

    def close(self) -> None:
        """Give the library back, so that the GPUs may sleep."""
        library, self._library = self._library, None
        self._seen_us.clear()
        if library is not None:
            try:
                library.nvmlShutdown()
            except library.NVMLError:
                return  # a lost driver cannot be shut down; nothing is held then either

    def read(self, gpu: GpuInfo, pids: Collection[int], *, is_busy: bool) -> GpuLoad:
        """Return the load of one GPU.

        Args:
            gpu: Which one.
            pids: Our processes on it.
            is_busy: Whether they worked since the last reading; matters where the driver shows no processes.
        """
        library = self._library
        blank = GpuLoad(device=gpu.device, number=gpu.number, name=gpu.name)
        try:
            if gpu.bus:
                handle = library.nvmlDeviceGetHandleByPciBusId(gpu.bus.encode())
            else:
                handle = library.nvmlDeviceGetHandleByIndex(gpu.place)
            return self._read(handle, blank, pids, is_busy)
        except library.NVMLError_GpuIsLost:
            return blank._replace(state=GpuState.LOST)
        except library.NVMLError:
            return blank

    def _read(self, handle: Any, blank: GpuLoad, pids: Collection[int], is_busy: bool) -> GpuLoad:
        rates = self._ask("nvmlDeviceGetUtilizationRates", handle)
        memory = self._ask("nvmlDeviceGetMemoryInfo", handle)
        if rates is None and memory is None:
            return blank
        temperature = self._ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU)
        capability = self._ask("nvmlDeviceGetCudaComputeCapability", handle)
        reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
        own_memory = self._own_memory(handle, pids)
        return blank._replace(
            name=_text(self._ask("nvmlDeviceGetName", handle)) or blank.name,
            state=GpuState.AWAKE,
            utilisation_fraction=None if rates is None else min(1.0, rates.gpu / 100),
            own_utilisation_fraction=self._own_utilisation(handle, blank.number, pids, is_busy, own_memory),
            memory_total_bytes=None if memory is None else int(memory.total),
            memory_used_bytes=None if memory is None else int(memory.used),
            own_memory_bytes=own_memory,
            temperature_c=None if temperature is None else float(temperature),
            compute_capability="" if capability is None else f"{capability[0]}.{capability[1]}",
            is_throttled=bool((reasons or 0) & _THERMAL_REASONS),
        )

    def _own_memory(self, handle: Any, pids: Collection[int]) -> int | None:
        if not pids:
            return 0
        shown = {one.pid: one.usedGpuMemory for one in self._ask(_PROCESSES, handle) or ()}
        used = [shown.get(pid) for pid in pids]
        # One of ours that is not shown means that the driver counts other process ids, or shows none.
        return None if None in used else sum(part for part in used if part is not None)

    def _own_utilisation(
        self, handle: Any, index: int, pids: Collection[int], is_busy: bool, own_memory: int | None
    ) -> float | None:
        if not pids or not is_busy:
            return 0.0
        if own_memory is None:
            return None
        library = self._library
        try:
            samples = library.nvmlDeviceGetProcessUtilization(handle, self._seen_us.get(index, 0))
        except library.NVMLError_GpuIsLost:
            raise
        except library.NVMLError_NotFound:
            return 0.0  # nobody used it since
        except library.NVMLError:
            return None
        newest = sorted(samples, key=lambda one: int(one.timeStamp))
        if newest:
            self._seen_us[index] = int(newest[-1].timeStamp)
        shares = {one.pid: min(100, int(one.smUtil)) for one in newest if one.pid in pids}
        return min(1.0, sum(shares.values()) / 100)

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Return an answer; None where this driver or GPU has none (MIG, vGPU, WSL2, an old driver)."""
        library = self._library
        try:
            return getattr(library, function)(*arguments)
        except library.NVMLError_GpuIsLost:
            raise
        except library.NVMLError:
            return None


_PROCESSES = "nvmlDeviceGetComputeRunningProcesses"


def _text(value: Any) -> str:
    # Older versions of the package answer in bytes.
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _remedy(library: NvmlLibrary, error: Exception) -> str:
    if isinstance(error, library.NVMLError_LibraryNotFound):
        return f"the library of the NVIDIA driver is missing ({error}): install the driver"
    if isinstance(error, library.NVMLError_DriverNotLoaded):
        return f"the NVIDIA driver is not loaded ({error}): modprobe nvidia, or restart the computer"
    if isinstance(error, library.NVMLError_LibRmVersionMismatch):
        return f"the NVIDIA driver was updated under way ({error}): restart the computer"
    return f"NVML cannot be opened ({error}): see whether nvidia-smi works ({PACKAGE} is installed)"


class GpuWatch:
    """All GPUs of the machine, read without keeping a laptop's awake.

    Args:
        root: Where `proc` and `sys` lie.
        environ: The environment, for `CUDA_VISIBLE_DEVICES`.
        reader: Reads NVML.
        keep_asleep: Whether a sleeping GPU is left alone; False asks always.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        root: Path,
        environ: Mapping[str, str],
        reader: NvmlReader,
        *,
        keep_asleep: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._environ = environ
        self._reader = reader
        self._keep_asleep = keep_asleep
        self._clock = clock
        self._gpus: tuple[GpuInfo, ...] = ()
        self._listed_s: float | None = None
        self._retry_s = 0.0
        self._failure = ""
        self._rest_until_s: dict[str, float] = {}
        self._known: dict[str, GpuLoad] = {}
        self._known_s: dict[str, float] = {}

    def read(self, workers: Workers, *, is_busy: bool = False, wake: bool = False) -> GpuReport:
        """Return all GPUs at this moment; never raises.

        Args:
            workers: Our processes on each device.
            is_busy: Whether they worked since the last reading.
            wake: Ask also those that sleep, because one is about to be used.
        """
        now = self._clock()
        gpus = self._list(now)
        if not gpus:
            self._reader.close()
            return GpuReport((), "no NVIDIA GPU with a driver")
        asleep = {gpu.device for gpu in gpus if self._is_asleep(gpu, workers, wake)}
        if not self._may_ask(gpus, asleep, workers, wake, now):
            self._reader.close()
            failure = self._failure if now < self._retry_s else ""
            return GpuReport(tuple(self._unasked(gpu, asleep, now) for gpu in gpus), failure or "ok")
        failure = self._open(now)
        if failure:
            return GpuReport(tuple(self._unasked(gpu, asleep, now) for gpu in gpus), failure)
        loads = tuple(
            self._unasked(gpu, asleep, now)
            if gpu.device in asleep
            else self._ask(gpu, workers.get(gpu.device, ()), is_busy, now)
            for gpu in gpus
        )
        if not any(workers.values()) or any(load.state is GpuState.LOST for load in loads):
            self._reader.close()
        return GpuReport(loads, "ok")

    def close(self) -> None:
        """Give everything back."""
        self._reader.close()

    def _list(self, now: float) -> tuple[GpuInfo, ...]:
        if self._listed_s is None or now - self._listed_s >= RETRY_S:
            self._gpus = list_gpus(self._root, self._environ)
            self._listed_s = now
        return self._gpus

    def _is_asleep(self, gpu: GpuInfo, workers: Workers, wake: bool) -> bool:
        if wake or not self._keep_asleep or workers.get(gpu.device):
            return False
        return power_of(self._root, gpu.bus) is Power.SUSPENDED

    def _may_ask(
        self, gpus: tuple[GpuInfo, ...], asleep: set[str], workers: Workers, wake: bool, now: float
    ) -> bool:
        if now < self._retry_s and not wake:
            return False
        if wake or not self._keep_asleep or any(workers.values()):
            return True
        # Opening NVML wakes every GPU, so all must be awake for a reason that is not us.
        return not asleep and all(now >= self._rest_until_s.get(gpu.device, 0.0) for gpu in gpus)

    def _open(self, now: float) -> str:
        try:
            self._reader.open()
        except NvmlUnavailable as error:
            self._retry_s = now + RETRY_S
            self._failure = str(error)
            self._known_s.clear()
            return self._failure
        self._retry_s, self._failure = 0.0, ""
        return ""

    def _ask(self, gpu: GpuInfo, pids: Collection[int], is_busy: bool, now: float) -> GpuLoad:
        load = self._reader.read(gpu, pids, is_busy=is_busy)
        if load.state is GpuState.AWAKE:
            self._known[gpu.device] = load
            self._known_s[gpu.device] = now
        used = load.other_utilisation
        is_unused = not pids and used is not None and used <= IDLE_FRACTION
        if is_unused and may_sleep(self._root, gpu.bus):
            self._rest_until_s[gpu.device] = now + REST_S
        else:
            self._rest_until_s.pop(gpu.device, None)
        return load

    def _unasked(self, gpu: GpuInfo, asleep: set[str], now: float) -> GpuLoad:
        """What is said of a GPU that was not asked now: that it sleeps, or what it said not long ago."""
        known = self._known.get(gpu.device, GpuLoad(device=gpu.device, number=gpu.number, name=gpu.name))
        if gpu.device in asleep:
            return known._replace(
                state=GpuState.ASLEEP,
                utilisation_fraction=0.0,
                own_utilisation_fraction=0.0,
                memory_used_bytes=0,
                own_memory_bytes=0,
                temperature_c=None,
                is_throttled=False,
            )
        if now - self._known_s.get(gpu.device, -REST_S) < REST_S:
            return known
        return known.forgotten()
