import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiced.drop.verdict import Action, Facts, Rules, examine, is_download, is_passed_over, look

RULES = Rules(uid=1000, max_bytes=1 << 20, settle_s=2.0)
PLAIN = Facts(stat.S_IFREG | 0o600, 10, 0, 0, 1000, 1, 5, 6)


LEFT_BY_PROGRAMS = (
    ".hidden .DS_Store Thumbs.db THUMBS.DB desktop.ini ~$book.docx a.part a.crdownload a.tmp a.TMP a.download a.txt~ "
    ".~lock.a.odt# .voiced Icon\r #a.txt# a.txt.voiced.toml voiced.toml .a.txt.icloud a.txt.nextcloud __MACOSX"
)


@pytest.mark.parametrize("name", LEFT_BY_PROGRAMS.split(" "))
def test_what_programs_leave_is_passed_over(name: str) -> None:
    assert is_passed_over(name)


@pytest.mark.parametrize(
    "name", ["a.txt", "a", "partner.txt", "my.part.txt", "#", "~a.txt", "tmp", os.fsdecode(b"\xff.txt")]
)
def test_texts_are_not_passed_over(name: str) -> None:
    assert not is_passed_over(name)


def decide(facts: Facts, quiet_s: float = 0.0, writer: bool | None = False) -> tuple[Action, str]:
    verdict = examine(facts, RULES, quiet_s, lambda: writer)
    return verdict.action, verdict.reason


def test_a_plain_file_is_taken_at_once_where_writers_are_told() -> None:
    assert decide(PLAIN, 0.0, False)[0] is Action.TAKE
    assert decide(PLAIN, 1e9, True)[0] is Action.WAIT


def test_a_plain_file_settles_where_they_are_not() -> None:
    verdict = examine(PLAIN, RULES, 0.5, lambda: None)
    assert (verdict.action, verdict.wait_s) == (Action.WAIT, 1.5)
    assert decide(PLAIN, 2.0, None)[0] is Action.TAKE


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, 0])
def test_what_is_no_file_is_refused_unopened(kind: int) -> None:
    def opened() -> bool:
        raise AssertionError

    verdict = examine(PLAIN._replace(mode=kind | 0o666), RULES, 0.0, opened)
    assert verdict.action is Action.REFUSE
    assert "Put in" in verdict.reason or "Put a" in verdict.reason


FAULTS = {
    "another user": PLAIN._replace(uid=0),
    "hard link": PLAIN._replace(links=2),
    "permissions": PLAIN._replace(mode=stat.S_IFREG | 0o200),
    "too large: 1.5 MB, and 1 MB are allowed": PLAIN._replace(size=3 << 19),
    "empty": PLAIN._replace(size=0),
}


@pytest.mark.parametrize("word", FAULTS)
@pytest.mark.parametrize("writer", [False, None])
def test_a_fault_is_refused_when_it_lasts(word: str, writer: bool | None) -> None:
    assert decide(FAULTS[word], 1.9, writer)[0] is Action.WAIT
    action, reason = decide(FAULTS[word], 2.0, writer)
    assert action is Action.REFUSE
    assert word in reason
    assert decide(FAULTS[word], 2.0, True)[0] is Action.WAIT


def test_an_empty_name_that_a_browser_holds_waits() -> None:
    assert decide(PLAIN._replace(size=0, has_download=True), 1e6)[0] is Action.WAIT
    assert decide(PLAIN._replace(has_download=True))[0] is Action.TAKE
    assert is_download("a.PART")
    assert not is_download("a.tmp")


def test_a_file_in_a_cloud_is_passed_over_unopened() -> None:
    def opened() -> bool:
        raise AssertionError

    assert examine(PLAIN._replace(is_placeholder=True), RULES, 1e6, opened).action is Action.SKIP


@given(
    size=st.integers(0, 1 << 40),
    uid=st.sampled_from([0, 1000]),
    links=st.integers(1, 3),
    mode=st.integers(0, 0o177777),
    quiet_s=st.floats(0, 100),
    writer=st.sampled_from([True, False, None]),
)
def test_only_what_is_ours_and_finished_is_taken(
    size: int, uid: int, links: int, mode: int, quiet_s: float, writer: bool | None
) -> None:
    facts = Facts(mode, size, 0, 0, uid, links, 1, 1)
    verdict = examine(facts, RULES, quiet_s, lambda: writer)
    if verdict.action is Action.TAKE:
        assert stat.S_ISREG(mode)
        assert (uid, links) == (1000, 1)
        assert 0 < size <= RULES.max_bytes
        assert writer is False or (writer is None and quiet_s >= RULES.settle_s)
    if verdict.action is Action.REFUSE:
        assert verdict.reason.endswith(".")
    assert verdict.action is not Action.SKIP


def test_look_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    (tmp_path / "link").symlink_to("a")
    facts = look(tmp_path / "a")
    assert (facts.size, facts.links, facts.is_placeholder) == (4, 1, False)
    assert facts.version == look(tmp_path / "a").version
    assert stat.S_ISLNK(look(tmp_path / "link").mode)
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "missing")


def test_look_knows_a_placeholder(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with path.open("w") as file:
        file.truncate(1 << 20)
    assert not look(path).is_placeholder
    try:
        os.setxattr(path, "user.nextcloud.hydrate_exec", b"x")
    except OSError:
        pytest.skip("this file system keeps no user attributes")
    if path.stat().st_blocks:
        pytest.skip("this file system keeps attributes in blocks")
    assert look(path).is_placeholder
