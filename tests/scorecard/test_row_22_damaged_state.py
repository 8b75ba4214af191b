"""Row 22, damaged state: the jobs' database with a broken header, half, with flipped bits, empty, of a newer version;
settings mistyped, unreadable, binary; damaged files of jobs, caches, voices and models.

Target: starts within 5 s; a damaged database is kept aside and told in `voiced status`; never mute because of one bad
line, never a newer database overwritten, and no text of an unfinished job is gone.
"""

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.scorecard.card import Card
from tests.support import Home, running_daemon, temporary_home, wait_for
from voiced_ipc.messages import JobState

START_S = 5.0
WORDS = "Words of a job that nobody has spoken yet."
Damage = Callable[[Path, Random], None]


@pytest.fixture(scope="module")
def used() -> Iterator[Home]:
    """A home with history: jobs that are done, and one that waits."""
    with temporary_home() as home:
        with running_daemon(home) as daemon, daemon.client() as client:
            for number in range(3):
                client.submit_text(f"Number {number}.")
            daemon.wait_jobs(3)
            client.pause()
            client.submit_text(WORDS, name="waits.txt")
        yield home


@pytest.fixture
def copied(used: Home, home: Home) -> Home:
    """A copy of it."""
    shutil.copytree(used.root, home.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("run"))
    with contextlib.closing(sqlite3.connect(home.paths.database)) as connection:
        # Paths in orders are absolute; what lies in the log of writes goes into the file.
        connection.execute(
            "UPDATE jobs SET job_order = replace(job_order, ?, ?)", (str(used.root), str(home.root))
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home


def break_header(path: Path, source: Random) -> None:
    data = bytearray(path.read_bytes())
    data[:16] = source.randbytes(16)
    path.write_bytes(data)


def cut_in_half(path: Path, source: Random) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bits(path: Path, source: Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(len(data) // 100):
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def empty(path: Path, source: Random) -> None:
    path.write_bytes(b"")


def remove(path: Path, source: Random) -> None:
    path.unlink()


def make_binary(path: Path, source: Random) -> None:
    path.write_bytes(source.randbytes(2000))


def make_newer(path: Path, source: Random) -> None:
    execute(path, "PRAGMA user_version = 99")


def spoil_rows(path: Path, source: Random) -> None:
    execute(path, "UPDATE jobs SET job_order = substr(job_order, 1, 20) WHERE state = 'done'")
    execute(path, "UPDATE jobs SET progress = 'null' WHERE number = 2")


def spoil_settings(path: Path, source: Random) -> None:
    for key in ("pace", "sizes", "device_lock", "lock"):
        execute(path, f"INSERT OR REPLACE INTO settings VALUES ('{key}', '[{{\"a\": nul')")


def execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def kept_texts(home: Home) -> list[str]:
    """Return the texts of jobs that lie in the state folder, put aside or not."""
    return [path.read_text() for path in home.paths.state.rglob("text")]


def start_and_speak(home: Home) -> tuple[float, list[str], list[str]]:
    """Start a daemon on it and have a text spoken; return the seconds to its answer, its problems and states."""
    began = time.monotonic()
    with running_daemon(home) as daemon, daemon.client() as client:
        took_s = time.monotonic() - began
        problems = client.status().problems
        client.resume()
        job_id = client.submit_text("It speaks.").job_id
        assert daemon.wait_job(job_id).state is JobState.DONE
        wait_for(lambda: all(job.state.is_final for job in client.jobs()), what="the end of all jobs")
        states = [job.state.value for job in client.jobs()]
    return took_s, problems, states


@pytest.mark.parametrize("damage", [break_header, cut_in_half, flip_bits, empty, make_newer, make_binary])
def test_a_damaged_database(card: Card, copied: Home, damage: Damage) -> None:
    database = copied.paths.database
    damage(database, card.random)
    bytes_before = database.read_bytes()
    took_s, problems, states = start_and_speak(copied)
    card.tell(damage=damage.__name__, start_s=took_s, problems=len(problems), jobs=len(states))
    assert took_s < START_S
    assert any("job history" in problem for problem in problems)
    if damage is not empty:
        aside = database.with_name("jobs.sqlite.damaged-1")
        assert any(str(aside) in problem for problem in problems)
        assert aside.read_bytes() == bytes_before
    assert WORDS in kept_texts(copied)
    assert any("hand them in again" in problem for problem in problems)


@pytest.mark.parametrize("damage", [spoil_rows, spoil_settings])
def test_rows_that_cannot_be_read(card: Card, copied: Home, damage: Damage) -> None:
    damage(copied.paths.database, card.random)
    took_s, problems, states = start_and_speak(copied)
    card.tell(damage=damage.__name__, start_s=took_s, problems=len(problems), jobs=len(states))
    assert took_s < START_S
    assert states.count("done") >= 1
    assert (copied.audio / "waits.wav").exists()


CONFIGS: dict[str, Callable[[Path], object]] = {
    "mistyped": lambda path: path.write_text("[speech]\nspeed = = 2\nvolume = 0.5\n[nonsense]\nx = 1\n"),
    "unreadable": lambda path: path.mkdir(),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "zeros": lambda path: path.write_bytes(bytes(4096)),
}


@pytest.mark.parametrize("config", CONFIGS)
def test_damaged_settings(card: Card, copied: Home, config: str) -> None:
    copied.paths.config.mkdir(parents=True, exist_ok=True)
    CONFIGS[config](copied.paths.config_file)
    took_s, problems, states = start_and_speak(copied)
    card.tell(damage=f"settings {config}", start_s=took_s, problems=len(problems), jobs=len(states))
    assert took_s < START_S
    assert any(str(copied.paths.config_file) in problem for problem in problems)
    assert (copied.audio / "waits.wav").exists()


@pytest.mark.parametrize("file", ["plan", "text", "timeline"])
@pytest.mark.parametrize("damage", [make_binary, empty, remove])
def test_damaged_files_of_a_job(card: Card, copied: Home, file: str, damage: Damage) -> None:
    (place,) = copied.paths.spool.rglob(file)
    damage(place, card.random)
    took_s, problems, states = start_and_speak(copied)
    card.tell(damage=f"{file} of a job", start_s=took_s, problems=len(problems), states=",".join(states))
    assert took_s < START_S
    assert states.count("done") >= 4
    assert set(states) <= {"done", "failed"}


def test_damaged_caches_voices_and_models(card: Card, copied: Home) -> None:
    paths = copied.paths
    for folder, name in (
        (paths.prompts, f"{'a' * 64}.prompt"),
        (paths.weights, "a.json"),
        (paths.voices / "anna", "voice.json"),
        (paths.models / "maya1", "voiced.json"),
        (paths.models / "kokoro", "voiced.json"),
        (paths.overlays / "kokoro", "manifest.json"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(card.random.randbytes(500))
    took_s, problems, _ = start_and_speak(copied)
    with running_daemon(copied) as daemon, daemon.client() as client:
        listed = len(client.models()) + len(list(client.voices())) + len(client.cache_stats())
    card.tell(damage="caches, voices, models", start_s=took_s, problems=len(problems), listed=listed)
    assert took_s < START_S
    assert (copied.audio / "waits.wav").exists()
