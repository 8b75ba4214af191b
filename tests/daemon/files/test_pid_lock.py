"""Who holds a lock is told, and the kernel lets go of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from voiced.files.pid_lock import LockHeld, PidLock


def test_the_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    lock = PidLock(tmp_path / "lock")
    with pytest.raises(LockHeld, match=f"process {os.getpid()} "):
        PidLock(tmp_path / "lock")
    lock.release()


def test_the_next_locks_the_same_file(tmp_path: Path) -> None:
    first = PidLock(tmp_path / "lock")
    inode = (tmp_path / "lock").stat().st_ino
    first.release()
    assert (tmp_path / "lock").read_text() == ""
    second = PidLock(tmp_path / "lock")
    assert (tmp_path / "lock").stat().st_ino == inode
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    second.release()


def test_a_longer_pid_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1234567890123456\n")
    lock = PidLock(tmp_path / "lock")
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


@pytest.mark.process
def test_the_kernel_lets_go_of_a_killed_holder(tmp_path: Path) -> None:
    program = "import sys,time; from pathlib import Path; from voiced.files.pid_lock import PidLock\n"
    program += "lock = PidLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockHeld, match=f"process {holder.pid} "):
            PidLock(tmp_path / "lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    PidLock(tmp_path / "lock").release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="lock"):
        PidLock(tmp_path / "lock")
    assert not (tmp_path / "victim").exists()


def test_no_descriptor_is_left_by_a_refusal(tmp_path: Path) -> None:
    lock = PidLock(tmp_path / "lock")
    probe = os.open(tmp_path / "lock", os.O_RDONLY)
    os.close(probe)
    for _ in range(3):
        with pytest.raises(LockHeld):
            PidLock(tmp_path / "lock")
    again = os.open(tmp_path / "lock", os.O_RDONLY)
    os.close(again)
    assert again == probe
    lock.release()
