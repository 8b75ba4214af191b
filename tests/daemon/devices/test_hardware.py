from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.daemon.devices.fakes import GB, FakeMachine, write
from voiced.devices.hardware import (
    TIERS,
    GpuInfo,
    Hardware,
    HardwareProbe,
    local_probe,
    read_hardware,
    run_program,
    tier_of,
    to_info,
    with_details,
)

I5 = "Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz"


def probe(root: Path, **changes: object) -> HardwareProbe:
    found = HardwareProbe(
        system="Linux", machine="x86_64", root=root, run=lambda command: "", environ={}, cores=8
    )
    return found._replace(**changes)  # type: ignore[arg-type]


def linux(cpu: str, *gpus: GpuInfo, memory_gb: int = 16, board: str = "") -> Hardware:
    return Hardware("Linux", "x86_64", cpu, 4, 8, memory_gb * GB, board=board, gpus=gpus)


def mac(cpu: str, machine: str = "arm64") -> Hardware:
    return Hardware("Darwin", machine, cpu, 8, 8, 8 * 2**30)


def card(memory_gb: float, name: str = "") -> GpuInfo:
    return GpuInfo(0, name=name, memory_bytes=int(memory_gb * 2**30))


def test_linux_is_read_from_its_files(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", f"processor\t: 0\nmodel name\t: {I5}\nflags\t\t: fpu\n\nprocessor\t: 1\n")
    write(tmp_path, "proc/version", "Linux version 6.8.0 (gcc) #1 SMP\n")
    write(tmp_path, "proc/meminfo", "MemTotal:       16318480 kB\nMemFree: 1 kB\n")
    for cpu in range(8):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/core_id", str(cpu % 4))
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", "0")
    hardware = read_hardware(probe(tmp_path))
    assert hardware == Hardware("Linux", "x86_64", I5, 4, 8, 16318480 * 1024)
    assert tier_of(hardware) == "intel_i5"


def test_a_machine_that_tells_nothing_is_still_a_machine(tmp_path: Path) -> None:
    hardware = read_hardware(probe(tmp_path, machine="riscv64"))
    assert hardware == Hardware("Linux", "riscv64", "riscv64", 8, 8, 0)
    assert tier_of(hardware) == "cpu_generic"
    assert to_info(hardware).gpu_name == ""


@pytest.mark.parametrize(
    ("kernel", "is_wsl"),
    [
        ("Linux version 5.15.153.1-microsoft-standard-WSL2 (root@941d701f84f1)", True),
        ("Linux version 4.4.0-19041-Microsoft", True),
        ("Linux version 6.1 (build@WSL)", True),
        ("Linux version 6.8.0-45-generic (buildd@lcy02)", False),
    ],
)
def test_wsl_is_found_by_the_words_of_the_kernel(tmp_path: Path, kernel: str, is_wsl: bool) -> None:
    write(tmp_path, "proc/version", kernel)
    assert read_hardware(probe(tmp_path)).is_wsl is is_wsl


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal:       16000000 kB\n")
    write(tmp_path, "proc/self/cgroup", "1:name=systemd:/old\n0::/user.slice/voiced.service\n")
    write(tmp_path, "sys/fs/cgroup/user.slice/voiced.service/memory.max", "max\n")
    assert read_hardware(probe(tmp_path)).memory_bytes == 16000000 * 1024
    write(tmp_path, "sys/fs/cgroup/user.slice/memory.max", "4000000000\n")
    assert read_hardware(probe(tmp_path)).memory_bytes == 4 * GB


def test_macos_is_read_from_sysctl(tmp_path: Path) -> None:
    asked = []

    def run(command: Sequence[str]) -> str:
        asked.append(command[0])
        return (
            "machdep.cpu.brand_string: Apple M1 Pro\nhw.physicalcpu: 10\nhw.logicalcpu: 10\n"
            "hw.memsize: 17179869184\nhw.model: MacBookPro18,3\n"
        )

    hardware = read_hardware(probe(tmp_path, system="Darwin", machine="arm64", run=run))
    assert asked == ["sysctl"]
    assert (hardware.physical_cores, hardware.memory_bytes) == (10, 16 * 2**30)
    assert hardware.is_apple_silicon
    assert hardware.has_mps
    assert tier_of(hardware) == "m1_pro"
    info = to_info(hardware)
    assert (info.gpu_name, info.gpu_memory_bytes) == ("Apple M1 Pro GPU", 16 * 2**30)


def test_python_under_rosetta_has_no_mps() -> None:
    assert mac("Apple M1", machine="x86_64").is_apple_silicon
    assert not mac("Apple M1", machine="x86_64").has_mps


class TestGpus:
    def test_are_listed_in_the_order_of_the_bus(self, tmp_path: Path) -> None:
        machine = FakeMachine(tmp_path)
        machine.add_gpu("0000:41:00.0", "NVIDIA A100-SXM4-40GB")
        machine.add_gpu("0000:01:00.0")
        machine.add_device("0000:00:02.0", vendor="0x8086", kind="0x030000", driver="i915")
        machine.add_device("0000:01:00.1", vendor="0x10de", kind="0x040300", driver="snd_hda_intel")
        gpus = read_hardware(probe(tmp_path)).gpus
        assert [(gpu.device, gpu.bus, gpu.name) for gpu in gpus] == [
            ("cuda:0", "0000:01:00.0", "NVIDIA GeForce RTX 3060"),
            ("cuda:1", "0000:41:00.0", "NVIDIA A100-SXM4-40GB"),
        ]

    @pytest.mark.parametrize("driver", ["vfio-pci", "nouveau"])
    def test_without_the_driver_do_not_count(self, tmp_path: Path, driver: str) -> None:
        FakeMachine(tmp_path).add_device("0000:01:00.0", vendor="0x10de", kind="0x030200", driver=driver)
        assert read_hardware(probe(tmp_path)).gpus == ()

    def test_of_amd_leave_the_machine_a_cpu_machine(self, tmp_path: Path) -> None:
        FakeMachine(tmp_path).add_device("0000:03:00.0", vendor="0x1002", kind="0x030000", driver="amdgpu")
        assert read_hardware(probe(tmp_path)).gpus == ()

    def test_are_found_in_wsl_where_no_bus_shows_them(self, tmp_path: Path) -> None:
        write(tmp_path, "dev/dxg", "")
        assert read_hardware(probe(tmp_path)).gpus == ()
        write(tmp_path, "usr/lib/wsl/lib/libcuda.so.1", "")
        assert [gpu.device for gpu in read_hardware(probe(tmp_path)).gpus] == ["cuda:0"]

    def test_are_found_in_a_sandbox_that_shows_only_nodes(self, tmp_path: Path) -> None:
        for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
            write(tmp_path, f"dev/{name}", "")
        assert [gpu.place for gpu in read_hardware(probe(tmp_path)).gpus] == [0, 2, 10]

    @pytest.mark.parametrize(
        ("visible", "places"),
        [
            (None, [0, 1]),
            ("", []),
            ("-1", []),
            ("1", [1]),
            ("1, 0", [1, 0]),
            ("0,7,1", [0]),
            ("0,0", [0]),
            ("GPU-2aaa", [1]),
            ("GPU-9", []),
            ("nonsense", []),
        ],
    )
    def test_are_numbered_within_what_cuda_sees(
        self, tmp_path: Path, visible: str | None, places: list[int]
    ) -> None:
        machine = FakeMachine(tmp_path)
        machine.add_gpu("0000:01:00.0")
        machine.add_gpu("0000:02:00.0")
        environ = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        gpus = read_hardware(probe(tmp_path, environ=environ)).gpus
        assert [gpu.place for gpu in gpus] == places
        assert [gpu.number for gpu in gpus] == list(range(len(places)))

    def test_take_what_the_driver_tells_later(self) -> None:
        before = linux(I5, GpuInfo(0, name="kept", bus="0000:01:00.0"), GpuInfo(1))
        after = with_details(before, [GpuInfo(0, memory_bytes=24 * GB, compute_capability="8.9")])
        assert after.gpus == (
            GpuInfo(0, name="kept", bus="0000:01:00.0", memory_bytes=24 * GB, compute_capability="8.9"),
            GpuInfo(1),
        )
        info = to_info(after)
        assert (info.tier, info.gpu_name, info.gpu_memory_bytes) == ("gpu_high", "kept", 24 * GB)
        assert info.compute_capability == "8.9"


@pytest.mark.parametrize(
    ("hardware", "tier"),
    [
        (linux("Cortex-A76", board="Raspberry Pi 5 Model B Rev 1.0"), "raspberry_pi"),
        (mac("Apple M1"), "m1_air"),
        (mac("Apple M3"), "m1_air"),
        (mac("Apple M1 Pro"), "m1_pro"),
        (mac("Apple M2 Ultra"), "m1_pro"),
        (mac("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "x86_64"), "intel_i7"),
        (linux(I5), "intel_i5"),
        (linux("Intel(R) Core(TM) i3-7100U CPU @ 2.40GHz"), "intel_i5"),
        (linux("Intel(R) N100"), "intel_i5"),
        (linux("12th Gen Intel(R) Core(TM) i7-1260P"), "intel_i7"),
        (linux("Intel(R) Core(TM) i9-13900K"), "intel_i7"),
        (linux("Intel(R) Core(TM) Ultra 7 155H"), "intel_i7"),
        (linux("Intel(R) Core(TM) Ultra 5 125H"), "intel_i5"),
        (linux("Intel(R) Xeon(R) CPU @ 2.20GHz"), "intel_i7"),
        (linux("AMD Ryzen 5 5600X 6-Core Processor"), "amd_ryzen"),
        (linux("AMD EPYC"), "amd_ryzen"),
        (linux("Neoverse-N1"), "cpu_generic"),
        (linux(I5, card(24, "NVIDIA GeForce RTX 4090")), "gpu_high"),
        (linux(I5, card(12)), "gpu_high"),
        (linux(I5, card(8)), "gpu_mid"),
        (linux(I5, card(6)), "gpu_low"),
        (linux(I5, card(5.7)), "gpu_low"),
        (linux(I5, card(4)), "intel_i5"),
        (linux(I5, card(0, "NVIDIA GeForce RTX 4090")), "gpu_high"),
        (linux(I5, card(0, "NVIDIA GeForce GTX 1660")), "gpu_low"),
    ],
)
def test_tiers(hardware: Hardware, tier: str) -> None:
    assert tier_of(hardware) == tier
    assert tier in TIERS


def test_the_tier_is_that_of_the_device_that_works() -> None:
    hardware = linux(I5, card(4), GpuInfo(1, memory_bytes=24 * GB))
    assert tier_of(hardware) == "gpu_high"
    assert tier_of(hardware, "cpu") == "intel_i5"
    assert tier_of(hardware, "cuda:0") == "gpu_low"  # forced, although it is small
    assert tier_of(hardware, "cuda:1") == "gpu_high"
    assert tier_of(mac("Apple M1"), "cpu") == "m1_air"


def test_this_machine_can_be_read() -> None:
    hardware = read_hardware()
    assert 1 <= hardware.physical_cores <= hardware.logical_cores
    assert hardware.memory_bytes > 0
    assert to_info(hardware).tier in TIERS


@pytest.mark.process
def test_a_program_that_is_missing_fails_or_hangs_prints_nothing() -> None:
    assert run_program(("voiced-no-such-program",)) == ""
    assert run_program(("false",)) == ""
    assert run_program(("sleep", "10"), timeout_s=0.05) == ""
    assert run_program(("echo", "yes")) == "yes\n"
    assert local_probe().cores >= 1
