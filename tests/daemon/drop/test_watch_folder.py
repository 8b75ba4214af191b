"""The folder itself comes and goes: renamed, unmounted, shut, on a drive that is unplugged. Real folders, real threads.

Nobody tells of most of these; a scan finds them, and the thread goes on without a restart.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.drop.box import Box, wait_until, watching
from tests.support import need

SCAN_S = 0.2


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "home", settle_s=0.2, scan_interval_s=SCAN_S)


@pytest.fixture(autouse=True)
def quick_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiced.drop.watch._FALLBACK_SCAN_S", SCAN_S)


def test_a_drive_that_is_unplugged_is_a_problem_until_it_is_back(box: Box, tmp_path: Path) -> None:
    with watching(box) as watcher:
        box.drop.parent.rename(tmp_path / "unplugged")
        wait_until(lambda: not watcher.info().is_watched)
        assert "its drive or its parent folder is gone" in watcher.info().detail
        assert not box.drop.parent.exists()  # nothing is made in its place
        (tmp_path / "unplugged" / "Drop" / "a.txt").write_text("text")
        (tmp_path / "unplugged").rename(box.drop.parent)
        box.wait(lambda: box.names == ["a.txt"])
        wait_until(lambda: watcher.info().is_watched and not watcher.info().detail)
        box.write("b.txt")
        box.wait(lambda: box.names == ["a.txt", "b.txt"])


def test_a_folder_that_was_renamed_is_made_anew_and_the_other_left_alone(box: Box) -> None:
    with watching(box) as watcher:
        box.drop.rename(box.drop.with_name("Old"))
        wait_until(lambda: "made again" in watcher.info().detail)
        (box.drop.with_name("Old") / "not ours.txt").write_text("text")
        box.write("sub/a.txt")
        box.wait(lambda: bool(box.claims))
    assert box.names == ["sub/a.txt"]


def test_a_file_in_its_place_is_a_problem_until_it_goes(box: Box) -> None:
    with watching(box) as watcher:
        shutil.rmtree(box.drop)
        with contextlib.suppress(FileExistsError, IsADirectoryError):
            box.drop.write_text("in the way")
        if box.drop.is_file():
            wait_until(lambda: "make it a folder" in watcher.info().detail)
            box.drop.unlink()
        box.write("a.txt")
        box.wait(lambda: bool(box.claims))
        wait_until(lambda: watcher.info().is_watched)


@pytest.fixture
def mounted(box: Box) -> Iterator[Path]:
    """The drop folder as a file system of its own, which can be unmounted and mounted again."""
    box.drop.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "tmpfs", str(box.drop)]
    has_mounted = shutil.which("mount") and subprocess.run(command, capture_output=True).returncode == 0
    need("mounts", bool(has_mounted), "needs the right to mount")
    try:
        yield box.drop
    finally:
        while subprocess.run(["umount", "--lazy", str(box.drop)], capture_output=True).returncode == 0:
            pass


@pytest.mark.process
def test_a_folder_that_is_unmounted_and_mounted_again_is_watched(box: Box, mounted: Path) -> None:
    with watching(box) as watcher:
        box.write("a.txt")
        box.wait(lambda: box.names == ["a.txt"])
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)
        wait_until(lambda: mounted.stat().st_dev == mounted.parent.stat().st_dev)
        wait_until(lambda: watcher.info().is_watched)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
        box.write("sub/b.txt")
        box.wait(lambda: box.names == ["a.txt", "sub/b.txt"])
        wait_until(lambda: watcher.info().is_watched and watcher._observed == _identity(mounted))
        box.write("c.txt")
        box.wait(lambda: len(box.names) == 3)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


@pytest.mark.process
def test_a_folder_of_another_device_inside_is_claimed_from_once(box: Box, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    need("devices", memory.is_dir(), "needs /dev/shm")
    box.drop.mkdir(parents=True)
    inside = box.drop / "inside"
    inside.mkdir()
    with tempfile.TemporaryDirectory(dir=memory) as other:
        bind = subprocess.run(["mount", "--bind", other, str(inside)], capture_output=True)
        need("mounts", bind.returncode == 0, "needs the right to mount")
        try:
            (inside / "a.txt").write_text("text")
            with watching(box):
                box.wait(lambda: bool(box.claims))
                # As a kill leaves it between the copy's name and the end of the source.
                shutil.copy2(box.claims[0].path, inside / "a.txt")
                shutil.copystat(box.claims[0].path, inside / "a.txt")
        finally:
            subprocess.run(["umount", "--lazy", str(inside)], check=True)
            subprocess.run(["mount", "--bind", other, str(inside)], check=True)
        try:
            again = Box(box.drop.parent, settle_s=0.2, scan_interval_s=SCAN_S)
            with watching(again):
                again.wait(lambda: bool(again.claims))
                wait_until(lambda: not (inside / "a.txt").exists())
            assert again.claims == box.claims[:1]
        finally:
            subprocess.run(["umount", "--lazy", str(inside)], check=True)


SHUT = """
import ctypes, hashlib, os, sys, time
from pathlib import Path
import watchdog.observers.inotify_move_event_grouper
from voiced.drop import watch
from voiced.files.rename import _exclusive_rename
_exclusive_rename()
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
from voiced.drop.terms import DropHooks, DropSettings
watch._FALLBACK_SCAN_S = 0.1
base = Path(sys.argv[1])
hooks = DropHooks(lambda claim, sidecars: print("claimed", claim.relative, flush=True), print, lambda: 10)
watcher = watch.DropWatcher(DropSettings(base / "Drop", base / "Failed", 100, 0.1, 0.1), hooks)
watcher.start()
told = False, ""
while True:
    info = watcher.info()
    if (info.is_watched, info.detail) != told:
        told = info.is_watched, info.detail
        print("watched" if info.is_watched else "not watched", info.detail, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.process
def test_a_folder_that_is_shut_is_told_and_taken_up_when_it_is_open_again() -> None:
    """In a process without rights of its own: root may read what is shut."""
    base = Path(tempfile.mkdtemp(dir="/tmp"))
    drop, is_root = base / "Drop", os.geteuid() == 0
    try:
        (drop / "sub").mkdir(parents=True)
        if is_root:
            for folder in (base, drop, drop / "sub"):
                os.chown(folder, 65534, 65534)
        command = [sys.executable, "-c", SHUT, str(base)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "watched \n"
            drop.chmod(0)
            shut = process.stdout.readline()
            _put(drop, "a.txt", is_root)
            drop.chmod(0o700)
            told = [process.stdout.readline() for _ in range(2)]
            (drop / "sub").chmod(0)
            shut_below = process.stdout.readline()
            (drop / "sub").chmod(0o700)
            open_below = process.stdout.readline()
            process.kill()
        assert shut.startswith(f"not watched {drop} cannot be ")
        assert sorted(told) == ["claimed a.txt\n", "watched \n"]
        assert shut_below.startswith("watched sub in the drop folder cannot be read")
        assert open_below == "watched \n"
    finally:
        shutil.rmtree(base)


def _put(drop: Path, name: str, is_root: bool) -> None:
    made = drop.with_name(name)
    made.write_text("text")
    if is_root:
        os.chown(made, 65534, 65534)
        made.rename(drop / name)
    else:
        drop.chmod(0o700)
        made.rename(drop / name)
