"""The units: what must stand in them, what must never, and what systemd itself says of them."""

import configparser
import os
import shutil
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support import need
from voiced import exit_codes
from voiced.service.systemd import fill_unit
from voiced.service.template import read_template

UNITS = ("voiced.service", "voiced.socket", "voiced-tray.service")
REPOSITORY = Path(__file__).parents[2]

REQUIRED = {
    "voiced.service": {
        "Unit": ["StartLimitIntervalSec=60", "StartLimitBurst=30"],
        "Service": [
            "Type=notify",
            "NotifyAccess=main",
            "ExecReload=kill -HUP $MAINPID",
            "WatchdogSec=30",
            "Restart=on-failure",
            "RestartSec=1",
            "RestartPreventExitStatus=3 64 78",
            "RestartForceExitStatus=75",
            "SuccessExitStatus=75",
            "TimeoutStopSec=25",
            "KillMode=mixed",
            "OOMPolicy=continue",
            "UMask=0077",
            "LimitNOFILE=65536",
            "LimitCORE=0",
            "NoNewPrivileges=yes",
            "LockPersonality=yes",
            "RestrictRealtime=yes",
            "RestrictSUIDSGID=yes",
            "RestrictNamespaces=yes",
            "RestrictAddressFamilies=AF_UNIX AF_NETLINK",
            "SystemCallArchitectures=native",
            "SystemCallFilter=@system-service",
            "SystemCallErrorNumber=EPERM",
        ],
        "Install": ["WantedBy=default.target"],
    },
    "voiced.socket": {
        "Socket": [
            "ListenStream=%t/voiced/voiced.sock",
            "ListenStream=%t/voiced/control.sock",
            "ListenStream=%t/voiced/events.sock",
            "SocketMode=0600",
            "DirectoryMode=0700",
        ],
        "Install": ["WantedBy=sockets.target"],
    },
    "voiced-tray.service": {
        "Unit": ["PartOf=graphical-session.target", "After=graphical-session.target"],
        "Service": [
            "SuccessExitStatus=69 75",
        ],
        "Install": ["WantedBy=graphical-session.target"],
    },
}

# Break torch, hide the GPU, fail with 218/CAPABILITIES in a user's manager, are silently ignored there, hide the
# tray's icon, or keep a session alive.
FORBIDDEN = (
    "MemoryDenyWriteExecute",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "PrivateDevices",
    "DeviceAllow",
    "ProtectClock",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectSystem",
    "ProtectHome",
    "ProtectKernelTunables",
    "PrivateTmp",
    "PrivateUsers",
    "DynamicUser",
    "User",
    "Requisite",
)
ALLOWED_IN_OPT_IN = {"ProtectSystem", "ProtectKernelTunables", "PrivateUsers"}


def lines_of(text: str) -> dict[str, list[str]]:
    """Return the lines of each section, without comments."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            current = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            current.append(line)
    return sections


def unit(name: str) -> str:
    return read_template("systemd", name).decode()


def test_the_checkout_is_tested_and_not_older_copies() -> None:
    assert unit("voiced.service") == (REPOSITORY / "systemd/voiced.service").read_text()


@pytest.mark.parametrize("name", UNITS)
def test_it_parses(name: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(unit(name))
    assert set(parser.sections()) <= {"Unit", "Service", "Socket", "Install"}
    assert parser["Unit"]["Description"]


@pytest.mark.parametrize("name", UNITS)
def test_no_line_is_lost(name: str) -> None:
    found = lines_of(unit(name))
    for section, lines in REQUIRED[name].items():
        assert [line for line in lines if line not in found[section]] == [], section


@pytest.mark.parametrize("name", UNITS)
def test_no_forbidden_line(name: str) -> None:
    keys = {line.partition("=")[0] for lines in lines_of(unit(name)).values() for line in lines}
    assert keys & set(FORBIDDEN) == set()


def test_the_opt_in_walls_hide_no_gpu() -> None:
    keys = {
        line.partition("=")[0]
        for line in lines_of(unit("voiced.service.d/namespaces.conf.example"))["Service"]
    }
    assert keys & set(FORBIDDEN) == ALLOWED_IN_OPT_IN


@pytest.mark.parametrize(
    ("name", "command"), [("voiced.service", "run"), ("voiced-tray.service", "tray --wait")]
)
def test_it_starts_our_entry_point(name: str, command: str) -> None:
    (starts,) = [line for line in lines_of(unit(name))["Service"] if line.startswith("ExecStart=")]
    assert starts == f"ExecStart=%h/.local/bin/voiced {command}"
    assert "voiced" in {script.name for script in entry_points(group="console_scripts")}


def test_the_exit_codes_are_the_daemons() -> None:
    lines = lines_of(unit("voiced.service"))["Service"]
    final = f"{exit_codes.EXIT_ALREADY_RUNNING} 64 {exit_codes.EXIT_CANNOT_START}"
    assert f"RestartPreventExitStatus={final}" in lines
    assert f"RestartForceExitStatus={exit_codes.EXIT_RESTART}" in lines
    assert f"SuccessExitStatus={exit_codes.EXIT_RESTART}" in lines


@pytest.mark.process
@pytest.mark.systemd
@pytest.mark.parametrize("folder", ["plain", "a b", "c%n$d", "grün"])
def test_systemd_finds_no_fault(tmp_path: Path, folder: str) -> None:
    need("systemd", shutil.which("systemd-analyze") is not None, "systemd-analyze is not installed")
    program = tmp_path / folder / "voiced"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    for name in UNITS:
        (tmp_path / name).write_text(fill_unit(unit(name), program))
    done = analyze(tmp_path, "verify", "--man=no", *(str(tmp_path / name) for name in UNITS))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.process
@pytest.mark.systemd
def test_systemd_would_find_a_fault(tmp_path: Path) -> None:
    """The test above can fail: on a missing program, and on a misspelt key."""
    need("systemd", shutil.which("systemd-analyze") is not None, "systemd-analyze is not installed")
    broken = tmp_path / "voiced.service"
    broken.write_text(fill_unit(unit("voiced.service"), tmp_path / "nothing"))
    assert analyze(tmp_path, "verify", "--man=no", str(broken)).returncode
    broken.write_text(fill_unit(unit("voiced.service"), Path("/bin/true")).replace("KillMode", "KilMode"))
    assert "KilMode" in analyze(tmp_path, "verify", "--man=no", str(broken)).stdout


@pytest.mark.process
@pytest.mark.systemd
def test_the_score_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, not gated: the score counts options that a user's manager ignores."""
    need("systemd", shutil.which("systemd-analyze") is not None, "systemd-analyze is not installed")
    service = tmp_path / "voiced.service"
    service.write_text(fill_unit(unit("voiced.service"), Path("/bin/true")))
    done = analyze(tmp_path, "security", "--offline=yes", str(service))
    with capsys.disabled():
        print(f" [{done.stdout.strip().splitlines()[-1]}] ", end="")
    assert done.returncode == 0


def analyze(folder: Path, verb: str, *words: str) -> "subprocess.CompletedProcess[str]":
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    return subprocess.run(
        ["systemd-analyze", "--user", "--no-pager", verb, *words],
        env={
            "PATH": os.environ["PATH"],
            "XDG_RUNTIME_DIR": str(runtime),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
