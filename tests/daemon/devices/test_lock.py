import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiced.devices.hardware import GpuInfo, Hardware
from voiced.devices.lock import (
    AUTO,
    DeviceLock,
    current_lock,
    lock_from_json,
    new_lock,
    normal_device,
    process_start,
    resolve_device,
)
from voiced_ipc.errors import DeviceUnavailable, InvalidRequest

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
PID, STARTED = 4711, 1_700_000_000.25


def runs(pid: int) -> float | None:
    return STARTED if pid == PID else None


def never(pid: int) -> float | None:
    raise AssertionError("no process was to be looked up")


def test_a_lock_for_ever_holds() -> None:
    lock = new_lock("CUDA:01", for_s=None, until_pid=None, now=NOW, start_of=never)
    assert lock == DeviceLock("cuda:1")
    assert current_lock(lock, NOW + timedelta(days=9999), never) == (lock, "")
    assert lock.to_info().device == "cuda:1"


def test_a_lock_for_a_time_ends() -> None:
    lock = new_lock("cpu", for_s=7200, until_pid=None, now=NOW, start_of=never)
    assert lock.to_info().until == "2026-11-20T12:00:00+00:00"
    assert current_lock(lock, NOW + timedelta(seconds=7199), never) == (lock, "")
    ended, reason = current_lock(lock, NOW + timedelta(seconds=7200), never)
    assert ended is AUTO
    assert "12:00:00" in reason


def test_a_lock_until_a_program_ends_knows_its_start() -> None:
    lock = new_lock("cpu", for_s=None, until_pid=PID, now=NOW, start_of=runs)
    assert (lock.pid, lock.pid_started) == (PID, STARTED)
    assert lock.to_info().pid == PID
    assert current_lock(lock, NOW, runs) == (lock, "")
    assert current_lock(lock, NOW, lambda pid: STARTED + 0.01) == (lock, "")
    for ended in (lambda pid: None, lambda pid: STARTED + 3600.0):  # gone; another program with that id
        kept, reason = current_lock(lock, NOW, ended)
        assert kept is AUTO
        assert str(PID) in reason


def test_auto_is_no_lock_and_needs_no_process() -> None:
    assert new_lock("auto", for_s=5, until_pid=PID, now=NOW, start_of=never) is AUTO
    assert current_lock(AUTO, NOW, never) == (AUTO, "")
    assert not AUTO.is_set


@pytest.mark.parametrize(
    ("device", "for_s", "pid"),
    [("gpu", None, None), ("cpu", None, 99), ("cpu", 1e300, None), ("cpu", 9e11, None)],
)
def test_a_lock_that_cannot_be_is_refused(device: str, for_s: float | None, pid: int | None) -> None:
    with pytest.raises(InvalidRequest):
        new_lock(device, for_s=for_s, until_pid=pid, now=NOW, start_of=runs)


@given(
    st.builds(
        DeviceLock,
        device=st.sampled_from(["cpu", "mps", "cuda", "cuda:0", "cuda:12"]),
        until=st.none() | st.datetimes(timezones=st.just(UTC)),
        pid=st.none() | st.integers(1, 2**31),
        pid_started=st.none() | st.floats(0, 1e10),
        for_s=st.none() | st.floats(-1e10, 1e10),
    )
)
@settings(deadline=None)
def test_a_lock_survives_the_settings_table(lock: DeviceLock) -> None:
    assert lock_from_json(lock.to_json()) == (lock, "")


@given(st.text() | st.dictionaries(st.text(), st.integers()).map(json.dumps))
@settings(deadline=None)
def test_a_damaged_lock_is_auto_with_a_reason(text: str) -> None:
    lock, reason = lock_from_json(text)
    assert lock is AUTO
    assert "cannot be read" in reason


@pytest.mark.parametrize(
    "values",
    [
        {"device": "tpu", "until": None, "pid": None, "pid_started": None},
        {"device": 5, "until": None, "pid": None, "pid_started": None},
        {"device": "cpu", "until": "2026-11-20T10:00:00", "pid": None, "pid_started": None},
        {"device": "cpu", "until": "soon", "pid": None, "pid_started": None},
        {"device": "cpu", "until": None, "pid": [], "pid_started": None},
        {"device": "cpu", "until": None},
    ],
)
def test_a_lock_with_one_bad_field_is_auto(values: dict[str, object]) -> None:
    assert lock_from_json(json.dumps(values))[0] is AUTO


@pytest.mark.process
def test_a_process_is_known_while_it_lives() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        started = process_start(child.pid)
        assert started is not None
        assert process_start(child.pid) == started
        if sys.platform == "linux":  # of no clock that can be set
            assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - started < 60
        else:
            assert abs(started - datetime.now(UTC).timestamp()) < 60
        assert process_start(os.getpid()) is not None
    finally:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None  # ended, and not yet waited for
        child.wait()
    assert process_start(child.pid) is None


class TestResolve:
    bare = Hardware("Linux", "x86_64", "AMD", 2, 2, 8)
    two = bare._replace(gpus=(GpuInfo(0), GpuInfo(1)))
    mac = Hardware("Darwin", "arm64", "Apple M1", 8, 8, 8)

    @pytest.mark.parametrize("strict", [False, True])
    @pytest.mark.parametrize(
        ("wanted", "hardware", "device"),
        [
            ("auto", bare, "auto"),
            ("CPU", bare, "cpu"),
            (" Cuda ", two, "cuda"),
            ("CUDA:1", two, "cuda:1"),
            ("MPS", mac, "mps"),
        ],
    )
    def test_what_is_there_is_taken(self, wanted: str, hardware: Hardware, device: str, strict: bool) -> None:
        assert resolve_device(wanted, hardware, strict) == (device, "")

    @pytest.mark.parametrize(
        ("wanted", "hardware", "word"),
        [
            ("cuda", bare, "no NVIDIA GPU"),
            ("cuda:0", mac, "no NVIDIA GPU"),
            ("cuda:2", two, "only cuda:0, cuda:1"),
            ("mps", two, "no Apple GPU"),
            ("mps", mac._replace(machine="x86_64"), "no Apple GPU"),
        ],
    )
    def test_what_is_absent_becomes_the_cpu_or_an_error(
        self, wanted: str, hardware: Hardware, word: str
    ) -> None:
        device, note = resolve_device(wanted, hardware)
        assert device == "cpu"
        assert word in note
        with pytest.raises(DeviceUnavailable, match=word):
            resolve_device(wanted, hardware, strict=True)

    @pytest.mark.parametrize(
        "wanted", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:100", "cuda:٣", "cpu\n0"]
    )
    def test_what_is_no_device_is_refused(self, wanted: str) -> None:
        with pytest.raises(InvalidRequest, match="allowed: auto"):
            normal_device(wanted)
        with pytest.raises(InvalidRequest):
            resolve_device(wanted, self.two)


@pytest.mark.parametrize("jump_s", [-1e8, -3600.0, 3600.0, 3e8])
def test_a_lock_for_a_time_outlasts_a_clock_that_is_set(jump_s: float) -> None:
    lock = new_lock("cpu", for_s=7200, until_pid=PID, now=NOW, start_of=runs)
    moved, jump = lock.shifted(jump_s), timedelta(seconds=jump_s)
    assert current_lock(moved, NOW + jump + timedelta(seconds=7199), runs) == (moved, "")
    assert current_lock(moved, NOW + jump + timedelta(seconds=7200), runs)[0] is AUTO
    assert DeviceLock("cpu").shifted(jump_s) == DeviceLock("cpu")


def test_a_lock_does_not_leave_the_calendar() -> None:
    lock = new_lock("cpu", for_s=7200, until_pid=None, now=NOW, start_of=never)
    assert lock.shifted(1e12).until == lock.until


def test_a_kept_lock_lasts_no_longer_than_it_was_set_for() -> None:
    """The clock was years ahead when it was set, and was mended before the next start."""
    ahead = NOW + timedelta(days=3653)
    kept, _ = lock_from_json(new_lock("cpu", for_s=7200, until_pid=None, now=ahead, start_of=never).to_json())
    assert kept.bounded(NOW).until == NOW + timedelta(seconds=7200)
    assert kept.bounded(ahead) == kept
    old, reason = lock_from_json(
        json.dumps({"device": "cpu", "until": ahead.isoformat(), "pid": None, "pid_started": None})
    )
    assert (old.bounded(NOW), reason) == (old, "")  # as an earlier version kept it
    assert lock_from_json(kept.to_json().replace("7200", "NaN"))[0] is AUTO
