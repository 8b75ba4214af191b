"""The installed service under a real `systemd --user` of an ordinary user, and in part of root."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.user_manager import UserManager
from voiced.service import find_program

pytestmark = [pytest.mark.systemd, pytest.mark.root]

VOICED = str(find_program())
DAEMON = "voiced.service"
as_root_too = pytest.mark.parametrize("manager", [0, 1000], indirect=True, ids=["root", "user"])


@pytest.fixture
def installed(manager: UserManager) -> Iterator[UserManager]:
    """A manager whose user has installed the service in the usual way."""
    voiced(manager, "service", "install")
    yield manager
    clean(manager)


@pytest.fixture
def on_demand(manager: UserManager) -> Iterator[UserManager]:
    """A manager whose user has installed the sockets."""
    voiced(manager, "service", "install", "--on-demand")
    yield manager
    clean(manager)


def clean(manager: UserManager) -> None:
    """Leave a manager as it was: no units, no settings of a test."""
    voiced(manager, "service", "uninstall")
    shutil.rmtree(manager.home / ".config/systemd/user/voiced.service.d", ignore_errors=True)
    manager.systemctl("daemon-reload")
    manager.run("systemctl", "--user", "reset-failed")


def voiced(manager: UserManager, *words: str) -> str:
    """Return what a command of voiced printed."""
    done = manager.run(VOICED, *words)
    assert done.returncode == 0, f"voiced {words}: {done.stdout}\n{manager.log()[-4000:]}"
    return done.stdout


def status(manager: UserManager) -> dict[str, Any]:
    """Return what the daemon says of itself; starts none."""
    answer: dict[str, Any] = json.loads(voiced(manager, "status", "--json"))
    return answer


def main_pid(manager: UserManager) -> int:
    return int(manager.show(DAEMON, "MainPID"))


def drop_in(manager: UserManager, *lines: str) -> None:
    """Change settings of the service until its next uninstallation, and start it anew."""
    folder = manager.home / ".config/systemd/user/voiced.service.d"
    folder.mkdir(exist_ok=True)
    (folder / "test.conf").write_text("\n".join(("[Service]", *lines, "")))
    manager.systemctl("daemon-reload")
    manager.systemctl("restart", DAEMON)


@as_root_too
def test_it_is_started_ready_and_enabled(installed: UserManager) -> None:
    # `install` returned after READY: the first question is answered.
    assert status(installed)["pid"] == main_pid(installed)
    assert installed.show(DAEMON, "ActiveState") == "active"
    assert installed.systemctl("is-enabled", DAEMON) == "enabled"
    assert installed.show(DAEMON, "StatusText") != ""
    said = json.loads(voiced(installed, "service", "status", "--json"))
    assert said["is_running"]
    assert said["is_enabled"]
    assert said["pid"] == main_pid(installed)
    assert said["installed"]["program"] == VOICED


def test_it_starts_with_the_login(installed: UserManager) -> None:
    installed.systemctl("stop", DAEMON)
    installed.systemctl("start", "default.target")
    installed.wait_for(DAEMON, "ActiveState", "active")
    assert status(installed)["pid"] == main_pid(installed)


@as_root_too
def test_it_speaks_inside_its_walls(installed: UserManager) -> None:
    voiced(installed, "say", "Walls do not stop a voice.", "--no-start", "-o", "/run/home/said.wav")
    assert (installed.home / "said.wav").stat().st_size > 20_000
    facts = (installed.home.parents[1] / f"proc/{main_pid(installed)}/status").read_text().split("\n")
    pairs = dict(line.split(":\t", 1) for line in facts if ":\t" in line)
    assert pairs["NoNewPrivs"] == "1"
    assert pairs["Seccomp"] == "2"
    assert pairs["Umask"] == "0077"


def test_no_network_within_its_walls(installed: UserManager) -> None:
    """What the unit's own lines do to a program: no internet socket, unix sockets as always."""
    source = "import socket; socket.socket(socket.AF_UNIX); socket.socket(socket.AF_INET)"
    families = installed.show(DAEMON, "RestrictAddressFamilies")
    tried = ("systemd-run", "--user", "--pipe", "--wait", "--collect", "--quiet", "-p")
    done = installed.run(*tried, f"RestrictAddressFamilies={families}", sys.executable, "-Sc", source)
    assert "Address family not supported" in done.stdout
    assert done.returncode == 1


@as_root_too
def test_killed_it_comes_back(installed: UserManager) -> None:
    before = main_pid(installed)
    installed.run("kill", "-9", str(before))
    installed.wait_for(DAEMON, "NRestarts", "1")
    installed.wait_for(DAEMON, "ActiveState", "active")
    assert status(installed)["pid"] == main_pid(installed) != before


def test_hung_it_is_replaced(installed: UserManager) -> None:
    ends = installed.home / "ends"
    # The idle pool's supervisor turns every 2.5 s, and must have turned between two pings.
    drop_in(
        installed, "WatchdogSec=6", "TimeoutAbortSec=1", "ExecStopPost=sh -c 'echo $SERVICE_RESULT >%h/ends'"
    )
    before = main_pid(installed)
    fed = installed.show(DAEMON, "WatchdogTimestampMonotonic")
    end = time.monotonic() + 6
    while installed.show(DAEMON, "WatchdogTimestampMonotonic") == fed:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert main_pid(installed) == before
    installed.run("kill", "-STOP", str(before))
    installed.wait_for(DAEMON, "NRestarts", "1")
    installed.wait_for(DAEMON, "ActiveState", "active")
    assert status(installed)["pid"] == main_pid(installed) != before
    assert ends.read_text() == "watchdog\n"


def test_reload_reads_the_settings_again(installed: UserManager) -> None:
    before = main_pid(installed)
    assert "speeed" not in str(status(installed)["problems"])
    settings = installed.home / ".config/voiced/voiced.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("[speech]\nspeeed = 2\n")
    try:
        installed.systemctl("reload", DAEMON)
        installed.wait_for(DAEMON, "ActiveState", "active")
        end = time.monotonic() + 10
        while "speeed" not in str(status(installed)["problems"]):
            assert time.monotonic() < end
            time.sleep(0.05)
        assert main_pid(installed) == before
    finally:
        settings.unlink()


def test_restart_on_request(installed: UserManager) -> None:
    before = main_pid(installed)
    voiced(installed, "restart")
    installed.wait_for(DAEMON, "ActiveState", "active")
    assert status(installed)["pid"] == main_pid(installed) != before
    assert installed.show(DAEMON, "Result") == "success"


def test_it_stops_cleanly_and_stays_stopped(installed: UserManager) -> None:
    began = time.monotonic()
    installed.systemctl("stop", DAEMON)
    assert time.monotonic() - began < 5
    assert installed.show(DAEMON, "ActiveState") == "inactive"
    assert installed.show(DAEMON, "Result") == "success"
    assert installed.show(DAEMON, "ExecMainStatus") == "0"
    folder = Path(f"{installed.home.parents[1]}/run/user/{installed.uid}/voiced")
    assert [path.name for path in folder.glob("*.sock")] == []


def test_stop_by_voiced_is_no_failure(installed: UserManager) -> None:
    voiced(installed, "stop")
    installed.wait_for(DAEMON, "ActiveState", "inactive")
    assert installed.show(DAEMON, "Result") == "success"
    assert installed.show(DAEMON, "NRestarts") == "0"
    # What needs a daemon starts the service, and no second kind beside it.
    voiced(installed, "voices", "--json")
    assert status(installed)["pid"] == main_pid(installed)


def test_a_program_that_fails_is_an_error_with_advice(manager: UserManager) -> None:
    done = manager.run(VOICED, "service", "install", "--program", "/bin/false")
    assert done.returncode != 0
    assert "journalctl --user -u voiced" in done.stdout
    assert "Traceback" not in done.stdout
    clean(manager)
    assert not (manager.home / ".config/systemd/user/voiced.service").exists()


def test_another_daemon_is_not_fought_over(installed: UserManager) -> None:
    installed.systemctl("stop", DAEMON)
    by_hand = installed.run(
        "sh", "-c", f"setsid {VOICED} run </dev/null >/dev/null 2>&1 & echo $!"
    ).stdout.strip()
    try:
        end = time.monotonic() + 10
        while installed.run(VOICED, "status", "--json").returncode and time.monotonic() < end:
            time.sleep(0.05)
        done = installed.run("systemctl", "--user", "start", DAEMON)
        assert done.returncode != 0
        assert installed.show(DAEMON, "NRestarts") == "0"
        assert installed.show(DAEMON, "ActiveState") == "failed"
        assert str(status(installed)["pid"]) == by_hand
    finally:
        installed.run("kill", by_hand)
        end = time.monotonic() + 10
        while not installed.run("kill", "-0", by_hand).returncode and time.monotonic() < end:
            time.sleep(0.05)


def test_the_first_message_starts_it(on_demand: UserManager) -> None:
    """What is sent before the start is answered, and the socket stays the same file.

    More often than the five starts in ten seconds that systemd itself allows.
    """
    socket = Path(f"{on_demand.home.parents[1]}/run/user/{on_demand.uid}/voiced/voiced.sock")
    first = socket.stat()
    assert first.st_mode & 0o777 == 0o600
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    worst_s = 0.0
    for _ in range(8):
        assert on_demand.show(DAEMON, "ActiveState") == "inactive"
        began = time.monotonic()
        answer = status(on_demand)
        worst_s = max(worst_s, time.monotonic() - began)
        assert answer["pid"] == main_pid(on_demand)
        on_demand.systemctl("stop", DAEMON)
        assert socket.stat().st_ino == first.st_ino
    assert worst_s < 2


@as_root_too
def test_on_demand_is_enabled_and_stops_whole(on_demand: UserManager) -> None:
    assert on_demand.systemctl("is-enabled", "voiced.socket") == "enabled"
    assert on_demand.run("systemctl", "--user", "is-enabled", DAEMON).stdout.strip() == "disabled"
    said = json.loads(voiced(on_demand, "service", "status", "--json"))
    assert said["is_enabled"]
    assert said["installed"]["is_on_demand"]


def test_from_one_way_to_the_other_and_to_nothing(manager: UserManager) -> None:
    folder = manager.home / ".config/systemd/user"
    for words in ((), ("--on-demand",), ()):
        voiced(manager, "service", "install", *words)
        status(manager)
        assert (folder / "voiced.socket").exists() == bool(words)
    voiced(manager, "service", "uninstall")
    assert [path for path in folder.rglob("voiced*") if not path.is_dir()] == []
    assert manager.show(DAEMON, "LoadState") == "not-found"
    assert manager.run(VOICED, "status").returncode == 69
