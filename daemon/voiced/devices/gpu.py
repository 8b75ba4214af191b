"""The load of GPUs as values: what NVML or macOS told, and what of it is not our own doing."""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import NamedTuple

from voiced.devices.hardware import GpuInfo
from voiced_ipc.messages import GpuSample

Workers = Mapping[str, Collection[int]]
"""Our processes on each device: `{"cuda:0": [4711]}`."""


class GpuState(Enum):
    """What can be said about a GPU."""

    AWAKE = "awake"
    ASLEEP = "asleep"
    LOST = "lost"
    UNKNOWN = "unknown"


class GpuLoad(NamedTuple):
    """One GPU at one moment; None = not known. Shares lie in [0, 1]."""

    device: str
    number: int
    name: str = ""
    state: GpuState = GpuState.UNKNOWN
    utilisation_fraction: float | None = None
    """Of everybody, us included."""
    own_utilisation_fraction: float | None = 0.0
    """None where the driver does not tell it apart (WSL2, containers) and we were working."""
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    """Of everybody, us included."""
    own_memory_bytes: int | None = 0
    temperature_c: float | None = None
    compute_capability: str = ""
    is_throttled: bool = False

    @property
    def other_utilisation(self) -> float | None:
        """Use by others: what counts as load."""
        if self.state is GpuState.ASLEEP:
            return 0.0
        if self.utilisation_fraction is None or self.own_utilisation_fraction is None:
            return None
        return max(0.0, self.utilisation_fraction - self.own_utilisation_fraction)

    @property
    def other_memory_bytes(self) -> int | None:
        """Memory that others use."""
        if self.state is GpuState.ASLEEP:
            return 0
        if self.memory_used_bytes is None or self.own_memory_bytes is None:
            return None
        return max(0, self.memory_used_bytes - self.own_memory_bytes)

    @property
    def other_memory_fraction(self) -> float | None:
        """Share of the memory that others use."""
        used = self.other_memory_bytes
        return None if used is None or not self.memory_total_bytes else used / self.memory_total_bytes

    @property
    def free_memory_bytes(self) -> int | None:
        """Memory that nobody uses."""
        used = 0 if self.state is GpuState.ASLEEP else self.memory_used_bytes
        if used is None or self.memory_total_bytes is None:
            return None
        return max(0, self.memory_total_bytes - used)

    def forgotten(self) -> "GpuLoad":
        """Return the same GPU with nothing known of its load."""
        return self._replace(
            state=GpuState.UNKNOWN,
            utilisation_fraction=None,
            memory_used_bytes=None,
            temperature_c=None,
            is_throttled=False,
        )

    def to_info(self) -> GpuInfo:
        """Return what it tells about the hardware."""
        return GpuInfo(
            number=self.number,
            name=self.name,
            memory_bytes=self.memory_total_bytes or 0,
            compute_capability=self.compute_capability,
        )

    def to_sample(self) -> GpuSample:
        """Return it as the protocol tells it: without our own part, where that is known."""
        return GpuSample(
            index=self.number,
            name=self.name,
            utilisation_fraction=self.other_utilisation,
            memory_used_bytes=self.other_memory_bytes,
            memory_total_bytes=self.memory_total_bytes,
            temperature_c=self.temperature_c,
            compute_capability=self.compute_capability,
            is_asleep=self.state is GpuState.ASLEEP,
        )


class GpuReport(NamedTuple):
    """All GPUs at one moment, and how they could be read."""

    gpus: tuple[GpuLoad, ...]
    status: str
    """`ok`, or why NVML cannot be read and what to do."""
    is_read: bool = True
    """False before the first reading: nothing is known then, not even that there is no GPU."""

    def forgotten(self, status: str) -> "GpuReport":
        """Return the same GPUs with nothing known of their load."""
        return GpuReport(tuple(gpu.forgotten() for gpu in self.gpus), status)
