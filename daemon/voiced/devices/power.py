"""What the system itself tells about sleep and heat, read without waking or driving anything.

A laptop's GPU is powered down by the kernel when nobody uses it, and any question to its driver wakes it. The
kernel's `power/` files answer from memory, so they are asked first. Heat: the processor's own counters of throttling
and its sensors on Linux, `pmset` on macOS. Some sensors take long to read, so `read_heat` runs in the monitor's
thread, never on the loop. Nothing here raises: what cannot be read is not known.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from voiced.devices.hardware import read_text

_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "acpitz", "soc_thermal")


class Power(Enum):
    """The kernel's word on a device; `UNKNOWN` where it has none (WSL2, containers, other systems)."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"


def power_of(root: Path, bus: str) -> Power:
    """Return whether the device at a PCI address is powered, without waking it.

    Args:
        root: Where `sys` lies.
        bus: The address, as `0000:01:00.0`; empty = unknown.
    """
    status = read_text(root / "sys/bus/pci/devices" / bus / "power/runtime_status") if bus else ""
    if status in ("suspended", "suspending"):
        return Power.SUSPENDED
    return Power.ACTIVE if status in ("active", "resuming") else Power.UNKNOWN


def may_sleep(root: Path, bus: str) -> bool:
    """Return whether the kernel powers this device down when nobody uses it (laptops)."""
    return bool(bus) and read_text(root / "sys/bus/pci/devices" / bus / "power/control") == "auto"


class Temperature(NamedTuple):
    """One sensor, degrees Celsius; None where it tells no limit."""

    sensor: str
    current_c: float
    critical_c: float | None


class Heat(NamedTuple):
    """The heat of the processor at one moment."""

    throttle_count: int = 0
    """How often the processor has slowed itself down since the machine started."""
    is_limited: bool = False
    """It is slowed down now, or a sensor stands at its critical limit."""


def read_heat(
    system: str,
    root: Path,
    temperatures: Callable[[], Iterable[Temperature]],
    run: Callable[[Sequence[str]], str],
) -> Heat:
    """Return the heat of the processor; never raises. May take long: not for the loop.

    Args:
        system: `Linux` or `Darwin`.
        root: Where `sys` lies.
        temperatures: Reads the sensors.
        run: Runs a program and returns what it printed.
    """
    if system == "Darwin":
        return Heat(is_limited=is_speed_limited(run(("pmset", "-g", "therm"))))
    folder = root / "sys/devices/system/cpu"
    counts = (read_text(file) for file in folder.glob("cpu[0-9]*/thermal_throttle/package_throttle_count"))
    # Every core shows its package's count, so the greatest, not the sum.
    count = max((int(text) for text in counts if text.isdigit()), default=0)
    return Heat(count, is_critical(temperatures()))


def is_throttled(before: Heat | None, now: Heat) -> bool:
    """Return whether heat slowed the processor down between two readings, or does now."""
    return now.is_limited or (before is not None and now.throttle_count > before.throttle_count)


def is_critical(temperatures: Iterable[Temperature]) -> bool:
    """Return whether a sensor of the processor has reached the limit that it names itself."""
    return any(
        one.critical_c is not None and one.critical_c > 0 and one.current_c >= one.critical_c
        for one in temperatures
        if one.sensor.startswith(_CPU_SENSORS)
    )


def is_speed_limited(pmset: str) -> bool:
    """Return whether the output of `pmset -g therm` names a speed limit below 100 percent."""
    return any(int(limit) < 100 for limit in re.findall(r"CPU_Speed_Limit\s*=\s*(\d+)", pmset))


def apple_gpu_fraction(ioreg: str) -> float | None:
    """Return how busy Apple's GPU is, from `ioreg -r -d 1 -w 0 -c IOAccelerator`; None where it does not say."""
    found = [int(percent) for percent in re.findall(r'"Device Utilization %"\s*=\s*(\d+)', ioreg)]
    return min(max(found) / 100, 1.0) if found else None
