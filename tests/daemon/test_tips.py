"""What helps, on which machine."""

from voiced.devices.hardware import GpuInfo, Hardware
from voiced.tips import tips_for

GB = 10**9
PLAIN = Hardware("Linux", "x86_64", "Some CPU", 4, 8, 16 * GB)


def told(hardware: Hardware, topic: str = "machine") -> str:
    return " ".join(tip.text for tip in tips_for(hardware) if tip.topic == topic)


def with_gpu(memory_gb: float) -> Hardware:
    gpu = GpuInfo(number=0, name="NVIDIA RTX", memory_bytes=int(memory_gb * GB))
    return PLAIN._replace(gpus=(gpu,))


def test_recordings_and_emotion() -> None:
    assert "10 to 30 seconds" in told(PLAIN, "voices")
    assert "Emotion comes from the recording" in told(PLAIN, "emotion")
    assert "language is found out" in told(PLAIN, "text")


def test_a_small_gpu_is_passed_over_with_its_reason() -> None:
    small = told(with_gpu(4))
    assert "4.00 GB" in small
    assert "6.0 GB" in small
    assert "they take the CPU" in small
    assert "200 characters" in small


def test_a_gpu_that_is_large_enough_is_used() -> None:
    large = told(with_gpu(8))
    assert "600" in large
    assert "take the CPU" not in large


def test_only_what_concerns_this_machine_is_told() -> None:
    assert "Without a GPU" in told(PLAIN)
    assert "WSL2" not in told(PLAIN)
    assert "WSL2" in told(PLAIN._replace(is_wsl=True))
    mac = Hardware("Darwin", "arm64", "Apple M1", 8, 8, 16 * GB)
    assert "Apple Silicon" in told(mac)
    assert "Without a GPU" not in told(mac)
    assert "GB" not in told(with_gpu(0))  # nobody was allowed to ask the driver
