import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.files.made import names, write
from voiced.files import rename as module
from voiced.files.place import rename_without_replacing

Rename = Callable[[Path, Path], None]

ODD_NAMES = ["plain.txt", "a\nb.txt", "-rf.txt", os.fsdecode(b"\xff\xfe.txt"), "語" * 83 + ".txt", " .txt"]
WAYS = [
    rename_without_replacing,
    module._rename_exclusively,
    module._link_and_unlink,
    module._look_and_rename,
]


@pytest.mark.parametrize("rename", WAYS)
class TestRename:
    def test_moves(self, tmp_path: Path, rename: Rename) -> None:
        rename(write(tmp_path / "a"), tmp_path / "b")
        assert names(tmp_path) == ["b"]
        assert (tmp_path / "b").read_text() == "text"

    @pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
    def test_never_overwrites(self, tmp_path: Path, rename: Rename, kind: str) -> None:
        source, target = write(tmp_path / "a", "new"), tmp_path / "b"
        if kind == "file":
            write(target, "old")
        elif kind == "folder":
            target.mkdir()
        else:
            target.symlink_to("nowhere")
        before = target.lstat()
        with pytest.raises(FileExistsError):
            rename(source, target)
        assert source.read_text() == "new"
        assert target.lstat().st_ino == before.st_ino

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_takes_any_name(self, tmp_path: Path, rename: Rename, name: str) -> None:
        rename(write(tmp_path / "a"), tmp_path / name)
        assert names(tmp_path) == [name]

    def test_tells_what_is_missing(self, tmp_path: Path, rename: Rename) -> None:
        with pytest.raises(FileNotFoundError):
            rename(tmp_path / "a", tmp_path / "b")

    def test_tells_another_device(self, tmp_path: Path, rename: Rename, elsewhere: Path) -> None:
        source = write(tmp_path / "a")
        if rename is rename_without_replacing:
            rename(source, elsewhere / "a")
            assert not source.exists()
            return
        with pytest.raises(OSError, match="cross-device") as caught:
            rename(source, elsewhere / "a")
        assert caught.value.errno == errno.EXDEV
        assert names(elsewhere) == []


def test_rename_goes_on_without_the_exclusive_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_exclusive_rename", lambda: None)
    rename_without_replacing(write(tmp_path / "a"), tmp_path / "b")
    os.mkfifo(tmp_path / "pipe")
    rename_without_replacing(tmp_path / "pipe", tmp_path / "pipe2")
    assert names(tmp_path) == ["b", "pipe2"]
