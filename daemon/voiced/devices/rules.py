"""The rules of the device selector: where a model should be by the load alone. Pure.

Only load that is not our own counts. The first rule that applies (percentages of S4 2.5.0):

1. an engine without a GPU path stays on the CPU; a locked device is obeyed and never left
2. on a GPU: lost -> another device at once; GPU > 85 % or VRAM > 90 % -> another free GPU, else the CPU
3. on the CPU, with a GPU that is free and has room: CPU > 90 % -> GPU; RAM > 85 % -> GPU (not where GPU and CPU share
   it); and back to the GPU once that has been so for a while
4. else it stays

A GPU is free up to 60 % of use and 75 % of its memory, far below the limits for leaving it: that gap is the hysteresis.
"""

import math
from enum import Enum
from typing import NamedTuple

from voiced.devices.gpu import GpuLoad, GpuState
from voiced.devices.hardware import GB
from voiced.devices.load import LoadSample


class Rule(Enum):
    """Why a decision fell as it did."""

    NO_GPU_PATH = "no-gpu-path"
    LOCKED = "locked"
    NO_GPU = "no-gpu"
    GPU_LOST = "gpu-lost"
    GPU_UNKNOWN = "gpu-unknown"
    GPU_BUSY = "gpu-busy"
    VRAM_FULL = "vram-full"
    CPU_BUSY = "cpu-busy"
    MEMORY_FULL = "memory-full"
    GPU_FREE = "gpu-free"
    FIRST = "first"
    """The model is not loaded: where it should be."""
    KEEP = "keep"
    NO_ROOM = "no-room"
    """It should leave the GPU, and the memory has no room for it."""
    SETTLING = "settling"
    """It should move, once this has lasted."""
    DWELL = "dwell"
    """It should move, and was moved too short ago."""
    RATE_LIMIT = "rate-limit"
    """It should move, and was moved too often."""
    IN_TURN = "in-turn"
    """It should move, after another model."""
    IDLE = "idle"
    """It should move, and nobody uses it: it stays as it is until it is loaded again."""


class Placement(NamedTuple):
    """A model, where it is, and what it needs."""

    model: str
    device: str
    """`cpu`, `cuda:N` or `mps`; empty = not loaded."""
    has_gpu_path: bool = True
    needs_vram_bytes: int = 0
    needs_memory_bytes: int = 0
    """On the CPU."""
    min_vram_gb: float = 0.0
    """Least memory of the whole GPU, in 1e9 bytes as cards are sold; 6.0 for openaudio-s1-mini (S4 2.5.2)."""
    since_s: float = -math.inf
    """Monotonic time since which it is there."""
    is_idle: bool = False
    """Loaded, and no job wants it."""


class Policy(NamedTuple):
    """What holds for all decisions; shares lie in [0, 1]."""

    lock: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps`, checked by `lock.resolve_device`."""
    is_unified_memory: bool = False
    """GPU and CPU share one memory (Apple)."""
    leave_gpu_fraction: float = 0.85
    leave_vram_fraction: float = 0.90
    leave_cpu_fraction: float = 0.90
    leave_memory_fraction: float = 0.85
    enter_gpu_fraction: float = 0.60
    enter_vram_fraction: float = 0.75
    dwell_s: float = 60.0
    max_switches: int = 6
    rate_window_s: float = 3600.0
    settle_samples: int = 2
    """So many samples in a row before load moves a model: one peak does not."""
    return_samples: int = 6
    """So many before it goes back to a GPU that is free: half a minute at 5 s."""


class Wish(NamedTuple):
    """Where a model should be by the load alone."""

    device: str
    rule: Rule
    reason: str


def wish_of(sample: LoadSample, placement: Placement, policy: Policy) -> Wish:
    """Return where the rules want a model, without regard to the past."""
    if not placement.has_gpu_path:
        return Wish("cpu", Rule.NO_GPU_PATH, "this engine runs on the CPU only")
    if policy.lock != "auto":
        return _locked(sample, placement, policy)
    if is_gpu(placement.device):
        return _on_gpu(sample, placement, policy)
    return _on_cpu(sample, placement, policy)


def is_gpu(device: str) -> bool:
    """Return whether a device is a GPU."""
    return device not in ("", "cpu")


def _locked(sample: LoadSample, placement: Placement, policy: Policy) -> Wish:
    lock = policy.lock
    if lock == "cpu":
        return Wish("cpu", Rule.LOCKED, "locked to cpu")
    if placement.device == lock or placement.device.partition(":")[0] == lock:
        device = placement.device
    else:
        device = _locked_gpu(sample, lock)
    gpu = sample.gpu(device)
    if gpu is not None and gpu.state is GpuState.LOST:
        return Wish("cpu", Rule.GPU_LOST, f"locked to {lock}, but {device} is lost: the CPU serves meanwhile")
    warning = ""
    if gpu is not None and not is_gpu(placement.device):
        warning = _no_memory(gpu, sample, placement)
    return Wish(device, Rule.LOCKED, f"locked to {lock}{f', although {warning}' if warning else ''}")


def _locked_gpu(sample: LoadSample, lock: str) -> str:
    """The GPU that a lock means: `cuda` is the one with the most free memory."""
    meant = [gpu for gpu in sample.gpus if lock == gpu.device.partition(":")[0]]
    if not meant:
        return "cuda:0" if lock == "cuda" else lock
    usable = [gpu for gpu in meant if gpu.state is not GpuState.LOST] or meant
    return max(usable, key=lambda gpu: (gpu.free_memory_bytes or 0, -gpu.number)).device


def _on_gpu(sample: LoadSample, placement: Placement, policy: Policy) -> Wish:
    device = placement.device
    gpu = sample.gpu(device)
    if gpu is None and not sample.is_gpu_read:
        return Wish(device, Rule.GPU_UNKNOWN, "the GPUs are not read yet")
    if gpu is None or gpu.state is GpuState.LOST:
        target = _free_gpu(sample, placement, policy)
        return Wish(target or "cpu", Rule.GPU_LOST, f"{device} is lost")
    used, memory = gpu.other_utilisation, gpu.other_memory_fraction
    if used is not None and used > policy.leave_gpu_fraction:
        return _leave(sample, placement, policy, Wish(device, Rule.GPU_BUSY, f"GPU at {_percent(used)}"))
    if memory is not None and memory > policy.leave_vram_fraction:
        return _leave(sample, placement, policy, Wish(device, Rule.VRAM_FULL, f"VRAM at {_percent(memory)}"))
    if used is None and memory is None:
        return Wish(device, Rule.GPU_UNKNOWN, f"the load of {device} by others cannot be told")
    return Wish(device, Rule.KEEP, f"GPU at {_percent(used)}, VRAM at {_percent(memory)}")


def _leave(sample: LoadSample, placement: Placement, policy: Policy, wish: Wish) -> Wish:
    other = _free_gpu(sample, placement, policy)
    if other:
        return wish._replace(device=other)
    if placement.needs_memory_bytes > sample.memory_available_bytes and not placement.is_idle:
        return wish._replace(
            rule=Rule.NO_ROOM,
            reason=f"{wish.reason}, but the CPU has {_gb(sample.memory_available_bytes)} of memory free and the model "
            f"needs {_gb(placement.needs_memory_bytes)}",
        )
    return wish._replace(device="cpu")


def _on_cpu(sample: LoadSample, placement: Placement, policy: Policy) -> Wish:
    is_first = not placement.device
    refusal = _refusal(sample, placement, policy)
    target = "" if refusal else _free_gpu(sample, placement, policy)
    if is_first:
        if target:
            return Wish(target, Rule.FIRST, f"{target} is free and has room")
        return Wish("cpu", Rule.FIRST, refusal)
    if not sample.gpus:
        return Wish("cpu", Rule.NO_GPU, refusal)
    cpu, memory = sample.other_cpu_fraction, sample.other_memory_fraction
    state = f"CPU at {_percent(cpu)}, memory at {_percent(memory)}"
    if not target:
        return Wish("cpu", Rule.KEEP, f"{state}; {refusal}")
    if cpu > policy.leave_cpu_fraction:
        return Wish(target, Rule.CPU_BUSY, f"CPU at {_percent(cpu)}, {target} is free")
    if memory > policy.leave_memory_fraction and not policy.is_unified_memory:
        return Wish(target, Rule.MEMORY_FULL, f"memory at {_percent(memory)}, {target} is free")
    gpu = sample.gpu(target)
    used = None if gpu is None else gpu.other_utilisation
    return Wish(target, Rule.GPU_FREE, f"GPU at {_percent(used)}: {target} is free")


def _free_gpu(sample: LoadSample, placement: Placement, policy: Policy) -> str:
    """The GPU with the most free memory of those that may be entered; empty = none."""
    free = [
        gpu
        for gpu in sample.gpus
        if gpu.device != placement.device and not _gpu_refusal(gpu, sample, placement, policy)
    ]
    best = max(free, key=lambda gpu: (gpu.free_memory_bytes or 0, -gpu.number), default=None)
    return "" if best is None else best.device


def _refusal(sample: LoadSample, placement: Placement, policy: Policy) -> str:
    """Why no GPU may be entered; empty where one may."""
    if not sample.gpus:
        return sample.nvml if sample.is_gpu_read else "the GPUs are not read yet"
    reasons = [_gpu_refusal(gpu, sample, placement, policy) for gpu in sample.gpus]
    return "" if "" in reasons else "; ".join(reasons)


def _gpu_refusal(gpu: GpuLoad, sample: LoadSample, placement: Placement, policy: Policy) -> str:
    if gpu.state is GpuState.LOST:
        return f"{gpu.device} is lost"
    used, memory = gpu.other_utilisation, gpu.other_memory_fraction
    if gpu.state is GpuState.UNKNOWN or used is None:
        return f"the load of {gpu.device} cannot be read"
    if used > policy.enter_gpu_fraction:
        return f"{gpu.device}: GPU at {_percent(used)}"
    no_memory = _no_memory(gpu, sample, placement)
    if no_memory:
        return no_memory
    if memory is not None and memory > policy.enter_vram_fraction:
        return f"{gpu.device}: VRAM at {_percent(memory)}"
    return ""


def _no_memory(gpu: GpuLoad, sample: LoadSample, placement: Placement) -> str:
    """Why a model does not fit on a GPU; empty where it does."""
    total, free, needed = gpu.memory_total_bytes, gpu.free_memory_bytes, placement.min_vram_gb
    if gpu.device == "mps":
        total = free = sample.memory_available_bytes
    elif total is not None and total < needed * GB:
        return f"{gpu.device} has {_gb(total)}, the model needs {needed:.1f} GB: the CPU is better"
    if total is None or free is None:
        return f"the memory of {gpu.device} is not known"
    if free < placement.needs_vram_bytes:
        return f"{gpu.device} has {_gb(free)} free of {_gb(total)}, the model needs {_gb(placement.needs_vram_bytes)}"
    return ""


def _percent(fraction: float | None) -> str:
    return "?" if fraction is None else f"{fraction * 100:.1f} %"


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / GB:.2f} GB"
