import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import need
from voiced import files
from voiced.files import (
    MAX_NAME_BYTES,
    end_move,
    first_free,
    free_name,
    fsync_folder,
    place,
    printable,
    rename_without_replacing,
    shorten,
    split_suffix,
    sweep_temporaries,
    write_atomically,
)

Rename = Callable[[Path, Path], None]

NAMES = st.binary(min_size=1, max_size=MAX_NAME_BYTES).map(
    lambda data: os.fsdecode(data.replace(b"/", b"_").replace(b"\0", b"_"))
)
ODD_NAMES = ["plain.txt", "a\nb.txt", "-rf.txt", os.fsdecode(b"\xff\xfe.txt"), "語" * 83 + ".txt", " .txt"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another device."""
    memory = Path("/dev/shm")
    is_there = memory.is_dir() and memory.stat().st_dev != tmp_path.stat().st_dev
    need("devices", is_there, "needs /dev/shm on a device of its own")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, text: str = "text") -> Path:
    path.write_text(text)
    return path


WAYS = [
    rename_without_replacing,
    files._rename_exclusively,
    files._link_and_unlink,
    files._look_and_rename,
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
    monkeypatch.setattr(files, "_exclusive_rename", lambda: None)
    rename_without_replacing(write(tmp_path / "a"), tmp_path / "b")
    os.mkfifo(tmp_path / "pipe")
    rename_without_replacing(tmp_path / "pipe", tmp_path / "pipe2")
    assert names(tmp_path) == ["b", "pipe2"]


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


CUT_SHORT = """
import sys
from pathlib import Path
from voiced import files
read = files.os.read
def slowly(*arguments):
    print("copying", flush=True)
    sys.stdin.readline()
    return read(*arguments)
files.os.read = slowly
files._COPY_BYTES = 1 << 16
files.place(Path(sys.argv[1]), Path(sys.argv[2]), Path("a.txt"))
"""


@pytest.mark.parametrize("step_ns", [1, 100, 10_000_000, 2_000_000_000])
def test_a_copy_is_known_where_times_are_coarse(tmp_path: Path, elsewhere: Path, step_ns: int) -> None:
    source, copy = write(tmp_path / "a.txt"), write(elsewhere / "a.txt")
    time_ns = source.stat().st_mtime_ns
    os.utime(copy, ns=(time_ns, time_ns - time_ns % step_ns))
    assert end_move(source, copy)
    assert names(tmp_path) == []


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


def test_place_across_devices_finds_a_free_name(tmp_path: Path, elsewhere: Path) -> None:
    write(elsewhere / "a.txt", "old")
    assert place(write(tmp_path / "a.txt", "new"), elsewhere, Path("a.txt")).name == "a (2).txt"
    assert names(elsewhere) == ["a (2).txt", "a.txt"]


def test_place_numbers_names_and_keeps_folders(tmp_path: Path) -> None:
    folder = tmp_path / "done"
    placed = [
        place(write(tmp_path / "x", str(n)), folder, Path("sub/book.wav")).relative_to(folder)
        for n in range(3)
    ]
    assert [str(path) for path in placed] == ["sub/book.wav", "sub/book (2).wav", "sub/book (3).wav"]
    assert [(folder / path).read_text() for path in placed] == ["0", "1", "2"]


def test_place_goes_round_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    folder = tmp_path / "done"
    folder.mkdir()
    write(folder / "sub")
    assert place(write(tmp_path / "x"), folder, Path("sub/a.txt")) == folder / "sub (2)" / "a.txt"
    assert place(write(tmp_path / "x"), folder, Path("sub/b.txt")) == folder / "sub (2)" / "b.txt"


@pytest.mark.parametrize("relative", ["", "/etc/x", "../x", "a/../../x", "."])
def test_place_stays_below_its_folder(tmp_path: Path, relative: str) -> None:
    source = write(tmp_path / "x")
    with pytest.raises(ValueError, match="not a place"):
        place(source, tmp_path / "done", Path(relative))
    assert source.exists()


def test_place_with_an_unusable_folder_keeps_the_source(tmp_path: Path) -> None:
    source, folder = write(tmp_path / "x"), write(tmp_path / "done")
    with pytest.raises(OSError, match="done"):
        place(source, folder, Path("x"))
    assert source.exists()


def test_place_is_free_of_races(tmp_path: Path) -> None:
    folder, placed, lock = tmp_path / "done", [], threading.Lock()
    start = threading.Barrier(8)

    def move(worker: int) -> None:
        sources = [write(tmp_path / f"{worker}-{n}", f"{worker}-{n}") for n in range(25)]
        start.wait(10)
        for source in sources:
            path = place(source, folder, Path("deep/er/book.txt"))
            with lock:
                placed.append((source.name, path))

    threads = [threading.Thread(target=move, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({path for _, path in placed}) == 200
    assert all(path.read_text() == name for name, path in placed)


def test_place_asks_for_few_of_many_taken_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(1, 1001):
        write(free_name(tmp_path, "note.txt", n))
    tried: list[Path] = []
    rename = files._rename

    def count(source: Path, target: Path) -> None:
        tried.append(target)
        rename(source, target)

    monkeypatch.setattr(files, "_rename", count)
    source = write(tmp_path / "source")
    assert place(source, tmp_path, Path("note.txt")).name == "note (1001).txt"
    assert len(tried) < 12


@given(name=NAMES.filter(lambda name: name not in (".", "..")), n=st.integers(1, 10**6))
def test_free_names_fit_keep_their_suffix_and_differ(name: str, n: int) -> None:
    folder = Path("/folder")
    one, other = free_name(folder, name, n), free_name(folder, name, n + 1)
    assert one != other
    for path in (one, other):
        assert path.parent == folder
        assert len(os.fsencode(path.name)) <= MAX_NAME_BYTES
        assert path.name.endswith(split_suffix(name)[1])
    assert free_name(folder, name, 1).name == name


@given(name=NAMES, suffix=st.sampled_from(["", ".wav", ".txt.error.txt", ".語"]))
def test_shortened_names_fit_and_begin_as_before(name: str, suffix: str) -> None:
    short = shorten(name, suffix)
    data = os.fsencode(short)
    assert len(data) <= MAX_NAME_BYTES
    assert short.endswith(suffix)
    assert os.fsencode(name).startswith(data.removesuffix(os.fsencode(suffix)))
    if len(os.fsencode(name + suffix)) <= MAX_NAME_BYTES:
        assert short == name + suffix


@given(text=st.text(min_size=60, max_size=120))
def test_shortening_cuts_no_character(text: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):
        text.encode()
        assert text.startswith(shorten(text, ".wav").removesuffix(".wav"))


@given(name=NAMES)
def test_printable_is_one_line_of_utf8(name: str) -> None:
    shown = printable(name)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown


def test_printable_leaves_ordinary_names_alone() -> None:
    for name in ("book.txt", "Grüße 語\u3000本.txt", "\u0645\u06cc\u200c\u062e.txt"):
        assert printable(name) == name
    assert printable(Path(os.fsdecode(b"a\xff\n\xe2\x80\xae.txt"))) == r"a\xff\n\u202e.txt"


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


def test_a_copy_that_is_being_made_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its times are: those of its source, and by a clock that was set back meanwhile."""
    source, target = write(tmp_path / "source"), tmp_path / "to"
    target.mkdir()
    left = write(target / ".voiced-0123.tmp")
    rename, swept = files._rename, list[int]()

    def across(old: Path, new: Path) -> None:
        if old == source:
            raise OSError(errno.EXDEV, "other device")
        swept.append(sweep_temporaries(target))
        rename(old, new)

    monkeypatch.setattr(files, "_rename", across)
    rename_without_replacing(source, target / "moved")
    assert swept == [1]
    assert not left.exists()
    assert names(target) == ["moved"]
    write(left)
    assert sweep_temporaries(target) == 1
    assert not files._in_work


def test_a_copy_that_fails_is_no_longer_in_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "source")

    def refuse(old: Path, new: Path) -> None:
        raise OSError(errno.EXDEV if old == source else errno.EACCES, "refused")

    monkeypatch.setattr(files, "_rename", refuse)
    with pytest.raises(PermissionError):
        rename_without_replacing(source, tmp_path / "target")
    monkeypatch.setattr(files, "_write_all", lambda *_: refuse(tmp_path, tmp_path))
    with pytest.raises(PermissionError):
        rename_without_replacing(source, tmp_path / "target")
    assert not files._in_work
    assert names(tmp_path) == ["source"]


def test_first_free_is_where_a_file_is_placed(tmp_path: Path) -> None:
    relative = Path("sub/a.txt")
    for _ in range(3):
        expected = first_free(tmp_path / "to", relative)
        assert not expected.exists()
        assert place(write(tmp_path / "from"), tmp_path / "to", relative) == expected


def test_fsync_folder(tmp_path: Path) -> None:
    fsync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        fsync_folder(tmp_path / "missing")
