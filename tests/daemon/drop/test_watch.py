"""The watcher with its real thread, real files and the real observer."""

import contextlib
import errno
import mmap
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.drop.box import Box, wait_until, watching
from voiced.drop.claim import Claim, claim_file
from voiced.drop.events import MAX_HINTS, FolderEvents, HintBox
from voiced.drop.sidecar import Sidecars
from voiced.drop.terms import DropHooks
from voiced.drop.watch import DropWatcher


@pytest.fixture
def box(tmp_path: Path) -> Box:
    # A scan that comes by itself would hide a hint that did not.
    return Box(tmp_path, settle_s=0.2, scan_interval_s=3600.0)


def slow_writer(drop: Path, outside: Path) -> None:
    with (drop / "a.txt").open("w") as file:
        for _ in range(4):
            file.write("x" * 10)
            file.flush()
            time.sleep(0.05)


def copied(drop: Path, outside: Path) -> None:
    (outside / "a.txt").write_text("x" * 40)
    subprocess.run(["cp", outside / "a.txt", drop / "a.txt"], check=True)


def renamed_in(drop: Path, outside: Path) -> None:
    (outside / "n").write_text("x" * 40)
    (outside / "n").rename(drop / "a.txt")


def linked_in(drop: Path, outside: Path) -> None:
    (outside / "n").write_text("x" * 40)
    (drop / "a.txt").hardlink_to(outside / "n")
    (outside / "n").unlink()


def temporary_then_renamed(drop: Path, outside: Path) -> None:
    (drop / ".a.txt.tmp").write_text("x" * 40)
    (drop / ".a.txt.tmp").rename(drop / "a.txt")


def saved_by_an_editor(drop: Path, outside: Path) -> None:
    (drop / "4913").touch()
    (drop / "4913").unlink()
    with (drop / "a.txt").open("w") as first:
        first.write("old")
        first.flush()
        (drop / "a.txt").rename(drop / "a.txt~")
        (drop / "a.txt").write_text("x" * 40)
        (drop / "a.txt~").unlink()


def mapped(drop: Path, outside: Path) -> None:
    with (drop / "a.txt").open("w+b") as file:
        file.truncate(40)
        mapping = mmap.mmap(file.fileno(), 40)
    time.sleep(0.05)
    mapping[:] = b"x" * 40
    mapping.close()


def downloaded(drop: Path, outside: Path) -> None:
    (drop / "a.txt").touch()
    (drop / "a.Xy.txt.part").write_text("x" * 40)
    time.sleep(0.3)
    (drop / "a.Xy.txt.part").rename(drop / "a.txt")


ARRIVALS = [
    slow_writer,
    copied,
    renamed_in,
    linked_in,
    temporary_then_renamed,
    saved_by_an_editor,
    mapped,
    downloaded,
]


@pytest.mark.process
@pytest.mark.parametrize("arrive", ARRIVALS, ids=lambda arrive: arrive.__name__)
def test_every_arrival_is_handed_over_once_and_whole(
    box: Box, tmp_path: Path, arrive: Callable[[Path, Path], None]
) -> None:
    with watching(box):
        arrive(box.drop, tmp_path)
        box.wait(lambda: bool(box.claims))
        (box.drop / "last.txt").write_text("last")
        box.wait(lambda: "last.txt" in box.names)
    assert (box.names, box.texts) == (["a.txt", "last.txt"], ["x" * 40, "last"])
    assert box.refusals == []


def test_two_appends_lose_nothing(box: Box) -> None:
    with watching(box):
        for text in ("one ", "two"):
            with (box.drop / "a.txt").open("a") as file:
                file.write(text)
            time.sleep(0.05)
        box.wait(lambda: "".join(box.texts) == "one two")
    assert set(box.names) == {"a.txt"}


def test_new_folders_are_seen_to_their_bottom(box: Box, tmp_path: Path) -> None:
    with watching(box):
        box.write("new/deep/er/a.txt")
        (tmp_path / "outside" / "in").mkdir(parents=True)
        for n in range(3):
            (tmp_path / "outside" / "in" / f"{n}.txt").write_text("x")
        (tmp_path / "outside").rename(box.drop / "moved")
        expected = {"new/deep/er/a.txt", *(f"moved/in/{n}.txt" for n in range(3))}
        box.wait(lambda: set(box.names) == expected)
        # Its watches were set: a file that comes later is seen too.
        box.write("moved/in/later.txt")
        box.wait(lambda: "moved/in/later.txt" in box.names)
    assert len(box.names) == 5


def test_what_lies_there_at_the_start_is_taken_and_so_are_old_claims(box: Box) -> None:
    box.write("a.txt")
    claim = claim_file(box.drop, Path("a.txt"))
    box.write("sub/b.txt")
    with watching(box):
        box.wait(lambda: len(box.claims) == 2)
    assert claim in box.claims
    assert sorted(box.names) == ["a.txt", "sub/b.txt"]


def test_a_link_and_an_empty_file_are_refused(box: Box, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with watching(box):
        (box.drop / "link.txt").symlink_to(tmp_path / "secret")
        (box.drop / "empty.txt").touch()
        (box.drop / "hard.txt").hardlink_to(tmp_path / "secret")
        box.wait(lambda: len(box.refusals) == 3)
    assert sorted(path.name for path, _ in box.refusals) == ["empty.txt", "hard.txt", "link.txt"]
    assert box.claims == []
    assert "links are not followed" in (box.failed / "link.txt.error.txt").read_text()


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "a\nb.txt", "-rf.txt", os.fsdecode(b"\xff\xfe.txt")])
def test_any_name_is_seen(box: Box, name: str) -> None:
    with watching(box):
        box.write(f"{name}.d"[-200:] + "/" + name)
        box.wait(lambda: bool(box.claims))
    assert box.claims[0].relative.name == name


def test_a_folder_behind_a_link_is_watched(tmp_path: Path) -> None:
    box = Box(tmp_path, scan_interval_s=3600.0)
    (tmp_path / "real").mkdir()
    box.drop.symlink_to(tmp_path / "real")
    with watching(box):
        box.write("a.txt")
        box.wait(lambda: bool(box.claims))


@pytest.mark.parametrize("is_made_by", ["us", "the user"])
def test_a_folder_that_is_removed_is_made_and_watched_again(box: Box, is_made_by: str) -> None:
    with watching(box) as watcher:
        box.write("a.txt")
        box.wait(lambda: len(box.claims) == 1)
        shutil.rmtree(box.drop)
        if is_made_by == "us":
            wait_until(box.drop.exists)
            wait_until(lambda: "made again" in watcher.info().detail)
        box.write("b.txt")
        box.wait(lambda: len(box.claims) == 2)
        wait_until(lambda: watcher.info().is_watched)
        box.write("c.txt")
        box.wait(lambda: len(box.claims) == 3)


def test_a_folder_that_was_moved_away_is_noticed_by_the_next_scan(tmp_path: Path) -> None:
    box = Box(tmp_path, scan_interval_s=0.2)
    with watching(box):
        box.drop.rename(tmp_path / "away")
        wait_until(box.drop.exists)
        (tmp_path / "away" / "a.txt").write_text("not for us")
        box.write("b.txt")
        box.wait(lambda: bool(box.claims))
    assert box.names == ["b.txt"]
    assert (tmp_path / "away" / "a.txt").exists()


def test_a_folder_that_cannot_be_made_is_a_problem_until_it_can(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_text("in the way")
    box = Box(base, scan_interval_s=0.1)
    watcher = DropWatcher(box.settings, box.hooks)
    watcher.start()
    wait_until(lambda: "make it a folder" in watcher.info().detail)
    assert not watcher.info().is_watched
    base.unlink()
    box.write("a.txt")
    box.wait(lambda: bool(box.claims))
    wait_until(lambda: watcher.info().is_watched)
    assert watcher.stop(10)
    assert not watcher.info().is_watched


def test_another_folder_in_its_place_has_its_old_claims_taken_up(tmp_path: Path) -> None:
    # As on a drive that is mounted after the start.
    box, drive = Box(tmp_path, scan_interval_s=0.1), Box(tmp_path / "drive")
    drive.write("a.txt")
    claim = claim_file(drive.drop, Path("a.txt"))
    with watching(box):
        box.drop.rmdir()
        with contextlib.suppress(OSError):
            drive.drop.rename(box.drop)
        box.wait(lambda: bool(box.claims))
    assert box.claims[0].job_id == claim.job_id


def test_files_wait_for_room(box: Box) -> None:
    box.room = 0
    with watching(box) as watcher:
        for n in range(5):
            box.write(f"{n}.txt")
        wait_until(lambda: watcher.info().waiting == 5)
        assert len(list(box.drop.glob("*.txt"))) == 5
        box.room = 2
        watcher.nudge()
        box.wait(lambda: len(box.claims) == 2)
        wait_until(lambda: watcher.info().waiting == 3)
        box.room = 9
        watcher.nudge()
        box.wait(lambda: len(box.claims) == 5)


def test_pause_and_resume(box: Box) -> None:
    with watching(box) as watcher:
        watcher.pause()
        box.write("a.txt")
        wait_until(lambda: watcher.info().waiting == 1)
        assert box.claims == []
        watcher.resume()
        box.wait(lambda: bool(box.claims))


OVERFLOW = """
import sys, time
from pathlib import Path
from voiced.drop.terms import DropHooks, DropSettings
from voiced.drop.watch import DropWatcher
base = Path(sys.argv[1])
hooks = DropHooks(print, print, lambda: 0)
watcher = DropWatcher(DropSettings(base / "Drop", base / "Failed", 1, 2.0, 3600.0), hooks)
watcher.start()
while not watcher.info().is_watched:
    time.sleep(0.01)
print("ready", flush=True)
end = time.monotonic() + 30
while watcher.info().waiting < int(sys.argv[2]) and time.monotonic() < end:
    time.sleep(0.01)
print(watcher.info().waiting, flush=True)
watcher.stop()
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_nothing_is_lost_when_the_kernel_queue_runs_over(tmp_path: Path) -> None:
    # Two events a file: more than the queue holds.
    count = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) // 2 + 1000
    if count > 50_000:
        pytest.skip("the kernel queue of this machine is too long to fill in a test")
    command: list[str | Path] = [sys.executable, "-c", OVERFLOW, tmp_path, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        for n in range(count):
            os.close(os.open(tmp_path / "Drop" / str(n), os.O_CREAT | os.O_WRONLY, 0o600))
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == f"{count}\n"
        assert process.wait(20) == 0


def test_fifty_writers_are_read_once_and_whole(tmp_path: Path) -> None:
    box = Box(tmp_path, scan_interval_s=0.5)
    whole = "".join(f"line {n}\n" for n in range(2000))
    third = len(whole) // 3

    def write(n: int) -> None:
        name = f"sub{n % 5}/{n}.txt"
        if n % 5 == 0:
            (tmp_path / f"out-{n}").write_text(whole)
            (tmp_path / f"out-{n}").rename(box.drop / name)
            return
        with (box.drop / name).open("w") as file:
            for start in range(0, len(whole), third):
                file.write(whole[start : start + third])
                file.flush()
                os.fsync(file.fileno())
                time.sleep(0.001 * (n % 30))

    with watching(box):
        for n in range(5):
            (box.drop / f"sub{n}").mkdir()
        threads = [threading.Thread(target=write, args=(n,)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        box.wait(lambda: len(box.claims) >= 50, 30)
    assert sorted(box.names) == sorted(f"sub{n % 5}/{n}.txt" for n in range(50))
    assert set(box.texts) == {whole}
    assert (box.refusals, [path for path in box.drop.rglob("*.txt") if ".voiced" not in path.parts]) == (
        [],
        [],
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENOSYS])
def test_without_a_watch_it_scans_and_says_so(box: Box, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def start(self: FolderEvents, root: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FolderEvents, "start", start)
    monkeypatch.setattr("voiced.drop.watch._FALLBACK_SCAN_S", 0.1)
    with watching(box) as watcher:
        detail = watcher.info().detail
        assert "looked through every" in detail
        assert ("max_user_watches" in detail) is (number != errno.ENOSYS)
        box.write("a.txt")
        box.wait(lambda: bool(box.claims))


def test_a_dead_observer_is_replaced(tmp_path: Path) -> None:
    box = Box(tmp_path, scan_interval_s=0.2)
    with watching(box) as watcher:
        wait_until(watcher._events.is_alive)
        observer = watcher._events._observer
        assert observer
        observer.stop()
        observer.join(10)
        wait_until(lambda: watcher._events._observer is not observer and watcher._events.is_alive())
        box.write("a.txt")
        box.wait(lambda: bool(box.claims))


def test_a_failure_begins_again_and_the_claim_is_not_lost(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiced.drop.watch._RESTART_S", 0.05)
    failures: list[Claim] = []

    def claimed(claim: Claim, sidecars: Sidecars) -> None:
        if not failures:
            failures.append(claim)
            raise RuntimeError("the loop is closed")
        box.hooks.claimed(claim, sidecars)

    watcher = DropWatcher(box.settings, DropHooks(claimed, box.hooks.refused, box.hooks.room))
    watcher.start()
    wait_until(lambda: watcher.info().is_watched)
    box.write("a.txt")
    box.wait(lambda: bool(box.claims))
    assert watcher.stop(10)
    assert box.claims == failures


def test_start_and_stop_leave_nothing(box: Box) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with watching(box):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert DropWatcher(box.settings, box.hooks).stop() is True
    assert box.drop.is_dir()


def test_one_folder_cannot_be_two(box: Box) -> None:
    with pytest.raises(ValueError, match="at once"):
        DropWatcher(box.settings._replace(failed=box.drop), box.hooks)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_an_idle_watcher_sleeps(box: Box) -> None:
    def switches() -> int:
        lines = [
            line
            for task in Path("/proc/self/task").iterdir()
            if task.name in ours
            for line in (task / "status").read_text().splitlines()
        ]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))

    before = {str(thread.native_id) for thread in threading.enumerate()}
    with watching(box) as watcher:
        box.write("a.txt")
        box.wait(lambda: bool(box.claims))
        wait_until(lambda: watcher.info().waiting == 0)
        ours = {str(thread.native_id) for thread in threading.enumerate()} - before
        time.sleep(0.3)  # the echoes of the last rename
        count = switches()
        time.sleep(1.0)
        assert len(ours) > 1
        assert switches() - count == 0


def test_a_burst_of_hints_becomes_a_scan() -> None:
    hints = HintBox()
    for n in range(MAX_HINTS):
        hints.post(str(n))
        hints.post(str(n))
    assert hints.take() == ([str(n) for n in range(MAX_HINTS)], False)
    for n in range(MAX_HINTS + 1):
        hints.post(str(n))
    assert hints.take() == ([], True)
    assert hints.take() == ([], False)


def test_the_box_wakes_who_sleeps() -> None:
    for wake in (HintBox.nudge, HintBox.want_scan, HintBox.close, lambda hints: hints.post("a")):
        hints = HintBox()
        threading.Timer(0.01, wake, (hints,)).start()
        began = time.monotonic()
        hints.wait(30)
        assert time.monotonic() - began < 10
