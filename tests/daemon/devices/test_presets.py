import re
from pathlib import Path

import pytest

from tests.daemon.devices.fakes import GB, sample
from voiced.devices import presets as module
from voiced.devices.hardware import TIERS, GpuInfo, Hardware
from voiced.devices.presets import (
    Pressure,
    RunSettings,
    Wanted,
    choose_settings,
    is_safe,
    may_compile,
    presets,
    pressure_of,
    relieved,
)

I5 = Hardware("Linux", "x86_64", "Intel(R) Core(TM) i5-8250U", 4, 8, 16 * GB)
AIR = Hardware("Darwin", "arm64", "Apple M1", 8, 8, 8 * GB)


def with_gpu(memory_gb: float, capability: str = "8.6", system: str = "Linux") -> Hardware:
    gpu = GpuInfo(0, memory_bytes=int(memory_gb * 2**30), compute_capability=capability)
    return I5._replace(gpus=(gpu,), system=system)


def test_every_tier_has_a_preset_and_no_other() -> None:
    assert set(presets()) == set(TIERS)


def test_every_number_names_its_source() -> None:
    text = (Path(module.__file__).with_name("presets.toml")).read_text()
    for line in text.splitlines():
        if re.match(r"[a-z0-9_]+ = ", line) and not line.startswith("device"):
            assert re.search(r"# (S4 \d\.\d\.\d|ours)", line), line


@pytest.mark.parametrize(
    ("tier", "chars", "threads", "quantization", "worst_rtf"),
    [
        ("raspberry_pi", 100, 0, "int8", 20.0),
        ("m1_air", 150, 4, "none", 2.4),
        ("m1_pro", 400, 0, "none", 2.0),
        ("intel_i5", 300, 6, "int8", 25.0),
        ("intel_i7", 500, 0, "int8", 20.0),
        ("amd_ryzen", 350, 8, "int8", 20.0),
        ("gpu_low", 600, 0, "int8", 3.0),
        ("gpu_mid", 1000, 0, "int8", 1.2),
        ("gpu_high", 2000, 0, "none", 0.8),
    ],
)
def test_the_numbers_of_the_sources(
    tier: str, chars: int, threads: int, quantization: str, worst_rtf: float
) -> None:
    preset = presets()[tier]
    assert (preset.max_segment_chars, preset.threads, preset.quantization) == (chars, threads, quantization)
    assert preset.expected_rtf[1] == worst_rtf


def test_margins_and_affinity_of_the_sources() -> None:
    air, i5 = presets()["m1_air"], presets()["intel_i5"]
    assert (air.memory_margin_gb, air.cache_gb, air.base_mb, air.per_100_tokens_mb) == (1.5, 1.0, 2000, 50)
    assert (i5.memory_margin_gb, i5.cache_gb, i5.base_mb, i5.per_100_tokens_mb) == (2.0, 1.5, 2500, 60)
    assert i5.affinity == (0, 1)
    assert presets()["amd_ryzen"].affinity == (0, 2, 4)


@pytest.mark.parametrize(
    ("hardware", "device", "precision", "quantization", "chars"),
    [
        (with_gpu(16, "7.0"), "cuda:0", "fp16", "none", 2000),  # V100
        (with_gpu(40, "8.0"), "cuda:0", "fp16", "none", 2000),  # A100
        (with_gpu(24, "8.9"), "cuda:0", "bf16", "none", 2000),  # RTX 4090
        (with_gpu(24, "8.6"), "cuda:0", "fp16", "none", 2000),  # RTX 3090
        (with_gpu(24, "12.0"), "cuda:0", "bf16", "none", 2000),
        (with_gpu(24, ""), "cuda:0", "fp16", "none", 2000),
        (with_gpu(8, "8.6"), "cuda:0", "fp16", "int8", 1000),  # RTX 3060
        (with_gpu(6, "7.5"), "cuda:0", "fp16", "int8", 600),  # GTX 1660
        (with_gpu(24, "8.9"), "cpu", "fp32", "int8", 300),
        (I5, "cpu", "fp32", "int8", 300),
        (AIR, "mps", "fp16", "none", 150),
        (AIR, "cpu", "fp32", "int8", 150),
    ],
)
def test_settings_follow_the_hardware(
    hardware: Hardware, device: str, precision: str, quantization: str, chars: int
) -> None:
    settings = choose_settings(hardware, device)
    assert (settings.precision, settings.quantization, settings.max_segment_chars) == (
        precision,
        quantization,
        chars,
    )
    assert settings.notes == ()


def test_what_the_user_wants_holds() -> None:
    wanted = Wanted(precision="fp32", quantization="none", torch_compile="false", threads=2, segment_chars=80)
    assert choose_settings(with_gpu(8), "cuda:0", wanted) == RunSettings(
        "gpu_mid", "cuda:0", "fp32", "none", 80, 2, False
    )


def test_int8_is_never_used_on_mps() -> None:
    settings = choose_settings(AIR, "mps", Wanted(quantization="int8"))
    assert settings.quantization == "none"
    assert "int8" in settings.notes[0]


def test_bf16_is_not_used_where_the_gpu_has_none() -> None:
    settings = choose_settings(with_gpu(16, "7.0"), "cuda:0", Wanted(precision="bf16"))
    assert settings.precision == "fp16"
    assert "7.0" in settings.notes[0]
    assert choose_settings(with_gpu(16, "8.0"), "cuda:0", Wanted(precision="bf16")).precision == "bf16"


def test_little_memory_is_told() -> None:
    settings = choose_settings(I5._replace(memory_bytes=4 * GB), "cpu")
    assert settings.quantization == "int8"
    assert "less than 6 GB" in settings.notes[0]


def test_threads_never_exceed_the_machine() -> None:
    assert choose_settings(I5, "cpu").threads == 6
    assert choose_settings(I5._replace(physical_cores=2, logical_cores=4), "cpu").threads == 4
    assert choose_settings(I5, "cpu", Wanted(threads=99)).threads == 8
    assert choose_settings(Hardware("Linux", "x86_64", "", 3, 3, 0), "cpu").threads == 3


@pytest.mark.parametrize(
    ("system", "device", "wanted", "compiled"),
    [
        ("Linux", "cuda:0", "auto", True),
        ("Linux", "cuda:0", "false", False),
        ("Linux", "cpu", "auto", False),
        ("Linux", "cpu", "true", False),
        ("Linux", "cpu", "force", True),
        ("Darwin", "mps", "auto", False),
        ("Darwin", "mps", "true", False),
        ("Darwin", "mps", "force", True),
        ("Windows", "cuda:0", "true", False),
        ("Windows", "cuda:0", "force", True),
    ],
)
def test_the_rule_of_torch_compile(system: str, device: str, wanted: str, compiled: bool) -> None:
    is_compiled, reason = may_compile(I5._replace(system=system), device, wanted)
    assert is_compiled is compiled
    assert bool(reason) is not compiled


def test_wsl_with_a_gpu_compiles() -> None:
    assert choose_settings(with_gpu(8)._replace(is_wsl=True), "cuda:0").is_compiled


def test_a_refused_compile_is_told_only_when_it_was_wanted() -> None:
    assert choose_settings(AIR, "mps", Wanted(torch_compile="true")).notes
    assert not choose_settings(AIR, "mps").notes


@pytest.mark.parametrize(
    ("tier", "cpu", "memory", "throttled", "advice"),
    [
        ("intel_i5", 0.5, 0.5, False, "ok"),
        ("intel_i5", 0.90, 0.85, False, "ok"),
        ("intel_i5", 0.95, 0.5, False, "lower the load"),
        ("intel_i5", 0.95, 0.9, False, "shorten the text"),
        ("m1_air", 0.75, 0.5, False, "cool down"),
        ("intel_i5", 0.75, 0.5, False, "ok"),
        ("intel_i5", 0.2, 0.5, True, "cool down"),
    ],
)
def test_pressure_and_what_to_do(tier: str, cpu: float, memory: float, throttled: bool, advice: str) -> None:
    taken = sample(0.0, cpu=cpu, memory=memory)._replace(is_throttled=throttled)
    assert advice in pressure_of(taken, presets()[tier]).advice


def test_pressure_halves_what_presses() -> None:
    preset = presets()["intel_i5"]
    assert relieved(preset, Pressure()) == preset
    assert relieved(preset, Pressure(is_memory_critical=True)) == preset._replace(
        max_segment_chars=150, cache_gb=0.75
    )
    assert relieved(preset, Pressure(is_cpu_maxed=True)) == preset._replace(threads=3)


def test_safe_is_below_four_fifths() -> None:
    assert is_safe(799, 1000)
    assert not is_safe(800, 1000)
