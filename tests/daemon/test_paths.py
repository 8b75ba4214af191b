"""Where each thing lies."""

from pathlib import Path

import pytest

from voiced.paths import Paths, find_paths


def test_one_root_for_everything() -> None:
    paths = find_paths({"VOICED_ROOT": "/srv/v"})
    assert paths == Paths(*(Path("/srv/v") / name for name in ("config", "data", "state", "cache", "Voiced")))
    assert paths.config_file == Path("/srv/v/config/voiced.toml")
    assert paths.database == Path("/srv/v/state/jobs.sqlite")
    assert {paths.spool, paths.incoming, paths.log_file, paths.lock_file} == {
        Path("/srv/v/state") / name for name in ("spool", "incoming", "voiced.log", "voiced.lock")
    }


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("VOICED_CONFIG_DIR", "config"),
        ("VOICED_DATA_DIR", "data"),
        ("VOICED_STATE_DIR", "state"),
        ("VOICED_CACHE_DIR", "cache"),
        ("VOICED_HOME", "home"),
    ],
)
def test_each_folder_can_be_moved_alone(name: str, field: str) -> None:
    usual = find_paths({"VOICED_ROOT": "/srv/v"})
    moved = find_paths({"VOICED_ROOT": "/srv/v", name: "/else/where"})
    assert moved == usual._replace(**{field: Path("/else/where")})
    assert find_paths({"VOICED_ROOT": "/srv/v", name: ""}) == usual


def test_relative_and_home_places_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    paths = find_paths({"VOICED_ROOT": "here", "VOICED_HOME": "~/Talk"})
    assert paths.state == tmp_path / "here/state"
    assert paths.home == Path("/home/somebody/Talk")


def test_the_usual_places_are_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    paths = find_paths({})
    assert all(folder.is_relative_to("/home/somebody") for folder in paths)
    assert len(set(paths)) == 5
    assert paths.home == Path("/home/somebody/Voiced")


def test_nothing_is_created(tmp_path: Path) -> None:
    find_paths({"VOICED_ROOT": str(tmp_path / "new")})
    assert list(tmp_path.iterdir()) == []
