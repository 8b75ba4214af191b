"""How a model runs: what the settings want, what the tier is set to, what the model can."""

import pytest

from voiced.devices.hardware import GpuInfo, Hardware
from voiced.devices.presets import Wanted
from voiced.models.catalogue import CATALOGUE, ESPEAK
from voiced.placing import placing_of

GB = 10**9
QWEN = CATALOGUE["qwen3-tts:0.6b"]._replace(
    precisions=("bf16", "fp32", "fp16"), quantizations=("none", "int8")
)
KOKORO = CATALOGUE["kokoro"]._replace(precisions=("fp32",), quantizations=("none",))


def machine(capability: str = "8.6", memory_gb: int = 32, system: str = "Linux") -> Hardware:
    gpu = GpuInfo(number=0, name="NVIDIA RTX", memory_bytes=12 * GB, compute_capability=capability)
    return Hardware(system, "x86_64", "Some CPU", 8, 16, memory_gb * GB, gpus=(gpu,))


@pytest.mark.parametrize(
    ("capability", "wanted", "precision"),
    [("8.6", "auto", "bf16"), ("7.5", "auto", "fp16"), ("7.5", "bf16", "fp16"), ("8.6", "fp32", "fp32")],
)
def test_precision_on_a_gpu(capability: str, wanted: str, precision: str) -> None:
    placing = placing_of(QWEN, "cuda:0", machine(capability), Wanted(precision=wanted))
    assert placing.run.precision == precision
    assert any("capability" in note for note in placing.notes) is (wanted == "bf16")


def test_on_a_cpu_the_precision_that_is_quickest_there() -> None:
    assert placing_of(QWEN, "cpu", machine(), Wanted()).run.precision == "bf16"
    assert placing_of(KOKORO, "cpu", machine(), Wanted()).run.precision == "fp32"
    assert placing_of(QWEN, "cpu", machine(), Wanted(precision="fp32")).run.precision == "fp32"


def test_what_a_model_cannot_is_told_to_who_asked_for_it() -> None:
    placing = placing_of(KOKORO, "cuda:0", machine(), Wanted(precision="fp16", quantization="int8"))
    assert (placing.run.precision, placing.run.quantization) == ("fp32", "none")
    assert [note for note in placing.notes if "not in fp16" in note]
    assert [note for note in placing.notes if "not quantised" in note]
    assert not placing_of(KOKORO, "cpu", machine(), Wanted()).notes


def test_quantisation_where_the_model_can() -> None:
    assert placing_of(QWEN, "cpu", machine(), Wanted()).run.quantization == "int8"
    assert placing_of(QWEN, "cpu", machine(), Wanted(quantization="none")).run.quantization == "none"
    small = machine("7.5", memory_gb=8)
    assert placing_of(QWEN, "cuda:0", small, Wanted(quantization="int8")).run.quantization == "none"
    mps = Hardware("Darwin", "arm64", "Apple M1", 8, 8, 16 * GB)
    placing = placing_of(QWEN, "mps", mps, Wanted(quantization="int8"))
    assert placing.run.quantization == "none"
    assert any("Apple" in note for note in placing.notes)


def test_compiling_is_for_nvidia_on_linux() -> None:
    able = QWEN._replace(can_compile=True)
    assert placing_of(able, "cuda:0", machine(), Wanted()).run.is_compiled
    assert not placing_of(able, "cpu", machine(), Wanted(torch_compile="true")).run.is_compiled
    assert not placing_of(able, "cuda:0", machine(system="Windows"), Wanted()).run.is_compiled
    assert placing_of(
        able, "cuda:0", machine(system="Windows"), Wanted(torch_compile="force")
    ).run.is_compiled


def test_a_model_that_cannot_be_compiled_says_so_to_who_asked() -> None:
    for wanted in ("true", "force"):
        placing = placing_of(QWEN, "cuda:0", machine(), Wanted(torch_compile=wanted))
        assert not placing.run.is_compiled
        assert any("torch.compile" in note for note in placing.notes)
    assert not placing_of(QWEN, "cuda:0", machine(), Wanted()).notes


def test_the_embedded_voice_has_no_notes() -> None:
    assert placing_of(ESPEAK, "cpu", machine(memory_gb=4), Wanted()).notes == ()
