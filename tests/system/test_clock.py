"""Somebody sets the clock while the daemon works: by hours or by years, ahead and back, once and again.

The real process, with a time of day that the test moves. What a clock decides is tested beside it: retention, sweeps,
caches and locks in their own tests.
"""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import DaemonProcess, Home, need, running_daemon, wait_for
from voiced_ipc import messages as m
from voiced_ipc.messages import JobState

HOUR_S, YEAR_S = 3600, 365 * 86400
JUMPS_S = (HOUR_S, -HOUR_S, 10 * YEAR_S, -20 * YEAR_S, 0)
"""Beside the true time."""


class MovedClock:
    """The time of day of a daemon, in the hands of the test.

    Args:
        folder: Where its parts lie.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self._library = folder / "moved_clock.so"
        source = Path(__file__).with_name("moved_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self._library, source], check=True, timeout=60)
        self._file.write_bytes(struct.pack("l", 0))

    @property
    def environ(self) -> dict[str, str]:
        """Of a process that it is for."""
        return {"LD_PRELOAD": str(self._library), "MOVED_CLOCK": str(self._file)}

    def move(self, offset_s: int) -> None:
        """Set it so many seconds ahead of the true time."""
        descriptor = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, struct.pack("l", offset_s), 0)
        finally:
            os.close(descriptor)


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> MovedClock:
    """A clock to move."""
    has_compiler = sys.platform.startswith("linux") and shutil.which("cc") is not None
    need("clock", has_compiler, "moving a process's clock needs Linux and a C compiler")
    return MovedClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def moved(home: Home, clock: MovedClock) -> Iterator[DaemonProcess]:
    """A daemon whose clock is right at first."""
    clock.move(0)
    with running_daemon(home, "--set", "monitor_interval_s=1", **clock.environ) as daemon:
        yield daemon


def year_of(stamp: str) -> int:
    return datetime.fromisoformat(stamp).year


def test_work_goes_on_through_every_jump(moved: DaemonProcess, clock: MovedClock, home: Home) -> None:
    with moved.client() as client:
        expected, _ = client.synthesize("hello there", voice="en-us", seed=1)
        for number, jump_s in enumerate(JUMPS_S, 1):
            home.put(f"before-{number}.txt", "A text that waits while the clock is set.")
            with client.speak("A tone that is being spoken.[[slow:0.1]]", model="tone") as stream:
                chunks = iter(stream)
                heard = next(chunks)
                clock.move(jump_s)
                heard += b"".join(chunks)
                assert stream.done is not None
                assert stream.done.job.notes == []
                assert stream.done.samples * 2 == len(heard)
            # In the years ahead this file is from long ago; in the past it is from the future.
            home.put(f"after-{number}.txt", "A text that comes after.")
            assert client.synthesize("hello there", voice="en-us", seed=1)[0] == expected
            jobs = moved.wait_jobs(2 * number)
            assert {job.state for job in jobs} == {JobState.DONE}
            status = client.status()
            assert 0 < status.uptime_s < HOUR_S / 2
            assert year_of(jobs[-1].created) == datetime.fromtimestamp(seconds_now() + jump_s, UTC).year
    assert len(list(home.audio.rglob("*.wav"))) == 2 * len(JUMPS_S)
    assert "Traceback" not in moved.log()
    assert "ended:" not in moved.log()  # no worker was replaced


def seconds_now() -> float:
    return datetime.now(UTC).timestamp()


def test_a_lock_for_an_hour_outlasts_the_jumps(moved: DaemonProcess, clock: MovedClock) -> None:
    with moved.client() as client:
        client.control(
            m.SetDeviceLock(request_id=m.new_id(), device="cpu", for_s=HOUR_S, until_pid=os.getpid())
        )
        for jump_s in JUMPS_S:
            clock.move(jump_s)

            def follows(jump_s: int = jump_s) -> bool:
                lock = client.status().lock
                assert lock.device == "cpu"
                assert lock.until is not None
                left_s = datetime.fromisoformat(lock.until).timestamp() - seconds_now() - jump_s
                return HOUR_S - 120 < left_s < HOUR_S + 5

            wait_for(follows, what=f"a lock that has an hour left after {jump_s} s")


def test_a_start_under_a_wrong_clock_costs_no_history(
    moved: DaemonProcess, clock: MovedClock, home: Home
) -> None:
    home.put("first.txt", "The first text.")
    first = moved.wait_jobs(1)[0].job_id
    for number, jump_s in enumerate(JUMPS_S, 2):
        assert moved.stop() == 0
        clock.move(jump_s)
        moved.restart()
        home.put(f"next-{number}.txt", "Another text.")
        jobs = moved.wait_jobs(number)
        assert jobs[0].job_id == first
        assert {job.state for job in jobs} == {JobState.DONE}
