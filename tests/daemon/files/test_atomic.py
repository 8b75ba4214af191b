from pathlib import Path

import pytest

from tests.daemon.files.made import names, write
from voiced.files.atomic import fsync_folder, sweep_temporaries, write_atomically


def test_write_atomically_writes_with_its_mode_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, b"one")
    assert path.stat().st_mode & 0o777 == 0o600
    write_atomically(path, b"two" * 1_000_000, mode=0o644)
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o644, 3_000_000)
    assert names(tmp_path) == ["a"]


def test_write_atomically_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "folder", b"data")
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "no" / "file", b"data")
    assert names(tmp_path) == ["folder"]


def test_sweep_removes_only_our_temporaries(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in (".voiced-0123.tmp", "sub/.voiced-4567.tmp", "a.tmp", ".voiced-notes", "sub/b.txt"):
        write(tmp_path / name)
    assert sweep_temporaries(tmp_path) == 2
    assert names(tmp_path) == [".voiced-notes", "a.tmp", "sub"]
    assert sweep_temporaries(tmp_path / "missing") == 0


def test_fsync_folder(tmp_path: Path) -> None:
    fsync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        fsync_folder(tmp_path / "missing")
