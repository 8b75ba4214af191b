"""Where the daemon listens, and which folders may not hold sockets."""

import os
from pathlib import Path

import pytest

from voiced_ipc.endpoint import find_endpoint, unsafe_reason
from voiced_ipc.errors import DaemonUnavailable


def test_the_variable_comes_first() -> None:
    environ = {"VOICED_ENDPOINT": "/tmp/x", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert find_endpoint(environ).speech == Path("/tmp/x/voiced.sock")
    del environ["VOICED_ENDPOINT"]
    assert find_endpoint(environ).control == Path("/run/user/7/voiced/control.sock")


def test_a_path_too_long_for_a_socket_is_refused_with_the_remedy() -> None:
    with pytest.raises(DaemonUnavailable, match="VOICED_ENDPOINT"):
        find_endpoint({"VOICED_ENDPOINT": "/tmp/" + "x" * 120})


def test_a_closed_folder_of_ours_is_safe(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert unsafe_reason(tmp_path) == ""


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_an_open_folder_is_unsafe(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert "chmod 700" in unsafe_reason(tmp_path)


def test_a_folder_that_everybody_could_replace_is_unsafe(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "between" / "run"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    assert unsafe_reason(folder) == ""
    (tmp_path / "open").chmod(0o777)
    assert f"chmod o-w {tmp_path / 'open'}" in unsafe_reason(folder)
    (tmp_path / "open").chmod(0o1777)  # as /tmp
    assert unsafe_reason(folder) == ""


def test_links_files_and_nothing_are_unsafe(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        assert "not a directory" in unsafe_reason(tmp_path / name)
    assert "cannot be read" in unsafe_reason(tmp_path / "nothing")


def test_the_folder_of_another_user_is_unsafe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert "belongs to user" in unsafe_reason(tmp_path)
