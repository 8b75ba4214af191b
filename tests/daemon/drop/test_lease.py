import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from voiced.drop.lease import is_being_written, tells_writers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")


def test_a_writer_is_seen_and_then_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    assert is_being_written(path) is False
    with path.open("a"):
        assert is_being_written(path) is True
    with path.open():
        assert is_being_written(path) is False


def test_a_writer_of_a_mapping_is_seen_after_his_close(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("w+b") as file:
        file.truncate(10)
        mapping = mmap.mmap(file.fileno(), 10)
    assert is_being_written(path) is True
    mapping.close()
    assert is_being_written(path) is False


def test_a_descriptor_may_be_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    with path.open() as file:
        assert is_being_written(file.fileno()) is False
        with path.open("a"):
            assert is_being_written(file.fileno()) is True


def test_what_is_no_file_cannot_be_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path):
        assert is_being_written(path) is None
    with pytest.raises(FileNotFoundError):
        is_being_written(tmp_path / "missing")


def test_descriptors_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        is_being_written(path)
        with path.open("a"):
            is_being_written(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


HOLDER = """
import os, sys
from voiced.drop.lease import take_lease
descriptor = os.open(sys.argv[1], os.O_RDONLY)
take_lease(descriptor)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.process
def test_breaking_a_lease_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError):  # the kernel has sent its signal by then
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        holder.communicate("end\n", timeout=20)
    assert holder.returncode == 0


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home/me/Net\040Drive rw - nfs4 server:/x rw
31 22 0:41 / /mnt/c rw - 9p C: rw
32 22 0:42 / /home/me/Cloud rw master:2 - fuse.rclone r: rw
33 22 8:2 / /mnt/c/local rw - ext4 /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("folder", "tells"),
    [
        ("/home/me/Drop", True),
        ("/home/me/Net Drive/Drop", False),
        ("/home/me/Net Drive2", True),
        ("/mnt/c/Users", False),
        ("/mnt/c/local/Drop", True),
        ("/home/me/Cloud", False),
    ],
)
def test_remote_file_systems_do_not_tell(folder: str, tells: bool) -> None:
    assert tells_writers(Path(folder), MOUNTS) is tells


def test_this_machines_mounts_can_be_read(tmp_path: Path) -> None:
    assert tells_writers(tmp_path) is True
