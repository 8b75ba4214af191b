"""The device lock: where a person, or the configuration, wants everything to run, and until when.

A pure value. It is kept in the settings table as JSON; a lock for "until a program ends" holds the process's id *and*
its start, because the id alone may name another program after a restart. Clock and processes are passed in.
"""

import json
import math
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from voiced.devices.hardware import Hardware
from voiced_ipc.errors import DeviceUnavailable, InvalidRequest
from voiced_ipc.messages import LockInfo

ALLOWED = "auto, cpu, cuda, cuda:N or mps"
_DEVICE = re.compile(r"\A(auto|cpu|mps|cuda(:[0-9]{1,2})?)\Z")
_IS_LINUX = sys.platform.startswith("linux")
_START_TOLERANCE_S = 0.05
_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.0

ProcessStart = Callable[[int], float | None]
"""Gives the start of a process, in seconds that stay the same when the clock is set; None where it does not run."""


class DeviceLock(NamedTuple):
    """A lock; `auto` is none."""

    device: str = "auto"
    until: datetime | None = None
    """Aware UTC; None = no end by time."""
    pid: int | None = None
    """It ends with this process."""
    pid_started: float | None = None
    """Start of that process, as `process_start` tells it."""
    for_s: float | None = None
    """How long it was to last, where it has an end by time: it never lasts longer, wherever the clock goes."""

    @property
    def is_set(self) -> bool:
        """Whether it holds anything."""
        return self.device != "auto"

    def to_info(self) -> LockInfo:
        """Return it as the protocol tells it."""
        until = None if self.until is None else self.until.isoformat(timespec="seconds")
        return LockInfo(device=self.device, until=until, pid=self.pid)

    def to_json(self) -> str:
        """Return it as the settings table keeps it."""
        until = None if self.until is None else self.until.isoformat()
        return json.dumps(
            {
                "device": self.device,
                "until": until,
                "pid": self.pid,
                "pid_started": self.pid_started,
                "for_s": self.for_s,
            }
        )

    def shifted(self, by_s: float) -> "DeviceLock":
        """Return the same lock by a clock that was set: the time that is left stays.

        Args:
            by_s: Seconds that the clock went ahead, besides those that passed.
        """
        try:
            return self if self.until is None else self._replace(until=self.until + timedelta(seconds=by_s))
        except OverflowError:  # beyond the calendar
            return self

    def bounded(self, now: datetime) -> "DeviceLock":
        """Return it with no more time left than it was set for: the clock may have been set back since it was kept.

        Args:
            now: Aware.
        """
        if self.until is None or self.for_s is None or (self.until - now).total_seconds() <= self.for_s:
            return self
        return self._replace(until=_after(now, self.for_s))


AUTO = DeviceLock()


def lock_from_json(text: str) -> tuple[DeviceLock, str]:
    """Return the lock that was kept, and why it is `auto` where it could not be read."""
    try:
        values = json.loads(text)
        lock = DeviceLock(
            device=normal_device(values["device"]),
            until=None if values["until"] is None else datetime.fromisoformat(values["until"]),
            pid=None if values["pid"] is None else int(values["pid"]),
            pid_started=None if values["pid_started"] is None else float(values["pid_started"]),
            for_s=None if values.get("for_s") is None else float(values["for_s"]),
        )
        if lock.until is not None and lock.until.tzinfo is None:
            raise ValueError("an end without a time zone")
        if lock.for_s is not None and not math.isfinite(lock.for_s):
            raise ValueError("a time without an end")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidRequest) as error:
        return AUTO, f"the kept device lock cannot be read ({error}): the device is auto, set the lock again"
    return lock, ""


def new_lock(
    device: str, *, for_s: float | None, until_pid: int | None, now: datetime, start_of: ProcessStart
) -> DeviceLock:
    """Return the lock that somebody asked for.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, in any case.
        for_s: Seconds until it ends; None = no end by time.
        until_pid: It ends with this process.
        now: Aware.
        start_of: Looks a process up.

    Raises:
        InvalidRequest: If the device is none of these, the process does not run, or the end is beyond the calendar.
    """
    name = normal_device(device)
    if name == "auto":
        return AUTO
    started = None if until_pid is None else start_of(until_pid)
    if until_pid is not None and started is None:
        raise InvalidRequest(f"no process has the id {until_pid}: the lock was not set")
    try:
        until = None if for_s is None else _after(now, for_s)
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest(f"a lock for {for_s:g} s ends beyond the calendar: leave the time out") from None
    return DeviceLock(name, until, until_pid, started, for_s)


def _after(now: datetime, for_s: float) -> datetime:
    return datetime.fromtimestamp(now.timestamp() + for_s, UTC)


def current_lock(lock: DeviceLock, now: datetime, start_of: ProcessStart) -> tuple[DeviceLock, str]:
    """Return the lock that holds now, and why it ended where it did.

    Args:
        lock: The lock that was set.
        now: Aware.
        start_of: Looks a process up.
    """
    if not lock.is_set:
        return lock, ""
    if lock.until is not None and now >= lock.until:
        return AUTO, f"the lock on {lock.device} ended at {lock.until.isoformat(timespec='seconds')}"
    if lock.pid is not None and not _lives(lock, start_of(lock.pid)):
        return AUTO, f"the lock on {lock.device} ended with process {lock.pid}"
    return lock, ""


def _lives(lock: DeviceLock, started: float | None) -> bool:
    if started is None:
        return False
    return lock.pid_started is None or abs(started - lock.pid_started) <= _START_TOLERANCE_S


def process_start(pid: int) -> float | None:
    """Return when a process of this machine started; None where it has ended.

    On Linux since the start of the computer: seconds since the epoch are computed from the clock of the moment there,
    and the same program would be another one after the clock was set. Elsewhere the system notes the time at the start.
    """
    if _IS_LINUX:
        return _start_after_boot(pid)
    import psutil  # 20 ms: only after the sockets answer

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None


def _start_after_boot(pid: int) -> float | None:
    try:
        # proc(5): the name in brackets may hold anything; after it the state is the first, the start the 20th.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19]) * _TICK_S
    except (OSError, IndexError, ValueError):
        return None


def normal_device(text: str) -> str:
    """Return the name of a device in its one spelling.

    Raises:
        InvalidRequest: If it is none of `ALLOWED`.
    """
    name = text.strip().lower()
    if not _DEVICE.match(name):
        raise InvalidRequest(f"{text!r} is no device; allowed: {ALLOWED}")
    base, colon, number = name.partition(":")
    return f"{base}:{int(number)}" if colon else name


def resolve_device(wanted: str, hardware: Hardware, strict: bool = False) -> tuple[str, str]:
    """Return the device that is there for `wanted`, and a note where it is another.

    Args:
        wanted: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`, in any case. `auto` and `cpu` are always there.
        hardware: The machine.
        strict: Refuse instead of taking the CPU.

    Raises:
        InvalidRequest: If it is no device at all.
        DeviceUnavailable: In strict mode, if it is not there.
    """
    name = normal_device(wanted)
    missing = _missing(name, hardware)
    if not missing:
        return name, ""
    if strict:
        raise DeviceUnavailable(f"{missing}; ask for cpu or auto, or set device.strict_device to false")
    return "cpu", f"{missing}: the CPU is used"


def _missing(name: str, hardware: Hardware) -> str:
    if name == "mps":
        return "" if hardware.has_mps else "mps was asked for, and this machine has no Apple GPU"
    if not name.startswith("cuda"):
        return ""
    if not hardware.gpus:
        return f"{name} was asked for, and this machine has no NVIDIA GPU with a driver"
    if ":" not in name or name in (gpu.device for gpu in hardware.gpus):
        return ""
    there = ", ".join(gpu.device for gpu in hardware.gpus)
    return f"{name} was asked for, and this machine has only {there}"
