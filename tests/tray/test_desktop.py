"""What the tray runs outside the protocol, with real programs on a PATH of our own."""

import sys
import threading
from pathlib import Path

import pytest

from voiced_tray import desktop
from voiced_tray.desktop import DesktopError, Reader


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH, beside the system's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    return folder


def make_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def voiced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `voiced` whose text the test writes."""
    script = tmp_path / "voiced.py"
    monkeypatch.setattr(desktop, "_VOICED", (sys.executable, str(script)))
    return script


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "darwin", reason="xdg-open is not macOS's")
def test_a_folder_is_shown(programs: Path, tmp_path: Path) -> None:
    make_program(programs, "xdg-open", f'printf %s "$1" > "{tmp_path}/opened"')
    desktop.open_folder(tmp_path)
    assert (tmp_path / "opened").read_text() == str(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DesktopError, match="not there yet"):
        desktop.open_folder(tmp_path / "none")


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "darwin", reason="xdg-open is not macOS's")
def test_a_desktop_that_shows_no_folders(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(programs, "xdg-open", "exit 3")
    with pytest.raises(DesktopError, match="no program"):
        desktop.open_folder(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DesktopError, match="xdg-open is not installed"):
        desktop.open_folder(tmp_path)


@pytest.mark.parametrize(
    ("environ", "there", "expected"),
    [
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, {"wl-paste", "xclip"}, "wl-paste"),
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, {"xclip"}, "xclip"),
        ({"WAYLAND_DISPLAY": "w"}, {"xclip"}, None),
        ({"DISPLAY": ":0"}, {"wl-paste", "xsel"}, "xsel"),
        ({"DISPLAY": ":0"}, set(), None),
    ],
)
def test_which_program_reads_the_clipboard(
    environ: dict[str, str], there: set[str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    command = desktop.clipboard_command(environ, lambda name: name if name in there else None)
    assert (command[0] if command else None) == expected


def test_macos_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert desktop.clipboard_command({}, lambda name: name) == ("pbpaste",)


def test_the_hint_names_what_to_install(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(programs))
    assert desktop.clipboard_hint({"DISPLAY": ":0"}) == "install xclip"
    assert desktop.clipboard_hint({"WAYLAND_DISPLAY": "w"}) == "install wl-clipboard"
    make_program(programs, "xclip", "")
    assert desktop.clipboard_hint({"DISPLAY": ":0"}) == ""


@pytest.mark.process
@pytest.mark.parametrize("script", ["exit 1", "printf ' \\n '"])
def test_a_clipboard_without_text(programs: Path, script: str) -> None:
    make_program(programs, "paste", script)
    with pytest.raises(DesktopError, match="no text"):
        desktop.read_clipboard(["paste"])


@pytest.mark.process
def test_a_clipboard_that_hangs(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "CLIPBOARD_TIMEOUT_S", 0.1)
    make_program(programs, "paste", "exec sleep 60")
    with pytest.raises(DesktopError, match="does not answer"):
        desktop.read_clipboard(["paste"])


@pytest.mark.process
def test_a_clipboard_that_is_too_long(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "MAX_CLIPBOARD_BYTES", 3)
    make_program(programs, "paste", "printf 1234")
    with pytest.raises(DesktopError, match="drop it as a file"):
        desktop.read_clipboard(["paste"])


@pytest.mark.process
def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(DesktopError, match="cannot be run"):
        desktop.read_clipboard([str(tmp_path)])


def test_the_sentence_of_a_failed_command_is_passed_on(voiced: Path) -> None:
    voiced.write_text("import sys; print('noise', file=sys.stderr); sys.exit('voiced: no room: free some')")
    with pytest.raises(DesktopError, match=r"\Ano room: free some\Z"):
        desktop.run_voiced("restart")
    voiced.write_text("import sys; sys.exit(1)")
    with pytest.raises(DesktopError, match="voiced restart"):
        desktop.run_voiced("restart")


def test_a_command_that_does_not_end(voiced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desktop, "COMMAND_TIMEOUT_S", 0.1)
    voiced.write_text("import time; time.sleep(60)")
    with pytest.raises(DesktopError, match="did not end within"):
        desktop.run_voiced("restart")


def test_the_text_goes_to_say_and_never_to_the_arguments(
    programs: Path, voiced: Path, tmp_path: Path
) -> None:
    make_program(programs, "paste", "printf 'words to hear'")
    out = tmp_path / "out"
    voiced.write_text(f"import sys; open({str(out)!r}, 'w').write(f'{{sys.argv[1:]}} {{sys.stdin.read()}}')")
    Reader().read(["paste"])
    assert out.read_text() == "['say', '-'] words to hear"


def test_reading_that_fails_says_why(programs: Path, voiced: Path) -> None:
    make_program(programs, "paste", "printf text")
    voiced.write_text("import sys; sys.stdin.read(); sys.exit('voiced: no sound device')")
    with pytest.raises(DesktopError, match="no sound device"):
        Reader().read(["paste"])


def test_stopping_is_no_failure_and_another_text_can_follow(
    programs: Path, voiced: Path, tmp_path: Path
) -> None:
    make_program(programs, "paste", "printf text")
    ready = tmp_path / "ready"
    voiced.write_text(
        "import sys, time\n"
        "sys.stdin.read()\n"
        "try:\n"
        f"    open({str(ready)!r}, 'w').close()\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    reader = Reader()
    failures: list[DesktopError] = []

    def read() -> None:
        try:
            reader.read(["paste"])
        except DesktopError as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    while not ready.exists():
        thread.join(0.01)
        assert thread.is_alive()
    reader.read(["paste"])  # one text at a time: this one is passed over
    reader.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert failures == []
    voiced.write_text("import sys; sys.stdin.read()")
    reader.read(["paste"])


def test_stopping_where_nothing_is_read_does_nothing() -> None:
    Reader().stop()
