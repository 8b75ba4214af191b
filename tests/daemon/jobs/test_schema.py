"""The database file: made, opened again, set aside when it is damaged or newer, whole after a kill."""

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.daemon.jobs.made import make_job
from voiced.jobs import database
from voiced.jobs.schema import SCHEMA_VERSION, open_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def fill(path: Path, count: int = 3) -> None:
    connection, _ = open_database(path)
    database.transact(connection, [lambda: database.insert_job(connection, make_job()) for _ in range(count)])
    connection.close()


def jobs_in(path: Path) -> int:
    connection, problem = open_database(path)
    assert problem == ""
    found = len(database.unfinished_jobs(connection))
    connection.close()
    return found


def test_a_new_file_has_this_schema(path: Path) -> None:
    connection, problem = open_database(path)
    assert problem == ""
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


def test_it_is_as_it_was_when_opened_again(path: Path) -> None:
    fill(path)
    assert jobs_in(path) == 3


@pytest.mark.parametrize("content", [b"this is no database " * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    connection, problem = open_database(path)
    connection.close()
    aside = path.with_name("jobs.sqlite.damaged-1")
    assert str(aside) in problem
    assert aside.read_bytes() == content
    assert jobs_in(path) == 0


def test_a_second_damaged_file_gets_another_name(path: Path) -> None:
    for _ in range(2):
        path.write_bytes(b"nonsense " * 200)
        open_database(path)[0].close()
    assert {file.name for file in path.parent.glob("*.damaged-?")} == {
        "jobs.sqlite.damaged-1",
        "jobs.sqlite.damaged-2",
    }


def test_a_newer_schema_is_set_aside(path: Path) -> None:
    fill(path)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    newer.close()
    connection, problem = open_database(path)
    assert f"version {SCHEMA_VERSION + 1}" in problem
    assert database.unfinished_jobs(connection) == []
    connection.close()
    assert path.with_name("jobs.sqlite.damaged-1").exists()


def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    connection, problem = open_database(path)
    connection.close()
    assert "empty" in problem
    assert jobs_in(path) == 0


@pytest.mark.process
def test_what_is_committed_outlasts_a_kill(path: Path) -> None:
    program = """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from tests.daemon.jobs.made import make_job
        from voiced.jobs import database
        from voiced.jobs.schema import open_database
        connection, _ = open_database(Path(sys.argv[1]))
        for _ in range(5):
            database.transact(connection, [lambda: database.insert_job(connection, make_job())])
        connection.execute("BEGIN IMMEDIATE")
        database.insert_job(connection, make_job())
        os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program), str(path), str(root)], timeout=60)
    assert ended.returncode == -9
    assert path.with_name("jobs.sqlite-wal").stat().st_size > 0
    assert jobs_in(path) == 5


def test_a_folder_in_its_place_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises((sqlite3.Error, OSError)):
        open_database(path)
