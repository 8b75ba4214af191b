"""What the machine is: processor, cores, memory, GPUs, and the tier that its presets follow.

Read without torch and without waking a sleeping GPU: GPUs are listed from the kernel's own files, which are cached
there. What only the driver knows (memory, compute capability) stays unknown until `nvml` was allowed to ask it, and
is then filled in by `with_details`. Files, programs and the environment come in through a `HardwareProbe`.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from voiced_ipc.messages import HardwareInfo

NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"
GB = 10**9
"""Cards are sold by it: one of `6 GB` has 6.4e9 bytes, and less than 6 GiB once the driver took its part."""
MIN_GPU_BYTES = 6 * GB
"""A smaller GPU swaps and is slower than the CPU (S4 2.5.2: 4 GB gave RTF 40-60, the CPU 6-8)."""

CPU_TIERS = ("raspberry_pi", "m1_air", "m1_pro", "intel_i5", "intel_i7", "amd_ryzen", "cpu_generic")
GPU_TIERS = ("gpu_low", "gpu_mid", "gpu_high")
TIERS = (*CPU_TIERS, *GPU_TIERS)


class GpuInfo(NamedTuple):
    """A GPU that models can run on."""

    number: int
    """It is `cuda:<number>`: counted within `CUDA_VISIBLE_DEVICES`, in the order of the bus without it."""
    place: int = 0
    """Its place on the bus, as NVML and nvidia-smi count."""
    name: str = ""
    memory_bytes: int = 0
    """0 = not known yet: nobody was allowed to ask the driver."""
    compute_capability: str = ""
    """As `8.9`; empty = not known yet."""
    bus: str = ""
    """The PCI address, as `0000:01:00.0`; empty where the system shows none (WSL2)."""
    uuid: str = ""

    @property
    def device(self) -> str:
        """What voiced calls it."""
        return f"cuda:{self.number}"


class Hardware(NamedTuple):
    """The machine."""

    system: str
    """`Linux`, `Darwin` or `Windows`."""
    machine: str
    """`x86_64`, `aarch64`, `arm64` ..."""
    cpu_model: str
    physical_cores: int
    logical_cores: int
    memory_bytes: int
    board: str = ""
    """Model of the computer, where the system tells: `MacBookAir10,1`, `Raspberry Pi 4 Model B`."""
    is_wsl: bool = False
    gpus: tuple[GpuInfo, ...] = ()

    @property
    def is_apple_silicon(self) -> bool:
        """Whether processor and GPU are Apple's and share one memory."""
        return self.system == "Darwin" and self.cpu_model.startswith("Apple")

    @property
    def has_mps(self) -> bool:
        """Whether torch can use Apple's GPU; a Python that runs under Rosetta cannot."""
        return self.is_apple_silicon and self.machine == "arm64"


class HardwareProbe(NamedTuple):
    """Where the machine is read: the real one by `local_probe`, another in tests."""

    system: str
    machine: str
    root: Path
    """Where `proc` and `sys` lie."""
    run: Callable[[Sequence[str]], str]
    """Runs a program and returns what it printed; empty where it could not."""
    environ: Mapping[str, str]
    cores: int


def local_probe() -> HardwareProbe:
    """Return the probe of this machine."""
    import platform  # here and below: this module is imported before the sockets answer

    return HardwareProbe(
        system=platform.system(),
        machine=platform.machine(),
        root=Path("/"),
        run=run_program,
        environ=os.environ,
        cores=os.cpu_count() or 1,
    )


def run_program(command: Sequence[str], timeout_s: float = 5.0) -> str:
    """Return what a program printed; empty where it is missing, fails or takes too long."""
    import subprocess

    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout


def read_text(path: Path) -> str:
    """Return a small file of the system without white space around it; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().strip("\0")
    except OSError:
        return ""


def read_hardware(probe: HardwareProbe | None = None) -> Hardware:
    """Return what the machine is; never raises, what cannot be found out stays empty or 0.

    Args:
        probe: Where to look; None = this machine.
    """
    probe = probe or local_probe()
    return _read_macos(probe) if probe.system == "Darwin" else _read_linux(probe)


def _read_macos(probe: HardwareProbe) -> Hardware:
    names = ("machdep.cpu.brand_string", "hw.physicalcpu", "hw.logicalcpu", "hw.memsize", "hw.model")
    lines = probe.run(("sysctl", *names)).splitlines()
    values = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Hardware(
        system=probe.system,
        machine=probe.machine,
        cpu_model=values.get(names[0], ""),
        physical_cores=_int(values.get(names[1], "")) or probe.cores,
        logical_cores=_int(values.get(names[2], "")) or probe.cores,
        memory_bytes=_int(values.get(names[3], "")),
        board=values.get(names[4], ""),
    )


def _read_linux(probe: HardwareProbe) -> Hardware:
    cpuinfo = read_text(probe.root / "proc/cpuinfo")
    kernel = read_text(probe.root / "proc/version").lower()
    return Hardware(
        system=probe.system,
        machine=probe.machine,
        cpu_model=_cpu_model(cpuinfo) or probe.machine,
        physical_cores=_physical_cores(probe.root) or probe.cores,
        logical_cores=probe.cores,
        memory_bytes=_memory(probe.root),
        board=read_text(probe.root / "proc/device-tree/model") or _field(cpuinfo, "Model"),
        is_wsl="microsoft" in kernel or "wsl" in kernel,
        gpus=list_gpus(probe.root, probe.environ),
    )


def _cpu_model(cpuinfo: str) -> str:
    # x86 says `model name`; some ARM kernels `Hardware`; others only the board's model.
    return _field(cpuinfo, "model name") or _field(cpuinfo, "Hardware") or _field(cpuinfo, "Model")


def _field(text: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:[ \t]*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _int(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _physical_cores(root: Path) -> int:
    cores = set()
    for topology in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology"):
        core = read_text(topology / "core_id")
        if core:
            cores.add((read_text(topology / "physical_package_id"), core))
    return len(cores)


def _memory(root: Path) -> int:
    """Memory of the machine, or what this control group may use of it, where that is less."""
    total = _int(_field(read_text(root / "proc/meminfo"), "MemTotal").removesuffix(" kB")) * 1024
    group = read_text(root / "proc/self/cgroup").rpartition("0::/")[2].splitlines()
    base = root / "sys/fs/cgroup"
    folder = base / group[0] if group else base
    limits = [total]
    while folder.is_relative_to(base):
        limits.append(_int(read_text(folder / "memory.max")))
        folder = folder.parent
    return min((limit for limit in limits if limit), default=0)


# -- GPUs ---------------------------------------------------------------------------------------------


def list_gpus(root: Path, environ: Mapping[str, str]) -> tuple[GpuInfo, ...]:
    """Return the NVIDIA GPUs that have a driver and that `CUDA_VISIBLE_DEVICES` leaves, without waking one.

    Only files that the kernel answers from its own memory are read (`vendor`, `class`; never `config`).

    Args:
        root: Where `proc` and `sys` lie.
        environ: The environment.
    """
    found = [_gpu(root, place, bus) for place, bus in enumerate(sorted(_buses(root)))]
    if not found:
        # A sandbox may hide the bus and show the driver's nodes; WSL2 hides both. NVML will tell the rest.
        nodes = sorted(_int(node.name.removeprefix("nvidia")) for node in (root / "dev").glob("nvidia[0-9]*"))
        is_wsl = (root / "dev/dxg").exists() and (root / "usr/lib/wsl/lib/libcuda.so.1").exists()
        found = [GpuInfo(number=place, place=place) for place in nodes or ([0] if is_wsl else [])]
    return tuple(_visible(found, environ.get("CUDA_VISIBLE_DEVICES")))


def _buses(root: Path) -> list[str]:
    try:
        devices = list((root / "sys/bus/pci/devices").iterdir())
    except OSError:
        return []
    return [
        device.name
        for device in devices
        if read_text(device / "vendor") == NVIDIA_VENDOR
        and read_text(device / "class").startswith(_DISPLAY_CLASS)
        and (device / "driver").resolve().name == "nvidia"  # not lent to a virtual machine, not nouveau's
    ]


def _gpu(root: Path, place: int, bus: str) -> GpuInfo:
    about = read_text(root / "proc/driver/nvidia/gpus" / bus / "information")
    name, uuid = _field(about, "Model"), _field(about, "GPU UUID")
    return GpuInfo(number=place, place=place, name=name, bus=bus, uuid=uuid)


def _visible(gpus: list[GpuInfo], given: str | None) -> list[GpuInfo]:
    """CUDA's rule: none given = all; entries are places or beginnings of a UUID; the first bad one ends the list."""
    if given is None:
        return gpus
    listed: list[GpuInfo] = []
    for entry in (part.strip() for part in given.split(",")):
        found = [gpu for gpu in gpus if _is_named(gpu, entry)]
        if len(found) != 1 or found[0].place in (gpu.place for gpu in listed):
            break
        listed.append(found[0]._replace(number=len(listed)))
    return listed


def _is_named(gpu: GpuInfo, entry: str) -> bool:
    if entry.isascii() and entry.isdigit():
        return int(entry) == gpu.place
    return entry.startswith("GPU-") and gpu.uuid.startswith(entry)


def with_details(hardware: Hardware, details: Iterable[GpuInfo]) -> Hardware:
    """Return the machine with what the driver told about its GPUs filled in, where it told something."""
    known = {gpu.number: gpu for gpu in details}
    return hardware._replace(gpus=tuple(_merged(gpu, known.get(gpu.number)) for gpu in hardware.gpus))


def _merged(gpu: GpuInfo, news: GpuInfo | None) -> GpuInfo:
    if news is None:
        return gpu
    return gpu._replace(
        name=news.name or gpu.name,
        memory_bytes=news.memory_bytes or gpu.memory_bytes,
        compute_capability=news.compute_capability or gpu.compute_capability,
    )


# -- tiers --------------------------------------------------------------------------------------------


def tier_of(hardware: Hardware, device: str = "auto") -> str:
    """Return the tier whose presets hold for work on `device`.

    Args:
        hardware: The machine.
        device: `auto` = the best there is; `cpu` = as if there were no GPU; `cuda:N` = that GPU, whatever its size.
    """
    if device != "cpu" and not hardware.is_apple_silicon:
        gpu = _gpu_for(hardware, device)
        if gpu is not None:
            return _gpu_tier(gpu)
    return _cpu_tier(hardware)


def _gpu_for(hardware: Hardware, device: str) -> GpuInfo | None:
    named = [gpu for gpu in hardware.gpus if gpu.device == device]
    if named:
        return named[0]
    best = max(hardware.gpus, key=lambda gpu: (gpu.memory_bytes, -gpu.number), default=None)
    if best is None or (device == "auto" and 0 < best.memory_bytes < MIN_GPU_BYTES):
        return None
    return best


def _gpu_tier(gpu: GpuInfo) -> str:
    if gpu.memory_bytes >= 12 * GB:
        return "gpu_high"
    if gpu.memory_bytes >= 8 * GB:
        return "gpu_mid"
    if gpu.memory_bytes:
        return "gpu_low"
    # Asleep and never asked: only its name is known. A wrong guess here costs speed, never memory.
    if re.search(r"\b(3090|4080|4090|5080|5090|V100|A100|H100|H200|A40|L40)", gpu.name):
        return "gpu_high"
    return "gpu_low"


def _cpu_tier(hardware: Hardware) -> str:
    model = hardware.cpu_model
    if "Raspberry Pi" in hardware.board or "Raspberry Pi" in model:
        return "raspberry_pi"
    if hardware.is_apple_silicon:
        return "m1_pro" if re.search(r"\b(Pro|Max|Ultra)\b", model) else "m1_air"
    if "Intel" in model or "Xeon" in model:
        return "intel_i7" if re.search(r"\bi[79]-|Xeon|Ultra [79]\b|Core\S* [79] ", model) else "intel_i5"
    if "AMD" in model:
        return "amd_ryzen"
    return "cpu_generic"


def to_info(hardware: Hardware) -> HardwareInfo:
    """Return the machine as the protocol tells it."""
    gpu = _gpu_for(hardware, "cuda")
    is_apple = hardware.is_apple_silicon
    return HardwareInfo(
        tier=tier_of(hardware),
        cpu_model=hardware.cpu_model,
        physical_cores=hardware.physical_cores,
        logical_cores=hardware.logical_cores,
        memory_bytes=hardware.memory_bytes,
        gpu_name=gpu.name if gpu else f"{hardware.cpu_model} GPU" if is_apple else "",
        # Apple's GPU works in the machine's own memory.
        gpu_memory_bytes=gpu.memory_bytes if gpu else hardware.memory_bytes if is_apple else 0,
        compute_capability=gpu.compute_capability if gpu else "",
        is_wsl=hardware.is_wsl,
    )
