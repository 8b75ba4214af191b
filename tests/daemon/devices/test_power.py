from pathlib import Path

import pytest

from tests.daemon.devices.fakes import FakeMachine, write
from voiced.devices.power import (
    Heat,
    Power,
    Temperature,
    apple_gpu_fraction,
    is_critical,
    is_speed_limited,
    is_throttled,
    may_sleep,
    power_of,
    read_heat,
)

BUS = "0000:01:00.0"


@pytest.mark.parametrize(
    ("status", "power"),
    [
        ("active", Power.ACTIVE),
        ("resuming", Power.ACTIVE),
        ("suspended", Power.SUSPENDED),
        ("suspending", Power.SUSPENDED),
        ("unsupported", Power.UNKNOWN),
        ("error", Power.UNKNOWN),
    ],
)
def test_power_is_the_kernels_word(tmp_path: Path, status: str, power: Power) -> None:
    machine = FakeMachine(tmp_path)
    machine.add_gpu(BUS)
    machine.set_power(status, BUS)
    assert power_of(tmp_path, BUS) is power


def test_power_is_unknown_where_the_system_shows_no_bus(tmp_path: Path) -> None:
    assert power_of(tmp_path, BUS) is Power.UNKNOWN
    assert power_of(tmp_path, "") is Power.UNKNOWN
    assert not may_sleep(tmp_path, "")


def test_only_a_device_under_automatic_control_may_sleep(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.add_gpu("0000:01:00.0", control="auto")
    machine.add_gpu("0000:02:00.0", control="on")
    assert may_sleep(tmp_path, "0000:01:00.0")
    assert not may_sleep(tmp_path, "0000:02:00.0")


def test_a_growing_count_means_that_the_processor_slowed_down(tmp_path: Path) -> None:
    def read() -> Heat:
        return read_heat("Linux", tmp_path, list, lambda command: "")

    assert read() == Heat(0, False)
    for cpu in (0, 1):
        write(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/package_throttle_count", "7\n")
    first = read()
    assert first == Heat(7, False)
    assert not is_throttled(None, first)  # long ago, perhaps
    assert not is_throttled(first, read())
    write(tmp_path, "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "9\n")
    assert is_throttled(first, read())


@pytest.mark.parametrize(
    ("sensor", "current", "critical", "hot"),
    [
        ("coretemp", 99.0, 100.0, False),
        ("coretemp", 100.0, 100.0, True),
        ("k10temp", 95.0, 95.0, True),
        ("cpu_thermal", 85.0, None, False),
        ("coretemp", 50.0, 0.0, False),  # a board that names no limit
        ("nvme", 120.0, 85.0, False),  # hot, and not the processor
    ],
)
def test_only_the_processors_sensors_at_their_limit_count(
    sensor: str, current: float, critical: float | None, hot: bool
) -> None:
    assert is_critical([Temperature("acpitz", 20.0, 105.0), Temperature(sensor, current, critical)]) is hot


@pytest.mark.parametrize(
    ("printed", "limited"),
    [
        ("CPU Power notify\n\tCPU_Scheduler_Limit \t= 100\n\tCPU_Speed_Limit \t= 100\n", False),
        ("CPU Power notify\n\tCPU_Available_CPUs \t= 8\n\tCPU_Speed_Limit \t= 72\n", True),
        ("Note: No thermal warning level has been recorded\n", False),
        ("", False),
    ],
)
def test_a_speed_limit_of_macos_means_throttling(tmp_path: Path, printed: str, limited: bool) -> None:
    assert is_speed_limited(printed) is limited
    assert read_heat("Darwin", tmp_path, list, lambda command: printed).is_limited is limited


def test_use_of_apples_gpu() -> None:
    printed = '"PerformanceStatistics" = {"In use system memory"=5,"Device Utilization %"=37,"Tiler Utilization %"=9}'
    assert apple_gpu_fraction(printed) == 0.37
    assert apple_gpu_fraction("") is None
