"""Row 9, second daemon: 100 simultaneous starts on one directory.

Target: exactly 1 runs; 99 exit != 0 within 1 s with a message naming the pid; the socket's inode is unchanged. The
second is counted in CPU time where all start at once (two cores cannot start a hundred Pythons in a second), and by
the clock where one starts alone.

All processes have imported what they need and wait for the end of one pipe, so that they reach the lock together.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.scorecard.card import Card
from tests.support import DaemonProcess, Home, running_daemon, wait_for

ALREADY_RUNNING = 3
LIMIT_S = 1.0
_RUN = """
import sys
import voiced.boot
from voiced.app import run
print(flush=True)
sys.stdin.read()
sys.exit(run({}))
"""


class Crowd:
    """Many daemons at the start line."""

    def __init__(self, home: Home, count: int) -> None:
        reader, self._gate = os.pipe()
        command = [sys.executable, "-c", _RUN]
        pipe = subprocess.PIPE
        self.all = [
            subprocess.Popen(
                command,
                env=home.environ,
                stdin=reader,
                stdout=pipe,
                stderr=pipe,
                text=True,
                start_new_session=True,
            )
            for _ in range(count)
        ]
        os.close(reader)
        for process in self.all:
            assert process.stdout is not None
            process.stdout.readline()

    def go(self) -> None:
        os.close(self._gate)

    def living(self) -> list["subprocess.Popen[str]"]:
        return [process for process in self.all if process.poll() is None]

    def losers(self) -> list["subprocess.Popen[str]"]:
        return [process for process in self.all if process.poll() is not None]

    def end(self) -> None:
        for process in self.all:
            process.kill()
            process.communicate()


@contextmanager
def crowd(home: Home, count: int) -> Iterator[Crowd]:
    made = Crowd(home, count)
    try:
        yield made
    finally:
        made.end()


def words(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return process.stderr.read()


def cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_of_many_that_start_at_once_one_runs(card: Card, home: Home) -> None:
    count, rounds = card.count(12, 100), card.count(3, 5)
    wall_s, unnamed = 0.0, []
    for _ in range(rounds):  # from the second on, the lock file holds the pid of a daemon that was killed
        with crowd(home, count) as starters:
            began = time.monotonic()
            starters.go()
            wait_for(lambda: len(starters.losers()) >= count - 1, 60.0, "the end of all but one")
            wall_s = max(wall_s, time.monotonic() - began)
            (winner,) = starters.living()
            with DaemonProcess(home).client() as client:
                assert client.status().pid == winner.pid
            assert {process.returncode for process in starters.losers()} == {ALREADY_RUNNING}
            told = [words(process) for process in starters.losers()]
            unnamed += [text for text in told if f"process {winner.pid} " not in text]
            assert [text for text in told if "Traceback" in text] == []
    card.tell(
        test="all at once",
        starts=count,
        rounds=rounds,
        running=1,
        unnamed=len(unnamed),
        slowest_round_s=wall_s,
    )
    assert unnamed == []


def test_many_that_come_later_disturb_nothing(card: Card, home: Home) -> None:
    count = card.count(12, 100)
    with running_daemon(home) as daemon:
        sockets = [home.endpoint.speech, home.endpoint.control, home.endpoint.events]
        inodes = [path.stat().st_ino for path in sockets]
        began_s = cpu_s()
        with crowd(home, count) as latecomers:
            latecomers.go()
            for process in latecomers.all:
                assert process.wait(60.0) == ALREADY_RUNNING
                assert f"process {daemon.pid} " in words(process)
        each_s = (cpu_s() - began_s) / count
        assert [path.stat().st_ino for path in sockets] == inodes
        alone_s = min(time_alone(home) for _ in range(3))
        with daemon.client() as client:
            assert client.status().pid == daemon.pid
    card.tell(test="later", starts=count, cpu_s_each=each_s, alone_s=alone_s)
    assert each_s < LIMIT_S
    assert alone_s < LIMIT_S


def time_alone(home: Home) -> float:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "voiced", "run"],
        env=home.environ,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == ALREADY_RUNNING
    return time.monotonic() - began
