"""`voiced lexicon`: the file it keeps, what it prints, and that a running daemon is told."""

import json
from pathlib import Path

import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.standin import StandIn
from voiced.cli.exits import Exit
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode


@pytest.fixture
def file(user: Path) -> Path:
    return user / "root" / "config" / "lexicon.toml"


def test_add_list_try_remove(run: Run, file: Path) -> None:
    assert run("lexicon", "add", "voiced", "voist").out == "voiced is spoken 'voist'\n"
    assert run("lexicon", "add", "SQL", "sequel", "--language", "en").code == Exit.OK
    assert file.stat().st_mode & 0o777 == 0o600
    header, *lines = run("lexicon", "list").out.splitlines()
    assert header.split() == ["WORD", "SPOKEN", "LANGUAGE", "CASE"]
    assert [line.split() for line in lines] == [
        ["voiced", "voist", "every", "any"],
        ["SQL", "sequel", "en", "exact"],
    ]
    assert run("lexicon", "try", "--language", "en", "Voiced", "reads SQL.").out == "voist reads sequel.\n"
    assert run("lexicon", "try", "--language", "de", "SQL").out == "SQL\n"
    assert run("lexicon", "remove", "sql").out == "SQL (en) is spoken as it is written\n"
    assert run("lexicon", "remove", "voiced").code == Exit.OK
    assert run("lexicon", "list").out.startswith("no entries; `voiced lexicon add")


def test_json(run: Run, file: Path) -> None:
    run("lexicon", "add", "SQL", "sequel")
    assert json.loads(run("lexicon", "list", "--json").out) == {
        "file": str(file),
        "entries": [{"word": "SQL", "spoken": "sequel", "language": "", "case": "exact"}],
        "problems": [],
    }
    tried = json.loads(run("lexicon", "try", "--json", "The old man says SQL to the boats.").out)
    assert tried == {
        "text": "The old man says SQL to the boats.",
        "spoken": "The old man says sequel to the boats.",
        "language": "en",
        "is_changed": True,
    }


def test_add_replaces_and_comments_stay(run: Run, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text('# names\n[[entry]]\nword = "anna"\nspoken = "x"\n# the rest\n')
    run("lexicon", "add", "Anna", "Ana", "--case", "fold")
    assert file.read_text() == (
        '# names\n# the rest\n\n[[entry]]\nword = "Anna"\nspoken = "Ana"\ncase = "fold"\n'
    )


def test_remove_of_one_language(run: Run) -> None:
    for language in ("en", "de"):
        run("lexicon", "add", "data", "x", "--language", language)
    assert run("lexicon", "remove", "data", "--language", "fr").code == Exit.DATA
    assert run("lexicon", "remove", "data", "--language", "DE").out.startswith("data (de)")
    assert [entry["language"] for entry in json.loads(run("lexicon", "list", "--json").out)["entries"]] == [
        "en"
    ]


def test_a_running_daemon_reads_it_again(run: Run, daemon: StandIn) -> None:
    run("lexicon", "add", "a", "b")
    run("lexicon", "remove", "a")
    run("lexicon", "list")
    assert len(daemon.of(m.Reload)) == 2


def test_a_daemon_that_refuses_costs_a_line(run: Run, daemon: StandIn) -> None:
    daemon.answers[m.Reload] = standin.refuse(ErrorCode.INTERNAL_ERROR, "no")
    ran = run("lexicon", "add", "a", "b")
    assert ran.code == Exit.OK
    assert "voiced reload" in ran.err


def test_play_speaks_through_the_daemon(run: Run, daemon: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")  # no player: the request has come by then
    run("lexicon", "add", "SQL", "sequel")
    run("lexicon", "try", "--play", "--language", "en", "-- SQL")
    request = daemon.await_request(m.Synthesize)
    assert request.language == "en"
    assert b"-- SQL" in daemon.payloads  # the daemon has the lexicon itself


def test_problems_are_told(run: Run, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text('[[entry]]\nword = "a"\nspoken = "b"\n[[entry]]\nword = "b"\n')
    ran = run("lexicon", "list")
    assert ran.code == Exit.CONFIG
    assert f"voiced: {file}: entry 2 ('b'): spoken is missing" in ran.err
    assert "a  " in ran.out
    assert run("lexicon", "add", "c", "d").code == Exit.OK
    assert 'word = "b"\n' in file.read_text()


@pytest.mark.parametrize("damage", [b'[[entry]]\nword = """\n', b"\xff\xfe"])
def test_a_damaged_file_is_not_written_over(run: Run, file: Path, damage: bytes) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(damage)
    ran = run("lexicon", "add", "a", "b")
    if ran.code == Exit.OK:
        assert file.read_bytes().startswith(damage)
        assert len(json.loads(run("lexicon", "list", "--json").out)["entries"]) == 1
    else:
        assert ran.code == Exit.CONFIG
        assert file.read_bytes() == damage


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", " ", "x"], ["1 to 100"]),
        (["add", "x", "y" * 201], ["200"]),
        (["add", "x", "y", "--language", "?"], ["'?'", "BCP 47"]),
        (["add", "x", "y", "--case", "lower"], ["fold", "exact"]),
        (["add", "x"], ["SPOKEN"]),
        ([], ["ACTION"]),
    ],
)
def test_mistakes(run: Run, file: Path, arguments: list[str], words: list[str]) -> None:
    ran = run("lexicon", *arguments)
    assert ran.code == Exit.USAGE
    for word in words:
        assert word in ran.err
    assert not file.exists()


def test_a_link_to_a_file_elsewhere_stays_a_link(run: Run, file: Path, user: Path) -> None:
    file.parent.mkdir(parents=True)
    file.symlink_to(user / "mine.toml")
    run("lexicon", "add", "a", "b")
    assert file.is_symlink()
    assert "spoken" in (user / "mine.toml").read_text()
