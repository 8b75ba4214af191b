import os
import stat
from pathlib import Path

import pytest

from voiced.drop.claim import claim_file, discard_claim, find_claims, refuse, write_note
from voiced.files.place import place


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "Drop"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("text")
    return folder


RELATIVE = Path("sub/a.txt")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_claim_is_found_again(drop: Path) -> None:
    claim = claim_file(drop, RELATIVE)
    assert claim.path == drop / ".voiced" / claim.job_id / RELATIVE
    assert claim.path.read_text() == "text"
    assert not (drop / RELATIVE).exists()
    assert find_claims(drop) == [claim]
    assert stat.S_IMODE((drop / ".voiced" / claim.job_id).stat().st_mode) == 0o700


def test_claims_come_oldest_first_and_ids_differ(drop: Path) -> None:
    claims = []
    for n in range(3):
        (drop / f"{n}.txt").write_text("x")
        claims.append(claim_file(drop, Path(f"{n}.txt")))
        os.utime(drop / ".voiced" / claims[-1].job_id, (n, n))
    assert find_claims(drop) == claims
    assert len({claim.job_id for claim in claims}) == 3


def test_a_claim_with_any_name(drop: Path) -> None:
    relative = Path(os.fsdecode(b"\xff\n" + b"x" * 253))
    (drop / relative).write_text("x")
    claim = claim_file(drop, relative)
    assert find_claims(drop) == [claim]


def test_a_claim_of_nothing_leaves_nothing(drop: Path) -> None:
    with pytest.raises(FileNotFoundError):
        claim_file(drop, Path("deep/er/missing.txt"))
    assert names(drop / ".voiced") == []


def test_a_claim_does_not_follow_a_planted_link(drop: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (drop / ".voiced").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match="move it away"):
        claim_file(drop, RELATIVE)
    assert find_claims(drop) == []
    assert names(tmp_path / "elsewhere") == []


def test_finding_cleans_up_and_leaves_what_is_not_ours(drop: Path) -> None:
    assert find_claims(drop) == []
    base = drop / ".voiced"
    (base / ("e" * 22) / "sub").mkdir(parents=True)
    (base / "notes").mkdir()
    half = base / ("h" * 22)
    half.mkdir()
    (half / ".voiced-0123.tmp").write_text("half a copy")
    assert find_claims(drop) == []
    assert names(base) == ["notes"]


def test_discard_removes_empty_folders_only(drop: Path) -> None:
    claim = claim_file(drop, RELATIVE)
    discard_claim(claim)
    assert find_claims(drop) == [claim]
    claim.path.unlink()
    discard_claim(claim)
    assert names(drop / ".voiced") == []


def test_refuse_moves_the_file_and_says_why(drop: Path, tmp_path: Path) -> None:
    claim = claim_file(drop, RELATIVE)
    lies = refuse(claim, tmp_path / "Failed", RELATIVE, "It is a PDF. Save it as text.")
    assert lies == tmp_path / "Failed" / "sub" / "a.txt"
    assert lies.read_text() == "text"
    note = (lies.parent / "a.txt.error.txt").read_text()
    for part in ("sub/a.txt", "It is a PDF. Save it as text.", "drop folder again"):
        assert part in note
    assert names(drop / ".voiced") == []


def test_refusals_of_one_name_overwrite_nothing(drop: Path, tmp_path: Path) -> None:
    failed = tmp_path / "Failed"
    failed.mkdir()
    (failed / "b.txt.error.txt").write_text("the user's own")
    for n in range(2):
        (drop / "b.txt").write_text(str(n))
        refuse(drop / "b.txt", failed, Path("b.txt"), f"Fault {n}.")
    assert names(failed) == [
        "b (2).txt",
        "b (2).txt.error.txt",
        "b.txt",
        "b.txt.error (2).txt",
        "b.txt.error.txt",
    ]
    assert (failed / "b.txt.error.txt").read_text() == "the user's own"
    assert "Fault 1." in (failed / "b (2).txt.error.txt").read_text()


def test_refuse_of_any_name_writes_utf8(drop: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\n" + b"x" * 253)
    (drop / name).write_text("x")
    lies = refuse(drop / name, tmp_path / "Failed", Path(name), f"Not {name}.")
    (note,) = (path for path in lies.parent.iterdir() if path.name.endswith(".error.txt"))
    assert "\\xff" in note.read_text("utf-8")


def test_refuse_that_cannot_move_leaves_the_claim(drop: Path, tmp_path: Path) -> None:
    claim = claim_file(drop, RELATIVE)
    (tmp_path / "Failed").write_text("a file")
    with pytest.raises(OSError, match="Failed"):
        refuse(claim, tmp_path / "Failed", RELATIVE, "Fault.")
    assert find_claims(drop) == [claim]


def test_a_refusal_cut_short_is_told_once(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failed = claim_file(drop, RELATIVE), tmp_path / "Failed"

    def die(source: Path, *arguments: Path, may_copy: bool = True) -> Path:
        if source == claim.path:
            raise KeyboardInterrupt
        return place(source, *arguments, may_copy=may_copy)

    with monkeypatch.context() as killed:
        killed.setattr("voiced.drop.claim.place", die)
        with pytest.raises(KeyboardInterrupt):
            refuse(claim, failed, RELATIVE, "Fault.")
    assert find_claims(drop) == [claim]
    lies = refuse(claim, failed, RELATIVE, "Fault.")
    assert names(lies.parent) == ["a.txt", "a.txt.error.txt"]


def test_a_file_that_cannot_be_moved_leaves_no_note(drop: Path, tmp_path: Path) -> None:
    claim = claim_file(drop, RELATIVE)
    claim.path.unlink()
    with pytest.raises(FileNotFoundError):
        refuse(claim, tmp_path / "Failed", RELATIVE, "Fault.")
    assert names(tmp_path / "Failed" / "sub") == []


def test_the_same_note_is_written_once(tmp_path: Path) -> None:
    first, second = (write_note(tmp_path / "a.txt", "It is there.", Path("a.txt"), "Fault.") for _ in "12")
    assert first == second
    other = write_note(tmp_path / "a.txt", "It is there.", Path("a.txt"), "Other.")
    assert names(tmp_path) == sorted([first.name, other.name])


def test_a_pipe_in_the_place_of_the_note_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt.error.txt")
    assert write_note(tmp_path / "a.txt", "", Path("a.txt"), "Fault.").name == "a.txt.error (2).txt"
