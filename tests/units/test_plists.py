"""The launchd agents: lint and round trip. launchd itself runs only on macOS."""

import plistlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from voiced.service import launchd
from voiced.service.template import read_template

AGENTS = (launchd.DAEMON, launchd.TRAY)

# launchd.plist(5), as far as we would use it.
KNOWN: dict[str, type | tuple[type, ...]] = {
    "Label": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": (bool, dict),
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "LowPriorityIO": bool,
    "Nice": int,
    "Umask": int,
    "WorkingDirectory": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "EnvironmentVariables": dict,
    "LimitLoadToSessionType": str,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
}


def lint(agent: dict[str, Any]) -> list[str]:
    """Return what launchd would reject, ignore or take for something else."""
    faults = [f"unknown key {key}" for key in agent if key not in KNOWN]
    faults += [
        f"{key}: wrong type" for key in agent if key in KNOWN and not isinstance(agent[key], KNOWN[key])
    ]
    if agent.get("ProcessType", "Standard") not in ("Background", "Standard", "Adaptive", "Interactive"):
        faults.append("ProcessType")
    words = [*agent.get("ProgramArguments", [])[:1]]
    words += [
        agent[key] for key in ("WorkingDirectory", "StandardOutPath", "StandardErrorPath") if key in agent
    ]
    faults += [f"{word}: not absolute" for word in words if not word.startswith("/")]
    faults += [
        f"{word}: launchd expands nothing" for word in words if "~" in word or "$" in word or "@" in word
    ]
    return faults if words else [*faults, "nothing to run"]


def filled(label: str, program: str = "/opt/voiced/bin/voiced", home: str = "/Users/anna") -> dict[str, Any]:
    raw = launchd.fill_agent(read_template("launchd", f"{label}.plist"), Path(program), Path(home))
    agent = plistlib.loads(raw)
    assert isinstance(agent, dict)
    return agent


@pytest.mark.parametrize("label", AGENTS)
def test_lint(label: str) -> None:
    agent = filled(label)
    assert lint(agent) == []
    assert agent["Label"] == label
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["ThrottleInterval"] == 10
    assert agent["Umask"] == 0o077


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"KeepAlives": True}, "unknown key KeepAlives"),
        ({"ExitTimeOut": "20"}, "ExitTimeOut: wrong type"),
        ({"ProcessType": "Bg"}, "ProcessType"),
        ({"StandardOutPath": "~/x"}, "~/x: not absolute"),
        ({"ProgramArguments": ["voiced"]}, "voiced: not absolute"),
    ],
)
def test_the_lint_finds_faults(change: dict[str, Any], fault: str) -> None:
    assert fault in lint(filled(launchd.DAEMON) | change)


def test_the_daemon() -> None:
    agent = filled(launchd.DAEMON)
    assert agent["ProgramArguments"] == ["/opt/voiced/bin/voiced", "run"]
    assert agent["SoftResourceLimits"]["NumberOfFiles"] >= 4096
    assert agent["ProcessType"] == "Standard"
    assert agent["ExitTimeOut"] == 20
    assert agent["StandardErrorPath"] == "/Users/anna/Library/Logs/voiced/daemon.log"


def test_the_tray() -> None:
    agent = filled(launchd.TRAY)
    assert agent["ProgramArguments"] == ["/opt/voiced/bin/voiced", "tray"]
    assert agent["ProcessType"] == "Interactive"
    assert agent["LimitLoadToSessionType"] == "Aqua"


def test_hard_names_survive() -> None:
    program, home = "/opt/a b/<&>'\"/voiced", "/Users/grün"
    raw = launchd.fill_agent(read_template("launchd", f"{launchd.DAEMON}.plist"), Path(program), Path(home))
    assert plistlib.loads(raw)["ProgramArguments"][0] == program
    assert plistlib.loads(raw)["WorkingDirectory"] == home
    assert launchd.started_program(raw) == program


@pytest.mark.parametrize(
    "damaged", [b"", b"no plist", b'<?xml version="1.0"?><plist><dict><key>a</key>', b"bplist00"]
)
def test_a_damaged_agent_starts_nothing(damaged: bytes) -> None:
    assert launchd.started_program(damaged) == ""


@pytest.mark.process
@pytest.mark.parametrize("label", AGENTS)
def test_another_implementation_reads_the_same(label: str, tmp_path: Path) -> None:
    if shutil.which("plistutil") is None:
        pytest.skip("plistutil is not installed (Debian: libplist-utils)")
    raw = launchd.fill_agent(read_template("launchd", f"{label}.plist"), Path("/v"), Path("/h"))
    source, binary, back = tmp_path / "a.plist", tmp_path / "b.plist", tmp_path / "c.plist"
    source.write_bytes(raw)
    subprocess.run(["plistutil", "-i", source, "-f", "bin", "-o", binary], check=True, timeout=30)
    subprocess.run(["plistutil", "-i", binary, "-f", "xml", "-o", back], check=True, timeout=30)
    assert plistlib.loads(back.read_bytes()) == plistlib.loads(raw)
