"""The intake turn by turn, with a clock and a lease that the test plays."""

import math
import os
import socket
from pathlib import Path

import pytest

from tests.daemon.drop.box import Box
from voiced.drop import intake as intake_module
from voiced.drop.claim import claim_file
from voiced.drop.intake import Intake


class Play:
    """An intake in one thread, the time, and who writes which file."""

    def __init__(self, base: Path) -> None:
        self.box = Box(base)
        self.box.drop.mkdir()
        self.now = 1000.0
        self.writers: set[str] = set()
        self.has_leases = True
        self.asked: list[str] = []
        self.intake = Intake(self.box.settings, self.box.hooks, clock=lambda: self.now, lease=self.lease)

    def lease(self, path: Path) -> bool | None:
        self.asked.append(path.name)
        return path.name in self.writers if self.has_leases else None

    def turn(self, after_s: float = 0.0, **options: bool) -> float:
        self.now += after_s
        return self.intake.turn(**options)

    def scan_and_turn(self, after_s: float = 0.0) -> float:
        self.intake.scan()
        return self.turn(after_s)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def test_a_file_is_taken_at_once(play: Play) -> None:
    play.box.write("a.txt")
    play.box.write("sub/b.txt")
    assert play.scan_and_turn() == math.inf
    assert sorted(play.box.names) == ["a.txt", "sub/b.txt"]
    assert play.intake.waiting == 0


def test_the_users_folders_stay_when_they_are_empty(play: Play) -> None:
    (play.box.drop / "empty").mkdir()
    play.box.write("sub/deep/b.txt")
    os.mkfifo(play.box.drop / "sub" / "pipe")
    play.scan_and_turn()
    assert play.box.names == ["sub/deep/b.txt"]
    assert (play.box.failed / "sub" / "pipe").is_fifo()
    assert (play.box.drop / "sub" / "deep").is_dir()
    assert (play.box.drop / "empty").is_dir()


def test_without_leases_a_file_settles(play: Play) -> None:
    play.has_leases = False
    path = play.box.write("a.txt", "one")
    assert play.scan_and_turn() == pytest.approx(2.0)
    play.turn(1.9)
    path.write_text("one two")
    assert play.turn(0.2) == pytest.approx(2.0)
    assert play.intake.waiting == 1
    play.turn(2.0)
    assert play.box.texts == ["one two"]


def test_a_writer_is_waited_for(play: Play) -> None:
    play.box.write("a.txt")
    play.writers.add("a.txt")
    wait_s = play.scan_and_turn()
    for _ in range(20):
        wait_s = play.turn(wait_s)
    assert wait_s == 30.0
    play.writers.clear()
    play.intake.hint("a.txt")
    play.turn()
    assert play.box.names == ["a.txt"]


def test_a_writer_who_comes_with_the_claim_keeps_it_back(play: Play) -> None:
    play.box.write("a.txt", "half")

    def lease(path: Path) -> bool:
        # Free when first asked, opened before the rename.
        return ".voiced" in path.parts and is_open

    is_open = True
    held: Intake = Intake(play.box.settings, play.box.hooks, clock=lambda: play.now, lease=lease)
    held.scan()
    wait_s = held.turn()
    assert play.box.names == []
    assert held.waiting == 1
    assert 0 < wait_s < 1
    is_open = False
    play.now += wait_s
    assert held.turn() == math.inf
    assert play.box.names == ["a.txt"]


def test_what_a_claim_turns_out_to_be_is_judged_again(play: Play) -> None:
    play.box.write("a.txt")
    claim = claim_file(play.box.drop, Path("a.txt"))
    claim.path.unlink()
    claim.path.symlink_to("/etc/hostname")
    play.intake.recover()
    play.turn()
    assert play.box.claims == []
    ((lies, message),) = play.box.refusals
    assert lies.is_symlink()
    assert "symbolic link" in message
    assert list((play.box.drop / ".voiced").iterdir()) == []


def test_claims_of_an_earlier_run_are_handed_on_even_without_room(play: Play) -> None:
    play.box.write("a.txt")
    claim = claim_file(play.box.drop, Path("a.txt"))
    play.box.room = 0
    play.intake.recover()
    play.turn(is_paused=True)
    assert play.box.claims == [claim]


def test_a_claim_that_vanished_is_forgotten(play: Play) -> None:
    play.box.write("a.txt")
    claim = claim_file(play.box.drop, Path("a.txt"))
    play.intake.recover()
    claim.path.unlink()
    assert play.turn() == math.inf
    assert (play.box.claims, play.intake.waiting) == ([], 0)


def test_room_is_kept_and_the_oldest_go_first(play: Play) -> None:
    for n in range(10):
        play.box.write(f"{n}.txt")
    play.box.room = 3
    assert play.scan_and_turn() == math.inf
    assert len(play.box.claims) == 3
    assert play.intake.waiting == 7
    asked = len(play.asked)
    play.turn()
    assert len(play.asked) == asked  # the ready ones are left in peace
    play.box.room = 100
    play.turn()
    assert play.box.names == [f"{n}.txt" for n in range(10)]


def test_a_turn_claims_a_bounded_number(play: Play) -> None:
    for n in range(80):
        play.box.write(f"{n}.txt")
    assert play.scan_and_turn() == 0.0
    assert len(play.box.claims) == intake_module.MAX_CLAIMS
    while play.turn() == 0.0:
        pass
    assert len(play.box.claims) == 80


def test_names_known_are_bounded_and_all_are_taken(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_CANDIDATES", 10)
    for n in range(35):
        play.box.write(f"{n}.txt")
    play.box.room = 0
    play.scan_and_turn()
    assert play.intake.waiting == 35
    play.box.room = 100
    for _ in range(10):
        while play.turn() == 0.0:
            pass
        if play.intake.needs_scan:
            play.intake.scan()
    assert sorted(play.box.names) == sorted(f"{n}.txt" for n in range(35))
    assert play.intake.waiting == 0


def test_pause_takes_and_refuses_nothing(play: Play) -> None:
    play.box.write("a.txt")
    os.mkfifo(play.box.drop / "pipe")
    play.intake.scan()
    assert play.turn(is_paused=True) == math.inf
    assert (play.box.claims, play.box.refusals, play.intake.waiting) == ([], [], 2)
    play.turn()
    assert (len(play.box.claims), len(play.box.refusals)) == (1, 1)


def test_hostile_entries_are_moved_unread_with_a_reason(play: Play, tmp_path: Path) -> None:
    drop, secret = play.box.drop, tmp_path / "secret"
    secret.write_text("secret")
    (drop / "link.txt").symlink_to(secret)
    (drop / "folder-link").symlink_to(tmp_path)
    (drop / "loop").symlink_to("loop")
    os.mkfifo(drop / "pipe.txt")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(drop / "socket.txt"))
    server.close()
    (drop / "hard.txt").hardlink_to(secret)
    with (drop / "sparse.txt").open("w") as file:
        file.truncate(50 << 30)
    (drop / "empty.txt").touch()
    play.box.write("locked.txt").chmod(0)
    play.scan_and_turn()
    play.turn(2.0)
    refused = {path.name: message for path, message in play.box.refusals}
    files = ("link", "pipe", "socket", "hard", "sparse", "empty", "locked")
    assert sorted(refused) == sorted(["folder-link", "loop", *(f"{name}.txt" for name in files)])
    assert play.box.claims == []
    assert secret.read_text() == "secret"
    assert (play.box.failed / "link.txt").is_symlink()
    assert (play.box.failed / "pipe.txt").is_fifo()
    assert all((play.box.failed / f"{name}.error.txt").is_file() for name in refused)
    assert list(drop.iterdir()) == []


def test_a_file_of_another_user_is_refused(play: Play) -> None:
    path = play.box.write("a.txt")
    try:
        os.chown(path, 65534, 65534)
    except PermissionError:
        pytest.skip("only root can make one")
    play.scan_and_turn()
    play.turn(2.0)
    assert "another user" in play.box.refusals[0][1]


def test_a_hard_link_of_a_moment_is_taken(play: Play, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("text")
    (play.box.drop / "a.txt").hardlink_to(tmp_path / "source")
    play.scan_and_turn()
    (tmp_path / "source").unlink()
    play.turn(2.0)
    assert (play.box.names, play.box.refusals) == (["a.txt"], [])


def test_an_empty_file_that_is_filled_is_taken(play: Play) -> None:
    path = play.box.write("a.txt", "")
    play.scan_and_turn()
    path.write_text("text")
    play.turn(2.0)
    assert (play.box.texts, play.box.refusals) == (["text"], [])


@pytest.mark.parametrize("is_told", ["by a scan", "by a hint"])
def test_an_empty_name_beside_a_download_waits(play: Play, is_told: str) -> None:
    play.box.write("sub/a.txt", "")
    part = play.box.write("sub/a.Xy.txt.part", "half")
    if is_told == "by a scan":
        play.intake.scan()
    else:
        play.intake.hint("sub/a.txt")
        play.intake.hint("sub/a.Xy.txt.part")
    play.turn()
    play.turn(60.0)
    assert (play.box.refusals, play.intake.waiting) == ([], 1)
    part.rename(play.box.drop / "sub/a.txt")
    play.intake.hint("sub/a.txt")
    play.turn()
    assert play.box.texts == ["half"]


def test_twenty_thousand_files_are_counted_and_taken_by_room(play: Play) -> None:
    for n in range(20_000):
        descriptor = os.open(play.box.drop / str(n), os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, b"text")
        os.close(descriptor)
    play.box.room = 0
    play.intake.scan()
    while play.turn() == 0.0:
        pass
    assert (play.intake.waiting, play.box.claims) == (20_000, [])
    play.box.room = 70
    while play.turn() == 0.0:
        pass
    assert len(set(play.box.names)) == 70
    assert max(map(int, play.box.names)) < 2000  # the oldest, as finely as the file system tells
    assert play.intake.waiting == 19_930


def test_what_programs_leave_is_not_even_counted(play: Play) -> None:
    for name in (".DS_Store", "a.part", "~$b.docx", ".voiced.toml", "sub.download/a.txt", ".git/b.txt"):
        play.box.write(name)
        play.intake.hint(name)
    play.scan_and_turn()
    assert (play.intake.waiting, play.box.claims, play.box.refusals) == (0, [], [])


def test_our_own_folders_below_are_not_looked_into(tmp_path: Path) -> None:
    box = Box(tmp_path)
    settings = box.settings._replace(failed=box.drop / "Failed", apart=(box.drop / "Done",))
    intake = Intake(settings, box.hooks, clock=lambda: 0.0, lease=lambda path: False)
    for name in ("Failed/a.txt", "Done/b.txt", "Done2/c.txt"):
        box.write(name)
        intake.hint(name)
    intake.scan()
    intake.turn()
    assert box.names == ["Done2/c.txt"]


def test_hints_find_files_folders_and_forget_what_went(play: Play) -> None:
    play.box.room = 0
    play.box.write("a.txt")
    play.box.write("deep/er/b.txt")
    for hint in ("a.txt", "deep", "missing.txt"):
        play.intake.hint(hint)
    assert play.intake.waiting == 2
    (play.box.drop / "a.txt").unlink()
    play.intake.hint("a.txt")
    assert play.intake.waiting == 1


def test_a_folder_link_is_not_entered(play: Play, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.txt").write_text("x")
    (play.box.drop / "link").symlink_to(tmp_path / "outside")
    play.intake.hint("link")
    play.turn()
    assert play.box.claims == []
    assert (tmp_path / "outside" / "a.txt").exists()


def test_what_cannot_be_refused_blocks_nothing_and_is_tried_again(play: Play) -> None:
    play.box.failed.write_text("in the way")
    os.mkfifo(play.box.drop / "pipe.txt")
    play.box.write("good.txt")
    assert play.scan_and_turn() == pytest.approx(30.0)
    assert play.box.names == ["good.txt"]
    assert "pipe.txt" in play.intake.trouble
    assert "Check that" in play.intake.trouble
    play.box.failed.unlink()
    play.turn(30.0)
    assert [path.name for path, _ in play.box.refusals] == ["pipe.txt"]


def test_what_cannot_be_claimed_is_tried_again(play: Play) -> None:
    (play.box.drop / ".voiced").write_text("in the way")
    play.box.write("a.txt")
    assert play.scan_and_turn() == pytest.approx(30.0)
    assert "move it away" in play.intake.trouble
    assert (play.box.drop / "a.txt").exists()
    (play.box.drop / ".voiced").unlink()
    play.turn(30.0)
    assert (play.box.names, play.intake.trouble) == (["a.txt"], "")


def test_what_cannot_be_moved_is_left_and_told_once(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, *args: object, **options: object) -> Path:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(intake_module, "refuse", refuse)
    os.mkfifo(play.box.drop / "pipe.txt")
    for _ in range(3):
        play.scan_and_turn()
    assert [path for path, _ in play.box.refusals] == [play.box.drop / "pipe.txt"]
    assert "move it away yourself" in (play.box.failed / "pipe.txt.error.txt").read_text()
    assert play.intake.waiting == 0


def test_a_scan_of_a_missing_folder_tells(play: Play) -> None:
    play.box.drop.rmdir()
    with pytest.raises(FileNotFoundError):
        play.intake.scan()


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "a\nb.txt", "-rf.txt", os.fsdecode(b"\xff\xfe.txt")])
def test_any_name(play: Play, name: str) -> None:
    play.box.write(name)
    play.intake.hint(name)
    play.turn()
    assert play.box.names == [name]
