"""How loaded the machine is: one `LoadSample` every few seconds, with our own part told apart.

Processor and memory are read by psutil on the caller's thread (the loop), well below 2 ms. GPUs and heat come from
`readings`, where they may hang without holding anybody up. psutil is imported at the first sample, not before.
"""

import os
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from voiced.devices.gpu import GpuLoad, GpuReport, Workers
from voiced.devices.readings import SlowReadings, local_readings
from voiced_ipc.messages import LoadInfo

if TYPE_CHECKING:
    import psutil

MIN_INTERVAL_S = 0.2
"""Below it the kernel's clock ticks (10 ms) make the processor's share a guess; the last one is told again."""


class LoadSample(NamedTuple):
    """The load of the machine at one moment; shares lie in [0, 1] and include us unless they say otherwise."""

    taken: datetime
    """Aware UTC."""
    monotonic_s: float
    cpu_fraction: float = 0.0
    """Of all cores, since the sample before."""
    own_cpu_fraction: float = 0.0
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    own_memory_bytes: int = 0
    """Our private memory; mapped files are the system's cache, not ours."""
    gpus: tuple[GpuLoad, ...] = ()
    is_throttled: bool = False
    nvml: str = ""
    """`ok`, or why NVIDIA GPUs cannot be read."""
    is_gpu_read: bool = True
    """False before the first reading of the GPUs: then no GPU here does not mean that there is none."""

    @property
    def memory_fraction(self) -> float:
        """Share of the memory in use."""
        if not self.memory_total_bytes:
            return 0.0
        return 1.0 - self.memory_available_bytes / self.memory_total_bytes

    @property
    def other_cpu_fraction(self) -> float:
        """Use of the processor by others: what counts as load."""
        return max(0.0, self.cpu_fraction - self.own_cpu_fraction)

    @property
    def other_memory_fraction(self) -> float:
        """Share of the memory that others use."""
        if not self.memory_total_bytes:
            return 0.0
        return max(0.0, self.memory_fraction - self.own_memory_bytes / self.memory_total_bytes)

    def gpu(self, device: str) -> GpuLoad | None:
        """Return the load of one GPU; `cuda` means the first."""
        for gpu in self.gpus:
            if device in (gpu.device, gpu.device.partition(":")[0]):
                return gpu
        return None

    def to_info(self) -> LoadInfo:
        """Return it as the protocol tells it: without our own part, where that is known."""
        return LoadInfo(
            taken=self.taken.isoformat(timespec="milliseconds"),
            cpu_fraction=self.other_cpu_fraction,
            own_cpu_fraction=self.own_cpu_fraction,
            memory_fraction=self.other_memory_fraction,
            memory_available_bytes=self.memory_available_bytes,
            own_memory_bytes=self.own_memory_bytes,
            gpus=[gpu.to_sample() for gpu in self.gpus],
            is_throttled=self.is_throttled,
            nvml=self.nvml,
        )


class LoadMonitor:
    """Takes the load of the machine; belongs to one thread, the loop's. A context manager.

    Args:
        slow: Reads what may hang; None = this machine's GPUs and heat.
        keep_gpu_asleep: Whether a sleeping GPU is left alone.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        slow: SlowReadings | None = None,
        *,
        keep_gpu_asleep: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slow = slow or local_readings(keep_gpu_asleep=keep_gpu_asleep)
        self._clock = clock
        self._usage: _Usage | None = None

    def __enter__(self) -> "LoadMonitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def sample(
        self, own_pids: Collection[int], gpu_workers: Workers | None = None, *, is_gpu_busy: bool = False
    ) -> LoadSample:
        """Return the load since the last sample, and have GPUs and heat read for the next one.

        Args:
            own_pids: Our processes: the daemon and its children.
            gpu_workers: Those of them that hold a GPU, by device.
            is_gpu_busy: Whether these worked since the last sample.
        """
        import psutil  # 20 ms: only after the sockets answer

        if self._usage is None:
            self._usage = _Usage(psutil)
        cpu, own_cpu, own_memory = self._usage.read(own_pids)
        memory = psutil.virtual_memory()
        report, throttled = self._slow.latest()
        self._slow.ask(gpu_workers or {}, is_busy=is_gpu_busy)
        return LoadSample(
            taken=datetime.now(UTC),
            monotonic_s=self._clock(),
            cpu_fraction=cpu,
            own_cpu_fraction=own_cpu,
            memory_total_bytes=int(memory.total),
            memory_available_bytes=int(memory.available),
            own_memory_bytes=own_memory,
            gpus=report.gpus,
            is_throttled=throttled,
            nvml=report.status,
            is_gpu_read=report.is_read,
        )

    def refresh_gpus(
        self, gpu_workers: Workers | None = None, *, wake: bool = False, timeout_s: float = 5.0
    ) -> GpuReport:
        """Return the GPUs as they are now; waits for it, so not for the loop's own thread.

        Args:
            gpu_workers: Our processes on each device.
            wake: Ask also a GPU that sleeps, because it is about to be used.
            timeout_s: Greatest wait; after it the last known is returned.
        """
        end = time.monotonic() + timeout_s
        while self._slow.wait(max(0.0, end - time.monotonic())):
            if self._slow.ask(gpu_workers or {}, is_busy=False, wake=wake):
                self._slow.wait(max(0.0, end - time.monotonic()))
                break
        return self._slow.latest()[0]

    def close(self, timeout_s: float = 2.0) -> bool:
        """End the monitor's thread; False where it hangs in the driver and was left behind."""
        return self._slow.close(timeout_s)


class _Usage:
    """Shares of the processor between two readings, of everybody and of ours."""

    def __init__(self, module: ModuleType) -> None:
        self._psutil: Any = module
        self._pid = os.getpid()
        self._busy_s, self._total_s = _busy_and_total(self._psutil.cpu_times())
        self._cores: int = self._psutil.cpu_count() or 1
        self._own_s: dict[int, float] = {}
        self._processes: dict[int, psutil.Process] = {}
        self._last = (0.0, 0.0)

    def read(self, own_pids: Collection[int]) -> tuple[float, float, int]:
        busy_s, total_s = _busy_and_total(self._psutil.cpu_times())
        spent_s, own_memory = self._own(own_pids)
        passed_s = total_s - self._total_s
        if passed_s < MIN_INTERVAL_S * self._cores:
            self._own_s = spent_s | self._own_s  # from now on counts what is new
            return (*self._last, own_memory)
        cpu = min(1.0, max(0.0, (busy_s - self._busy_s) / passed_s))
        own = sum(max(0.0, spent - self._own_s.get(pid, spent)) for pid, spent in spent_s.items())
        self._busy_s, self._total_s, self._own_s = busy_s, total_s, spent_s
        self._last = (cpu, min(cpu, own / passed_s))
        return (*self._last, own_memory)

    def _own(self, own_pids: Collection[int]) -> tuple[dict[int, float], int]:
        spent_s: dict[int, float] = {}
        memory = 0
        kept: dict[int, psutil.Process] = {}
        for pid in own_pids:
            try:
                process = self._processes.get(pid) or self._psutil.Process(pid)
                times = process.cpu_times()
                used = process.memory_info()
            except self._psutil.Error:
                continue  # it has ended
            kept[pid] = process
            spent_s[pid] = times.user + times.system
            if pid != self._pid:
                # What a worker's forked children spent. The daemon's own would add the whole life of each worker
                # that ends, at one stroke.
                spent_s[pid] += times.children_user + times.children_system
            memory += max(0, used.rss - getattr(used, "shared", 0))
        self._processes = kept
        return spent_s, memory


def _busy_and_total(times: Any) -> tuple[float, float]:
    """Seconds of all cores since the start of the machine: worked, and altogether."""
    fields = times._asdict()
    # Linux counts a guest's time in `user` too; macOS and Windows have neither.
    total = sum(fields.values()) - fields.get("guest", 0.0) - fields.get("guest_nice", 0.0)
    return total - fields.get("idle", 0.0) - fields.get("iowait", 0.0), total
