"""Sidecars on their way through the intake, with a clock and writers that the test plays."""

import os
from pathlib import Path

import pytest

from tests.daemon.drop.box import Box
from voiced.drop.claim import Claim, claim_file, find_claims, refuse, take_sidecars_along
from voiced.drop.intake import Intake
from voiced.drop.sidecar import MAX_SIDECAR_BYTES, Wishes


class Play:
    """An intake in one thread, the time, and who writes which file."""

    def __init__(self, base: Path, *, has_sidecars: bool = True) -> None:
        self.box = Box(base)
        self.box.settings = self.box.settings._replace(has_sidecars=has_sidecars)
        self.box.drop.mkdir()
        self.now = 1000.0
        self.writers: set[str] = set()
        self.has_leases = True
        self.intake = self.begin()

    def begin(self) -> Intake:
        return Intake(self.box.settings, self.box.hooks, clock=lambda: self.now, lease=self.lease)

    def lease(self, path: Path) -> bool | None:
        return path.name in self.writers if self.has_leases else None

    def turn(self, after_s: float = 0.0) -> float:
        self.now += after_s
        return self.intake.turn()

    def scan_and_turn(self, after_s: float = 0.0) -> None:
        self.intake.scan()
        self.turn(after_s)

    def put(self, relative: str, text: str) -> None:
        """Put a file in, and tell of it."""
        self.box.write(relative, text)
        self.intake.hint(relative)
        self.turn()

    @property
    def said(self) -> list[Wishes]:
        """The wishes told, in order."""
        return [sidecars.wishes for sidecars in self.box.sidecars]

    def drop_names(self) -> list[str]:
        paths = (path.relative_to(self.box.drop) for path in self.box.drop.rglob("*"))
        return sorted(str(path) for path in paths if path.parts[0] != ".voiced" and path.suffix)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)


def beside(claim: Claim) -> list[str]:
    return sorted(path.name for path in claim.path.parent.iterdir())


def test_the_nearest_wins_key_by_key(play: Play) -> None:
    play.box.write("a/b/book.txt")
    play.box.write("a/b/book.txt.voiced.toml", "seed = 1")
    play.box.write("a/b/book.voiced.toml", 'seed = 2\nvoice = "short"')
    play.box.write("a/b/voiced.toml", 'voice = "b"\nlanguage = "de"')
    play.box.write("a/voiced.toml", 'language = "fr"\nspeed = 2')
    play.box.write("voiced.toml", 'speed = 3\nmodel = "kokoro"')
    play.scan_and_turn()
    assert play.said == [Wishes(model="kokoro", voice="short", language="de", speed=2.0, seed=1)]
    assert play.box.sidecars[0].problems == ()
    assert len(set(play.box.sidecars[0].digests)) == 6
    # Its own go with it, the folders' stay.
    assert play.drop_names() == ["a/b/voiced.toml", "a/voiced.toml", "voiced.toml"]
    assert beside(play.box.claims[0]) == ["book.txt", "book.txt.voiced.toml", "book.voiced.toml"]


def test_a_folder_speaks_for_what_lies_below_alone(play: Play) -> None:
    for name in ("a/1.txt", "a/deep/er/2.txt", "b/3.txt", "4.txt"):
        play.box.write(name)
    play.box.write("a/voiced.toml", "seed = 5")
    play.scan_and_turn()
    told = dict(zip(play.box.names, play.said, strict=True))
    assert told == {
        "a/1.txt": Wishes(seed=5),
        "a/deep/er/2.txt": Wishes(seed=5),
        "b/3.txt": Wishes(),
        "4.txt": Wishes(),
    }


def test_one_bad_sidecar_hides_no_other(play: Play) -> None:
    play.box.write("book.txt")
    play.box.write("book.txt.voiced.toml", 'seed = 1\ndevice = "cuda"\nspeed = 99')
    play.box.write("voiced.toml", "no toml\nlanguage = 'de'")
    play.scan_and_turn()
    assert play.said == [Wishes(language="de", seed=1)]
    problems = play.box.sidecars[0].problems
    assert [problem.partition(": ")[0] for problem in problems] == [
        "book.txt.voiced.toml",
        "book.txt.voiced.toml",
        "voiced.toml",
    ]
    assert "'device' cannot be set here" in " ".join(problems)


def test_a_sidecar_of_two_texts_goes_with_the_last(play: Play) -> None:
    play.box.write("book.txt")
    play.box.write("book.md")
    play.box.write("book.voiced.toml", "seed = 4")
    play.box.room = 1
    play.scan_and_turn()
    assert play.drop_names()[1:] == ["book.voiced.toml"]
    play.box.room = 5
    play.turn()
    assert play.said == [Wishes(seed=4), Wishes(seed=4)]
    assert play.drop_names() == []


def test_switched_off_nothing_is_read(tmp_path: Path) -> None:
    play = Play(tmp_path, has_sidecars=False)
    play.box.write("book.txt")
    play.box.write("book.txt.voiced.toml", "seed = 1")
    play.scan_and_turn()
    assert play.said == [Wishes()]
    play.put("voiced.toml", "seed = 1")
    assert play.drop_names() == ["book.txt.voiced.toml", "voiced.toml"]
    assert len(play.said) == 1


def test_a_sidecar_alone_is_no_job_and_waits_for_its_text(play: Play) -> None:
    play.put("book.txt.voiced.toml", "seed = 1")
    play.scan_and_turn(100.0)
    assert (play.box.claims, play.box.refusals, play.intake.waiting) == ([], [], 0)
    play.put("book.txt", "text")
    assert play.said == [Wishes(seed=1)]


# -- what must not be read ----------------------------------------------------------------------------


def test_hostile_sidecars_are_not_read_and_told(play: Play, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("seed = 1")
    drop = play.box.drop
    for n in range(6):
        play.box.write(f"{n}.txt")
    hostile = [drop / f"{n}.txt.voiced.toml" for n in range(6)]
    hostile[0].symlink_to(secret)
    hostile[1].hardlink_to(secret)
    os.mkfifo(hostile[2])
    hostile[3].mkdir()
    hostile[4].write_text("#" * (MAX_SIDECAR_BYTES + 1))
    hostile[5].write_text("seed = 1")
    hostile[5].chmod(0)
    play.scan_and_turn()
    for _ in range(30):
        play.turn(0.5)
    assert sorted(play.box.names) == [f"{n}.txt" for n in range(6)]
    assert set(play.said) == {Wishes()}
    problems = dict(zip(play.box.names, (said.problems for said in play.box.sidecars), strict=True))
    for n, word in enumerate(
        ("symbolic link", "hard link", "named pipe", "not a file", "64 KiB", "permissions")
    ):
        (problem,) = problems[f"{n}.txt"]
        assert problem.startswith(f"{n}.txt.voiced.toml: it was not read: ")
        assert word in problem
    assert len([name for name in play.drop_names() if name.endswith(".voiced.toml")]) == 6


def test_another_users_sidecar_is_not_read(play: Play) -> None:
    play.box.write("book.txt")
    path = play.box.write("voiced.toml", "seed = 1")
    try:
        os.chown(path, 65534, 65534)
    except PermissionError:
        pytest.skip("only root can make one")
    play.scan_and_turn()
    for _ in range(10):
        play.turn(0.5)
    assert play.said == [Wishes()]
    assert "another user" in play.box.sidecars[0].problems[0]


def test_a_folder_that_became_a_link_is_not_entered(play: Play, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "voiced.toml").write_text("seed = 1")
    play.box.write("sub/book.txt")
    claim = claim_file(play.box.drop, Path("sub/book.txt"))
    (play.box.drop / "sub").rmdir()
    (play.box.drop / "sub").symlink_to(tmp_path / "outside")
    play.intake.recover()
    play.turn()
    assert play.box.claims == [claim]
    assert play.said == [Wishes()]


# -- writers ------------------------------------------------------------------------------------------


def test_a_sidecar_that_is_being_written_is_waited_for(play: Play) -> None:
    play.writers.add("book.txt.voiced.toml")
    play.box.write("book.txt")
    path = play.box.write("book.txt.voiced.toml", "seed = ")
    play.scan_and_turn()
    assert play.box.claims == []
    path.write_text("seed = 8")
    play.writers.clear()
    play.turn(1.0)
    assert play.said == [Wishes(seed=8)]


def test_but_not_for_ever(play: Play) -> None:
    play.writers.add("book.txt.voiced.toml")
    play.box.write("book.txt")
    play.box.write("book.txt.voiced.toml", "seed = 8")
    play.scan_and_turn()
    for _ in range(12):
        play.turn(1.0)
    assert play.said == [Wishes()]
    play.writers.clear()
    play.intake.hint("book.txt.voiced.toml")
    play.turn()
    assert play.said == [Wishes(), Wishes(seed=8)]


def test_without_leases_it_settles_as_its_text_does(play: Play) -> None:
    play.has_leases = False
    play.box.write("book.txt")
    play.box.write("book.txt.voiced.toml", "seed = 8")
    play.scan_and_turn()
    for _ in range(20):
        play.turn(0.5)
    assert play.said == [Wishes(seed=8)]


def test_without_leases_a_folders_sidecar_settles_once_for_all(play: Play) -> None:
    play.has_leases = False
    play.box.write("voiced.toml", "seed = 8")
    waited_s = []
    for n in range(2):
        play.box.write(f"{n}.txt")
        play.scan_and_turn()
        began = play.now
        while len(play.said) == n:
            play.turn(0.25)
        waited_s.append(play.now - began)
    assert play.said == [Wishes(seed=8)] * 2
    assert waited_s[1] == 2.0 < waited_s[0]  # of the second, the text alone


# -- late ones ----------------------------------------------------------------------------------------


def test_one_that_comes_late_is_told_once(play: Play) -> None:
    play.put("sub/book.txt", "text")
    for text in ("seed = 1", "seed = 1", "seed = 1\n# a word more"):
        play.put("sub/book.txt.voiced.toml", text)
        play.scan_and_turn()
    assert play.said == [Wishes(), Wishes(seed=1)]
    assert play.drop_names() == []
    play.put("sub/book.txt.voiced.toml", "seed = 2")
    assert play.said[2:] == [Wishes(seed=2)]
    assert {claim.job_id for claim in play.box.claims} == {play.box.claims[0].job_id}


def test_a_folders_that_comes_late_is_told_to_all_below(play: Play) -> None:
    for name in ("a/1.txt", "a/b/2.txt", "3.txt"):
        play.put(name, "text")
    play.put("a/voiced.toml", "seed = 1")
    assert sorted(play.box.names[3:]) == ["a/1.txt", "a/b/2.txt"]
    for _ in range(3):
        play.scan_and_turn(30.0)
    assert len(play.said) == 5
    (play.box.drop / "a/voiced.toml").unlink()
    play.scan_and_turn(30.0)
    assert len(play.said) == 5  # what went is no news


def test_a_late_one_whose_every_word_a_nearer_one_says_is_no_news(play: Play) -> None:
    play.box.write("sub/book.txt.voiced.toml", "seed = 1")
    play.put("sub/book.txt", "text")
    play.put("sub/voiced.toml", "seed = 2")
    assert play.said == [Wishes(seed=1)]
    play.put("sub/voiced.toml", "seed = 2\nspeed = 2")
    assert play.said[1:] == [Wishes(seed=1, speed=2.0)]


def test_a_late_one_that_is_being_written_is_looked_at_again(play: Play) -> None:
    play.put("book.txt", "text")
    play.writers.add("voiced.toml")
    play.put("voiced.toml", "seed = 1")
    assert len(play.said) == 1
    play.writers.clear()
    play.turn(0.6)
    assert play.said[1:] == [Wishes(seed=1)]


def test_a_late_one_that_nobody_ends_is_looked_at_ever_more_rarely(play: Play) -> None:
    play.put("book.txt", "text")
    play.writers.add("voiced.toml")
    play.box.write("voiced.toml", "seed = 1")
    play.intake.hint("voiced.toml")
    waits_s = [play.turn()]
    for _ in range(12):
        waits_s.append(play.turn(waits_s[-1]))
    assert waits_s == sorted(waits_s)
    assert (waits_s[0], waits_s[-1]) == (0.25, 30.0)
    play.writers.clear()
    play.intake.hint("voiced.toml")  # its writer has closed it
    play.turn()
    assert play.said[1:] == [Wishes(seed=1)]


def test_a_late_one_that_says_nothing_usable_is_told(play: Play) -> None:
    play.put("book.txt", "text")
    play.put("book.txt.voiced.toml", "sped = 2")
    assert play.said == [Wishes(), Wishes()]
    assert "'sped' cannot be set here" in play.box.sidecars[1].problems[0]
    play.put("book.txt.voiced.toml", "sped = 2")
    assert len(play.said) == 2


def test_one_that_comes_when_all_is_over_waits_for_the_next(play: Play) -> None:
    play.put("book.txt", "text")
    play.box.claims[0].path.unlink()
    play.put("book.txt.voiced.toml", "seed = 1")
    assert (len(play.said), play.drop_names()) == (1, ["book.txt.voiced.toml"])
    play.put("book.txt", "again")
    assert play.said[1:] == [Wishes(seed=1)]


def test_after_a_restart_a_claim_has_its_sidecars(play: Play) -> None:
    play.put("book.txt", "text")
    play.put("book.txt.voiced.toml", "seed = 1")
    play.intake = play.begin()
    play.intake.recover()
    play.turn()
    assert play.said == [Wishes(), Wishes(seed=1), Wishes(seed=1)]
    play.put("book.voiced.toml", "speed = 2")
    assert play.said[3:] == [Wishes(speed=2.0, seed=1)]


# -- after the job ------------------------------------------------------------------------------------


def test_they_follow_their_text_under_its_new_name(play: Play, tmp_path: Path) -> None:
    failed = tmp_path / "Failed"
    for n in range(2):
        play.put("sub/book.txt.voiced.toml", f"seed = {n}")
        play.put("sub/book.txt", "text")
        refuse(play.box.claims[n], failed, Path("sub/book.txt"), "Fault.")
    names = sorted(path.name for path in (failed / "sub").iterdir() if "error" not in path.name)
    assert names == ["book (2).txt", "book (2).txt.voiced.toml", "book.txt", "book.txt.voiced.toml"]
    assert (failed / "sub" / "book (2).txt.voiced.toml").read_text() == "seed = 1"
    assert list((play.box.drop / ".voiced").iterdir()) == []


def test_one_that_could_not_follow_is_given_back(play: Play, tmp_path: Path) -> None:
    play.put("sub/book.txt.voiced.toml", "seed = 1")
    play.put("sub/book.txt", "text")
    play.box.claims[0].path.rename(tmp_path / "elsewhere")  # killed before the sidecar followed
    assert find_claims(play.box.drop) == []
    assert play.drop_names() == ["sub/book.txt.voiced.toml"]
    assert list((play.box.drop / ".voiced").iterdir()) == []


def test_one_that_is_given_back_replaces_none_and_is_not_spoken(play: Play, tmp_path: Path) -> None:
    play.put("book.txt.voiced.toml", "seed = 1")
    play.put("book.txt", "text")
    play.box.claims[0].path.rename(tmp_path / "elsewhere")
    play.box.write("book.txt.voiced.toml", "seed = 2")
    play.intake = play.begin()
    play.intake.recover()
    play.scan_and_turn(100.0)
    assert play.drop_names() == ["book.txt.voiced (2).toml", "book.txt.voiced.toml"]
    assert len(play.box.claims) == 1


def test_a_link_in_a_sidecars_place_follows_nobody(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "a.txt.voiced.toml").symlink_to("/etc/hostname")
    take_sidecars_along(tmp_path / "in" / "a.txt", tmp_path / "out" / "a.txt")
    assert list((tmp_path / "out").iterdir()) == []
