import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.files.made import names, write
from voiced.files import rename
from voiced.files.across import end_move
from voiced.files.atomic import in_work, sweep_temporaries
from voiced.files.place import place, rename_without_replacing


def test_across_devices_keeps_content_mode_and_time(tmp_path: Path, elsewhere: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(os.urandom(3_000_000))
    source.chmod(0o640)
    os.utime(source, ns=(1_000_000_000, 2_000_000_000))
    data = source.read_bytes()
    rename_without_replacing(source, elsewhere / "b.txt")
    assert not source.exists()
    assert (elsewhere / "b.txt").read_bytes() == data
    found = (elsewhere / "b.txt").stat()
    assert (found.st_mode & 0o777, found.st_mtime_ns) == (0o640, 2_000_000_000)
    assert names(elsewhere) == ["b.txt"]


def test_across_devices_never_overwrites_and_leaves_nothing(tmp_path: Path, elsewhere: Path) -> None:
    source, target = write(tmp_path / "a", "new"), write(elsewhere / "b", "old")
    with pytest.raises(FileExistsError):
        rename_without_replacing(source, target)
    assert (source.read_text(), target.read_text(), names(elsewhere)) == ("new", "old", ["b"])


def test_across_devices_a_link_goes_as_a_link(tmp_path: Path, elsewhere: Path) -> None:
    secret = write(tmp_path / "secret", "secret")
    (tmp_path / "link").symlink_to(secret)
    placed = place(tmp_path / "link", elsewhere, Path("sub/link"))
    assert placed.is_symlink()
    assert placed.readlink() == secret
    assert not (tmp_path / "link").is_symlink()


def test_across_devices_refuses_what_is_no_file(tmp_path: Path, elsewhere: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="only files and links"):
        rename_without_replacing(tmp_path / "pipe", elsewhere / "pipe")
    with pytest.raises(OSError, match="cross-device"):
        place(write(tmp_path / "a"), elsewhere, Path("a"), may_copy=False)
    assert names(tmp_path) == ["a", "pipe"]
    assert names(elsewhere) == []


def test_place_across_devices_finds_a_free_name(tmp_path: Path, elsewhere: Path) -> None:
    write(elsewhere / "a.txt", "old")
    assert place(write(tmp_path / "a.txt", "new"), elsewhere, Path("a.txt")).name == "a (2).txt"
    assert names(elsewhere) == ["a (2).txt", "a.txt"]


def test_a_move_across_devices_that_was_cut_short_is_ended_once(tmp_path: Path, elsewhere: Path) -> None:
    for n in range(3):
        source = write(tmp_path / "a.txt", f"text {n}")
        target = elsewhere / ("a.txt" if n == 0 else f"a ({n + 1}).txt")
        shutil.copy2(source, target)  # killed after the copy had its name, before the source went
        assert place(source, elsewhere, Path("a.txt")) == target
        assert not source.exists()
    assert names(elsewhere) == ["a (2).txt", "a (3).txt", "a.txt"]


@pytest.mark.parametrize("how", ["other text", "other length", "other time", "a link", "same device"])
def test_what_only_looks_like_a_copy_is_none(tmp_path: Path, elsewhere: Path, how: str) -> None:
    source, copy = write(tmp_path / "a.txt"), elsewhere / "a.txt"
    copy = tmp_path / "b.txt" if how == "same device" else copy
    shutil.copy2(source, copy)
    if how.startswith("other"):
        time_ns = copy.stat().st_mtime_ns
        copy.write_text({"other text": "TEXT", "other length": "text2", "other time": "text"}[how])
        late_ns = 1_234_567 if how == "other time" else 0
        os.utime(copy, ns=(time_ns, time_ns + late_ns))
    elif how == "a link":
        copy.unlink()
        copy.symlink_to(source)
    assert not end_move(source, copy)
    assert source.read_text() == "text"
    assert end_move(tmp_path / "missing", copy) is False


@pytest.mark.parametrize("step_ns", [1, 100, 10_000_000, 2_000_000_000])
def test_a_copy_is_known_where_times_are_coarse(tmp_path: Path, elsewhere: Path, step_ns: int) -> None:
    source, copy = write(tmp_path / "a.txt"), write(elsewhere / "a.txt")
    time_ns = source.stat().st_mtime_ns
    os.utime(copy, ns=(time_ns, time_ns - time_ns % step_ns))
    assert end_move(source, copy)
    assert names(tmp_path) == []


CUT_SHORT = """
import sys
from pathlib import Path
from voiced.files import across, place
read = across.os.read
def slowly(*arguments):
    print("copying", flush=True)
    sys.stdin.readline()
    return read(*arguments)
across.os.read = slowly
across._COPY_BYTES = 1 << 16
place.place(Path(sys.argv[1]), Path(sys.argv[2]), Path("a.txt"))
"""


@pytest.mark.process
def test_a_copy_killed_half_way_is_made_anew_and_leaves_nothing(tmp_path: Path, elsewhere: Path) -> None:
    source = write(tmp_path / "a.txt", "text" * 100_000)
    command = [sys.executable, "-c", CUT_SHORT, str(source), str(elsewhere)]
    for _ in range(2):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process:
            assert process.stdin
            assert process.stdout
            for _ in range(3):
                assert process.stdout.readline() == "copying\n"
                process.stdin.write("\n")
            assert process.stdout.readline() == "copying\n"
            process.kill()
        assert source.exists()
        (stray,) = names(elsewhere)
        assert (elsewhere / stray).stat().st_size > 0
    assert place(source, elsewhere, Path("a.txt")) == elsewhere / "a.txt"
    assert names(elsewhere) == ["a.txt"]
    assert (elsewhere / "a.txt").read_text() == "text" * 100_000


def test_a_copy_that_is_being_made_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its times are: those of its source, and by a clock that was set back meanwhile."""
    source, target = write(tmp_path / "source"), tmp_path / "to"
    target.mkdir()
    left = write(target / ".voiced-0123.tmp")
    plain, swept = rename.rename, list[int]()

    def across(old: Path, new: Path) -> None:
        if old == source:
            raise OSError(errno.EXDEV, "other device")
        swept.append(sweep_temporaries(target))
        plain(old, new)

    monkeypatch.setattr("voiced.files.place.rename", across)
    rename_without_replacing(source, target / "moved")
    assert swept == [1]
    assert not left.exists()
    assert names(target) == ["moved"]
    write(left)
    assert sweep_temporaries(target) == 1
    assert not in_work


def test_a_copy_that_fails_is_no_longer_in_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "source")

    def refuse(old: Path, new: Path) -> None:
        raise OSError(errno.EXDEV if old == source else errno.EACCES, "refused")

    monkeypatch.setattr("voiced.files.place.rename", refuse)
    with pytest.raises(PermissionError):
        rename_without_replacing(source, tmp_path / "target")
    monkeypatch.setattr("voiced.files.across.write_all", lambda *_: refuse(tmp_path, tmp_path))
    with pytest.raises(PermissionError):
        rename_without_replacing(source, tmp_path / "target")
    assert not in_work
    assert names(tmp_path) == ["source"]
