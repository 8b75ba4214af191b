import stat
from pathlib import Path

import pytest

from voiced_ipc.endpoint import Endpoint
from voiced_tray.instance import FolderUnusable, take_instance


@pytest.fixture
def endpoint(tmp_path: Path) -> Endpoint:
    return Endpoint(tmp_path / "voiced")


def test_one_tray_at_a_time(endpoint: Endpoint) -> None:
    first = take_instance(endpoint)
    assert first is not None
    assert take_instance(endpoint) is None
    first.close()
    second = take_instance(endpoint)
    assert second is not None
    second.close()


def test_its_folder_is_private_and_empty_at_the_start(endpoint: Endpoint, tmp_path: Path) -> None:
    left = tmp_path / "voiced-tray/icons/left"
    left.parent.mkdir(parents=True, mode=0o700)
    left.parent.parent.chmod(0o700)
    left.touch()
    instance = take_instance(endpoint)
    assert instance is not None
    assert list(instance.icons.iterdir()) == []
    assert stat.S_IMODE(instance.icons.parent.stat().st_mode) == 0o700
    assert not endpoint.folder.exists()  # the daemon's own folder is the daemon's to make
    instance.close()
    assert not instance.icons.exists()


def test_a_folder_open_to_others_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "voiced-tray").mkdir()
    (tmp_path / "voiced-tray").chmod(0o777)
    with pytest.raises(FolderUnusable, match="chmod 700"):
        take_instance(endpoint)


def test_a_link_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "voiced-tray").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderUnusable, match="not a directory"):
        take_instance(endpoint)


@pytest.mark.parametrize("name", ["lock", "icons"])
def test_what_lies_there_and_is_not_ours_is_refused(endpoint: Endpoint, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "voiced-tray"
    folder.mkdir(mode=0o700)
    (folder / name).symlink_to(tmp_path)
    with pytest.raises(FolderUnusable, match="voiced-tray"):
        take_instance(endpoint)
    assert tmp_path.is_dir()


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusable, match="cannot be used"):
        take_instance(Endpoint(tmp_path / "file/voiced"))
