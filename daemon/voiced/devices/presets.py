"""What each tier of hardware is set to, and what is chosen from it and the user's own settings.

The numbers stand in `presets.toml`, each with its source; it is read when first asked for. All decisions here are pure
functions of plain values. Gradient checkpointing is no setting: it is always off, it only costs an inference time.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from voiced.devices.hardware import Hardware, tier_of
from voiced.devices.load import LoadSample

MEMORY_CRITICAL_FRACTION = 0.85
"""S4 2.1.0: memory critical above it."""
CPU_MAXED_FRACTION = 0.90
"""S4 2.1.0: processor maxed above it."""
SAFE_FRACTION = 0.80
"""S4 2.1.0: a text is safe when its estimate is below this share of the available memory."""
LOW_MEMORY_BYTES = 6 * 2**30
"""S4 2.1.0: below it weights are quantised whatever the tier says. Weight-only int8 stands for the source's INT4."""
_BF16_CAPABILITY = (8, 0)
"""GPUs before Ampere compute bf16 in software."""


class Preset(NamedTuple):
    """The settings of a tier; units as in `presets.toml`."""

    tier: str
    device: str
    precision: str
    quantization: str
    max_segment_chars: int
    threads: int
    affinity: tuple[int, ...]
    expected_rtf: tuple[float, float]
    """Best and worst, from the source; shown as such until this machine has measured its own."""
    memory_margin_gb: float
    cache_gb: float
    base_mb: int
    per_100_tokens_mb: int
    bf16_from_capability: str = ""
    """From this compute capability on bf16 instead of `precision`; empty = never."""
    hot_cpu_fraction: float = 1.0
    """Use of the processor above which heat is likely to slow the machine."""


class Wanted(NamedTuple):
    """What the user's settings say; `auto` and 0 leave it to the preset."""

    precision: str = "auto"
    quantization: str = "auto"
    torch_compile: str = "auto"
    threads: int = 0
    segment_chars: int = 0


class RunSettings(NamedTuple):
    """How a model is run on a device."""

    tier: str
    device: str
    precision: str
    quantization: str
    max_segment_chars: int
    threads: int
    is_compiled: bool
    notes: tuple[str, ...] = ()
    """What differs from what was wanted, and why."""


@cache
def presets() -> dict[str, Preset]:
    """Return the presets of all tiers."""
    import tomllib

    tables = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
    return {tier: _preset(tier, table) for tier, table in tables.items()}


def _preset(tier: str, table: dict[str, object]) -> Preset:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Preset(tier=tier, **values)  # type: ignore[arg-type]


def choose_settings(hardware: Hardware, device: str, wanted: Wanted | None = None) -> RunSettings:
    """Return how a model is run on `device` of this machine.

    Args:
        hardware: The machine.
        device: `cpu`, `cuda:N` or `mps`: where it will run.
        wanted: What the user's settings say.
    """
    wanted = wanted or Wanted()
    preset = presets()[tier_of(hardware, device)]
    notes: list[str] = []
    quantization = _quantization(preset, hardware, device, wanted, notes)
    precision = _precision(preset, hardware, device, wanted, notes)
    is_compiled, reason = may_compile(hardware, device, wanted.torch_compile)
    if wanted.torch_compile == "true" and reason:
        notes.append(reason)
    threads = wanted.threads or preset.threads or hardware.physical_cores
    return RunSettings(
        tier=preset.tier,
        device=device,
        precision=precision,
        quantization=quantization,
        max_segment_chars=wanted.segment_chars or preset.max_segment_chars,
        threads=max(1, min(threads, hardware.logical_cores)),
        is_compiled=is_compiled,
        notes=tuple(notes),
    )


def _quantization(preset: Preset, hardware: Hardware, device: str, wanted: Wanted, notes: list[str]) -> str:
    if device == "mps":
        if wanted.quantization == "int8":
            notes.append("int8 is not used on Apple's GPU: it would run on the CPU, 40 times slower")
        return "none"
    if wanted.quantization != "auto":
        return wanted.quantization
    if device == "cpu":
        if hardware.memory_bytes and hardware.memory_bytes < LOW_MEMORY_BYTES:
            notes.append("this machine has less than 6 GB of memory: weights are quantised to int8")
        return "int8"
    return preset.quantization


def _precision(preset: Preset, hardware: Hardware, device: str, wanted: Wanted, notes: list[str]) -> str:
    capability = next(
        (_version(gpu.compute_capability) for gpu in hardware.gpus if gpu.device == device), (0, 0)
    )
    if wanted.precision == "bf16" and device.startswith("cuda") and (0, 0) < capability < _BF16_CAPABILITY:
        notes.append(f"bf16 needs compute capability 8.0, this GPU has {capability[0]}.{capability[1]}: fp16")
        return "fp16"
    if wanted.precision != "auto":
        return wanted.precision
    if device == "cpu":
        return "fp32"
    if preset.bf16_from_capability and capability >= _version(preset.bf16_from_capability):
        return "bf16"
    return preset.precision


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def may_compile(hardware: Hardware, device: str, wanted: str = "auto") -> tuple[bool, str]:
    """Return whether torch.compile is used, and why not.

    Args:
        hardware: The machine.
        device: Where the model will run.
        wanted: `auto`, `true` or `false`; `force` is FORCE_TORCH_COMPILE=1 and overrides everything.

    S4 2.2.1: on for Linux and WSL2 with an NVIDIA GPU; off on macOS, where it hangs and spawns over 100 processes,
    and on native Windows (1.5.0: 3 minutes to start).
    """
    if wanted == "force":
        return True, ""
    if wanted == "false":
        return False, "torch.compile is switched off"
    if hardware.system != "Linux":
        name = {"Darwin": "macOS"}.get(hardware.system, hardware.system)
        return False, f"torch.compile is not used on {name}: FORCE_TORCH_COMPILE=1 forces it"
    if not device.startswith("cuda"):
        return False, "torch.compile is only used on NVIDIA GPUs: FORCE_TORCH_COMPILE=1 forces it"
    return True, ""


# -- pressure -----------------------------------------------------------------------------------------


class Pressure(NamedTuple):
    """What is short on this machine now."""

    is_memory_critical: bool = False
    is_cpu_maxed: bool = False
    is_hot: bool = False

    @property
    def advice(self) -> str:
        """What to do, the most urgent first; `ok` where nothing is short."""
        if self.is_memory_critical:
            return "shorten the text or clear the caches: voiced cache clear"
        if self.is_hot:
            return "let the machine cool down"
        return "lower the load of the processor: close other programs" if self.is_cpu_maxed else "ok"


def pressure_of(sample: LoadSample, preset: Preset) -> Pressure:
    """Return what is short; here everybody counts, us included."""
    return Pressure(
        is_memory_critical=sample.memory_fraction > MEMORY_CRITICAL_FRACTION,
        is_cpu_maxed=sample.cpu_fraction > CPU_MAXED_FRACTION,
        is_hot=sample.is_throttled or sample.cpu_fraction > preset.hot_cpu_fraction,
    )


def relieved(preset: Preset, pressure: Pressure) -> Preset:
    """Return the preset for a machine under pressure: S4 2.1.0 halves what presses on what is short."""
    if pressure.is_memory_critical:
        chars = max(1, preset.max_segment_chars // 2)
        preset = preset._replace(max_segment_chars=chars, cache_gb=preset.cache_gb / 2)
    if pressure.is_cpu_maxed and preset.threads:
        preset = preset._replace(threads=max(1, preset.threads // 2))
    return preset


def is_safe(estimate_bytes: int, available_bytes: int) -> bool:
    """Return whether an estimated need fits into the available memory with room to spare."""
    return estimate_bytes < SAFE_FRACTION * available_bytes
