import configparser
import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced_tray import autostart
from voiced_tray.__main__ import main


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", "/home/u/.config/autostart/voiced-tray.desktop"),
        ({"XDG_CONFIG_HOME": "/cfg"}, "linux", "/cfg/autostart/voiced-tray.desktop"),
        ({"XDG_CONFIG_HOME": "cfg"}, "linux", "/home/u/.config/autostart/voiced-tray.desktop"),
        ({}, "darwin", "/home/u/Library/LaunchAgents/local.voiced.tray.plist"),
    ],
)
def test_where_it_lies(environ: dict[str, str], platform: str, expected: str) -> None:
    assert autostart.autostart_file(environ, Path("/home/u"), platform) == Path(expected)


def parse(text: str) -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    assert parser.sections() == ["Desktop Entry"]
    return dict(parser["Desktop Entry"])


def test_the_entry_has_what_desktops_need() -> None:
    entry = parse(autostart.desktop_entry(("/opt/my apps/voiced-tray", "--wait")))
    assert entry["Type"] == "Application"
    assert entry["Version"] == "1.0"
    assert entry["Exec"] == '"/opt/my apps/voiced-tray" "--wait"'
    assert entry["TryExec"] == "/opt/my apps/voiced-tray"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), min_size=1))
def test_any_path_survives_the_quoting(path: str) -> None:
    line = parse(autostart.desktop_entry((f"/{path}/x", "--wait")))["Exec"]
    unescaped = line.replace("\\\\", "\\")  # a value of type string
    quoted = re.findall(r'"((?:[^"\\`$]|\\["\\`$])*)"', unescaped)  # the specification's double quotes
    assert unescaped == " ".join(f'"{argument}"' for argument in quoted)
    arguments = [re.sub(r"\\(.)", r"\1", argument).replace("%%", "%") for argument in quoted]
    assert arguments == [f"/{path}/x", "--wait"]


@pytest.mark.process
def test_the_entry_passes_the_validator(tmp_path: Path) -> None:
    if shutil.which("desktop-file-validate") is None:
        pytest.skip("desktop-file-validate is not installed")
    file = tmp_path / "voiced-tray.desktop"
    autostart.turn_on(file, "linux")
    done = subprocess.run(["desktop-file-validate", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_agent_is_a_sound_property_list() -> None:
    agent = plistlib.loads(autostart.launch_agent(("/opt/voiced-tray", "--wait")))
    assert agent["ProgramArguments"] == ["/opt/voiced-tray", "--wait"]
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["LimitLoadToSessionType"] == "Aqua"
    assert agent["ProcessType"] == "Interactive"


def test_the_command_is_this_installations(tmp_path: Path) -> None:
    python = tmp_path / "python"
    assert autostart.command(python) == (str(python), "-P", "-m", "voiced_tray", "--wait")
    (tmp_path / "voiced-tray").touch()
    assert autostart.command(python) == (str(tmp_path / "voiced-tray"), "--wait")


@pytest.mark.parametrize("line", ["Hidden=true", "Hidden = True", "X-GNOME-Autostart-enabled=false"])
def test_an_entry_that_the_desktop_switched_off_is_off(tmp_path: Path, line: str) -> None:
    file = tmp_path / "autostart/voiced-tray.desktop"
    autostart.turn_on(file, "linux")
    assert autostart.is_on(file)
    file.write_text(f"{file.read_text()}{line}\n")
    assert not autostart.is_on(file)


@pytest.mark.skipif(sys.platform == "darwin", reason="the desktop file is Linux's")
def test_the_option_writes_tells_and_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "autostart/voiced-tray.desktop"
    for wish, is_there in (("status", False), ("on", True), ("on", True), ("status", True), ("off", False)):
        assert main(["--autostart", wish]) == os.EX_OK
        assert file.exists() is is_there
        assert capsys.readouterr().out.startswith("on" if is_there else "off")
    assert main(["--autostart", "off"]) == os.EX_OK
    assert list(file.parent.iterdir()) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="the desktop file is Linux's")
def test_a_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "autostart").write_text("a file")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["--autostart", "on"]) == os.EX_CANTCREAT
    assert "cannot be changed" in capsys.readouterr().err
