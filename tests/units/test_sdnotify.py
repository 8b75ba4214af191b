"""The daemon's side of systemd's protocol, against a real notify socket and real descriptors."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.units.notify_harness import NotifyHarness
from voiced.sdnotify import Notifier, find_notifier, passed_sockets, watchdog_interval_s


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("n")


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


SPEAK = """
from voiced.sdnotify import find_notifier
import os
notifier = find_notifier()
told = [notifier.ready("idle, device auto"), notifier.status("one\\nREADY=1\\n two"), notifier.reloading(),
        notifier.ready(), notifier.watchdog(), notifier.stopping("draining"), "NOTIFY_SOCKET" in os.environ]
print(told)
"""


@pytest.mark.process
@pytest.mark.parametrize("is_abstract", [False, True])
def test_everything_reaches_a_notify_socket(short_folder: Path, is_abstract: bool) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with NotifyHarness(python(SPEAK), short_folder, is_abstract=is_abstract) as harness:
        assert harness.output().strip() == str([True] * 6 + [False])
        said = [one.line for one in harness.drain()]
        assert {one.pid for one in harness.said} == {harness.process.pid}
    reloaded_us = int(said.pop(4).removeprefix("MONOTONIC_USEC="))
    assert before_us < reloaded_us < time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert said == [
        "READY=1",
        "STATUS=idle, device auto",
        "STATUS=one READY=1 two",  # a line break would have been a message of its own
        "RELOADING=1",
        "READY=1",
        "WATCHDOG=1",
        "STOPPING=1",
        "STATUS=draining",
    ]


def test_silent_without_systemd() -> None:
    environ: dict[str, str] = {}
    notifier = find_notifier(environ)
    assert not notifier.ready()
    assert not notifier.watchdog()
    notifier.close()


def test_a_manager_that_is_gone_does_not_stop_us(short_folder: Path) -> None:
    notifier = Notifier(str(short_folder / "nobody"))
    assert not notifier.ready()
    notifier.close()
    assert not notifier.ready()


def test_a_full_manager_costs_a_second_not_the_daemon(short_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(short_folder / "n"))
        notifier = Notifier(str(short_folder / "n"))
        began = time.monotonic()
        while notifier.watchdog():
            pass
        assert time.monotonic() - began < 5
        notifier.close()


@pytest.mark.process
def test_works_without_free_descriptors(short_folder: Path) -> None:
    source = """
import os, resource
from voiced.sdnotify import find_notifier
notifier = find_notifier()
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
raise SystemExit(0 if notifier.watchdog() else 1)
"""
    with NotifyHarness(python(source), short_folder) as harness:
        harness.wait_for("WATCHDOG=1")
        assert harness.process.wait(10) == 0


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval_s: float | None) -> None:
    assert watchdog_interval_s(environ) == interval_s


TAKE = """
import json, os, sys
from voiced.sdnotify import passed_sockets
found = passed_sockets()
print(json.dumps([
    found,
    [os.get_inheritable(descriptor) for descriptor in range(3, 6)],
    sorted(name for name in os.environ if name.startswith("LISTEN_")),
]))
"""


@pytest.mark.process
def test_passed_sockets_are_told_apart_by_their_paths(short_folder: Path) -> None:
    paths = [short_folder / "voiced" / name for name in ("voiced.sock", "control.sock", "events.sock")]
    with NotifyHarness(python(TAKE), short_folder, listen=paths) as harness:
        found, inheritable, variables = json.loads(harness.output())
    assert found == {str(path): number for number, path in enumerate(paths, 3)}
    assert inheritable == [False] * 3
    assert variables == []
    assert all(stat.S_ISSOCK(path.stat().st_mode) for path in paths)


@pytest.mark.process
def test_what_is_no_listening_socket_is_passed_over(short_folder: Path) -> None:
    source = """
import os, socket
from voiced.sdnotify import passed_sockets
internet, plain = socket.socket(), socket.socket(socket.AF_UNIX)
internet.bind(("127.0.0.1", 0)); internet.listen()
os.dup2(internet.fileno(), 13); os.dup2(plain.fileno(), 14); os.dup2(3, 15)
for target in range(4, 7):
    os.dup2(target + 9, target)
os.environ["LISTEN_FDS"] = "5"  # 7 is not open
os.closerange(7, 8)
print([os.path.basename(path) for path in passed_sockets()])
"""
    with NotifyHarness(python(source), short_folder, listen=[short_folder / "s"]) as harness:
        assert harness.output().strip() == "['s']"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "3"},
        {"LISTEN_FDS": "3", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b:c"},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "-3", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_sockets_of_others_are_not_taken(environ: dict[str, str]) -> None:
    assert passed_sockets(environ) == {}
    assert environ == {}


@pytest.mark.process
def test_it_is_light() -> None:
    """Imported before READY: nothing beyond what the client and the paths need anyway."""
    source = "import os, socket, time, collections.abc, sys; old = set(sys.modules); import voiced.sdnotify; "
    source += "print(sorted(set(sys.modules) - old))"
    done = subprocess.run(python(source), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['voiced', 'voiced.sdnotify']"
