"""A daemon that has nothing to do, with a drop folder full of files that it passes over: what it costs."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.figures import Row, absolute
from tests.bench.session import Session
from tests.support import DaemonProcess, Home, running_daemon, temporary_home

FILES = 5000
RSS_LIMIT_MB = 45.0
CPU_LIMIT_S = 3.6
"""In an hour."""
WAKE_UPS_LIMIT = 2.0
"""In a second, on the average of an hour."""
_SETTLE_S = 10.0
"""The start is over then, and its first two samples of the load are taken."""


class Use(NamedTuple):
    """What a process has used so far."""

    rss_mb: float
    cpu_s: float
    switches: int
    """Voluntary ones, of all its threads: each is a wake-up to come."""
    descriptors: int


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the idle daemon."""
    with temporary_home() as home:
        _fill(home)
        with running_daemon(home) as daemon:
            time.sleep(_SETTLE_S)
            before, children_before = _use(daemon.pid), _children(daemon)
            began = time.monotonic()
            time.sleep(session.idle_s)
            took = time.monotonic() - began
            after, children = _use(daemon.pid), _children(daemon)
    hours = took / 3600
    watched = f"{took:.0f} s watched"
    grown = f"grew by {after.rss_mb - before.rss_mb:+.1f} MB, {after.descriptors - before.descriptors:+d} descriptors"
    what = f"idle daemon, {FILES:,} files in the drop folder"
    yield absolute(
        f"{what}: RSS",
        [after.rss_mb],
        "MB",
        RSS_LIMIT_MB,
        f"{grown}; its children together {sum(use.rss_mb for use in children.values()):.1f} MB",
    )
    child_cpu_s = sum(
        use.cpu_s - children_before[pid].cpu_s for pid, use in children.items() if pid in children_before
    )
    yield absolute(
        f"{what}: CPU in an hour, extrapolated",
        [(after.cpu_s - before.cpu_s) / hours],
        "s",
        CPU_LIMIT_S,
        f"{watched}; its children {child_cpu_s / hours:.1f} s",
    )
    yield absolute(
        f"{what}: wake-ups/s",
        [(after.switches - before.switches) / took],
        "/s",
        WAKE_UPS_LIMIT,
        f"{watched}; voluntary context switches of all its threads",
    )


def _fill(home: Home) -> None:
    home.drop.mkdir(parents=True)
    for number in range(FILES):
        (home.drop / f"download {number}.part").write_text("not yet whole")


def _use(pid: int) -> Use:
    process = psutil.Process(pid)
    switches, cpu_ns = 0, 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            status = (thread / "status").read_text()
            switches += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            # The clock ticks of `stat` are 10 ms: more than an idle daemon uses in a minute.
            cpu_ns += int((thread / "schedstat").read_text().split()[0])
    return Use(process.memory_info().rss / 1e6, cpu_ns / 1e9, switches, process.num_fds())


def _children(daemon: DaemonProcess) -> dict[int, Use]:
    return {pid: _use(pid) for pid in daemon.children()}
