"""Cancel, pause and stop of a job that is planned yet, or whose file is being made: the real daemon and its scribe."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.daemon.text.books import build_epub, make_novel
from tests.scorecard.leftovers import leftovers
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc import messages as m
from voiced_ipc.errors import InvalidRequest, JobCancelled, JobNotFound
from voiced_ipc.messages import JobState

CANCEL_S = 0.5
SLACK = 3.0
"""How much later an answer may come where the machine's cores are busy with other tests."""
STOP_S = 8.0
"""Less than what is left of the encoding: a quarter of an hour of sound, measured and encoded."""
LONG = "\n\n".join(f"This is paragraph number {i}, and it has a few more words to say." for i in range(200))
SLOW: dict[str, Any] = {"format": "m4b", "loudness_lufs": -18.0, "speed": 0.5}


def begun(home: Home, ending: str = "m4b") -> list[Path]:
    """The files that the encoder has begun."""
    return [*(home.audio / ".voiced").rglob(f"*.{ending}")]


def begin_encoding(daemon: DaemonProcess, **fields: Any) -> str:
    """Return a job whose file is being made."""
    with daemon.client() as client:
        job_id = client.submit_text(LONG, name="long.txt", **SLOW, **fields).job_id
    daemon.wait_job(job_id, JobState.FINISHING)
    wait_for(lambda: begun(daemon.home), what="the encoder")
    return job_id


def scribes(daemon: DaemonProcess) -> set[int]:
    """The pids of the scribes."""
    found = set()
    for pid in daemon.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "voiced.child.scribe" in psutil.Process(pid).cmdline():
                found.add(pid)
    return found


def timed_cancel(daemon: DaemonProcess, job_id: str) -> str:
    """Cancel a job; return what was said, which may not take long."""
    with daemon.client() as client:
        began = time.monotonic()
        said = client.cancel(job_id)
        assert time.monotonic() - began < CANCEL_S * SLACK
        assert client.job(job_id).state is JobState.CANCELLED
        return said


@pytest.fixture
def ended_daemon(home: Home) -> Iterator[DaemonProcess]:
    """A daemon that has nothing lying about at its end."""
    with running_daemon(home) as daemon:
        yield daemon
        wait_for(lambda: leftovers(home) == [], what=f"a clean home instead of {leftovers(home)}")


def test_an_encoding_is_cancelled_and_others_are_made(ended_daemon: DaemonProcess) -> None:
    daemon = ended_daemon
    job_id = begin_encoding(daemon)
    assert timed_cancel(daemon, job_id) == "cancelled"
    assert leftovers(daemon.home) == []
    with daemon.client() as client:
        other = client.submit_text("Another one.", name="other.txt", format="m4b")
        assert client.cancel(job_id) == "the job is cancelled already"
    assert daemon.wait_job(other.job_id).state is JobState.DONE
    assert [path.name for path in daemon.home.audio.rglob("*.m4b")] == ["other.m4b"]


def test_chapters_of_a_dropped_book_are_cancelled_and_the_book_is_kept(
    ended_daemon: DaemonProcess, tmp_path: Path
) -> None:
    daemon, home = ended_daemon, ended_daemon.home
    book = tmp_path / "book.epub"
    build_epub(book, make_novel(sections=12, chars=8_000))
    home.drop.mkdir(parents=True, exist_ok=True)
    (home.drop / "voiced.toml").write_text(
        'chapters = "folder"\nformat = "m4a"\nspeed = 0.5\nsubtitles = "srt"\n'
    )
    home.put("book.epub", book.read_bytes())
    (job,) = wait_for(
        lambda: [job for job in daemon.jobs() if job.state is JobState.FINISHING], 60.0, "the book"
    )
    wait_for(lambda: begun(home, "m4a"), what="a chapter")
    assert timed_cancel(daemon, job.job_id) == "cancelled"
    failed = home.paths.home / "Failed"
    assert (failed / "book.epub").read_bytes() == book.read_bytes()
    assert "cancelled" in (failed / "book.epub.error.txt").read_text()
    assert [path for path in home.audio.rglob("*") if path.name != ".voiced"] == []
    (home.drop / "voiced.toml").unlink()


def test_a_dropped_book_is_seen_while_it_is_read(ended_daemon: DaemonProcess, tmp_path: Path) -> None:
    """It has left the folder, and is no job yet: nobody may think that it is lost."""
    daemon, home = ended_daemon, ended_daemon.home
    build_epub(tmp_path / "book.epub", make_novel(sections=2, chars=400))
    with daemon.client() as client:
        wait_for(lambda: scribes(daemon), what="a scribe")
        stopped = scribes(daemon)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        home.put("book.epub", (tmp_path / "book.epub").read_bytes())
        wait_for(lambda: client.status().drop_folder.reading == ["book.epub"], what="a book that is read")
        assert list(client.jobs()) == []
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        (job,) = daemon.wait_jobs(1)
        assert job.state is JobState.DONE
        assert client.status().drop_folder.reading == []


def test_an_encoder_that_dies_fails_its_job_and_a_retry_makes_the_file_again(
    ended_daemon: DaemonProcess,
) -> None:
    daemon = ended_daemon
    job_id = begin_encoding(daemon)
    with daemon.client() as client:
        for attempt in range(3):
            made = wait_for(lambda: begun(daemon.home), what=f"attempt {attempt + 1}")
            for pid in scribes(daemon):
                os.kill(pid, signal.SIGKILL)
            for path in made:
                path.unlink(missing_ok=True)
        failed = daemon.wait_job(job_id, JobState.FAILED)
        assert "the encoder ended 3 times" in failed.error
        assert client.retry(job_id).message == "all of it is spoken: its file is made again"
        wait_for(lambda: begun(daemon.home), what="the encoder")
        assert timed_cancel(daemon, job_id) == "cancelled"
        with pytest.raises(InvalidRequest, match="hand its text in again"):
            client.retry(job_id)


def test_a_stop_leaves_an_encoding_which_begins_anew_and_can_be_cancelled_then(home: Home) -> None:
    with running_daemon(home) as daemon:
        job_id = begin_encoding(daemon)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < STOP_S
        daemon.start()
        with daemon.client() as client:
            assert client.job(job_id).state is JobState.FINISHING
        wait_for(lambda: begun(home), what="the encoder")
        assert timed_cancel(daemon, job_id) == "cancelled"
        wait_for(lambda: leftovers(home) == [], what="a clean home")


def test_a_pause_of_everything_holds_an_encoding(ended_daemon: DaemonProcess) -> None:
    daemon, home = ended_daemon, ended_daemon.home
    job_id = begin_encoding(daemon)
    with daemon.client() as client:
        with pytest.raises(InvalidRequest, match="its file is being made"):
            client.pause(job_id)
        client.pause()
        wait_for(lambda: not begun(home), what="the encoder's stop")
        assert client.job(job_id).state is JobState.FINISHING
        client.resume()
        wait_for(lambda: begun(home), what="the encoder")
    assert timed_cancel(daemon, job_id) == "cancelled"


def test_a_document_that_is_planned_is_cancelled_while_others_are_read(
    ended_daemon: DaemonProcess, tmp_path: Path
) -> None:
    daemon = ended_daemon
    huge = tmp_path / "huge.txt"
    huge.write_text(LONG * 200)
    job_id = m.new_id()
    ends: list[m.Accepted | JobCancelled] = []

    def submit() -> None:
        with daemon.client(60.0) as client:
            incoming = Path(client.status().incoming_folder)
            try:
                ends.append(client.submit_file(huge, incoming, request_id=job_id))
            except JobCancelled as error:
                ends.append(error)

    thread = threading.Thread(target=submit)
    thread.start()
    with daemon.client() as client:
        wait_for(lambda: [*daemon.home.paths.spool.glob(f"{job_id}/source")], what="its plan's beginning")
        other = client.submit_text("Another one.", name="other.txt", format="flac")
        began = time.monotonic()
        assert client.cancel(job_id) == "cancelled"
        assert time.monotonic() - began < CANCEL_S * SLACK
        with pytest.raises(JobNotFound):
            client.job(job_id)
    thread.join(10.0)
    assert [type(end) for end in ends] == [JobCancelled]
    assert daemon.wait_job(other.job_id).state is JobState.DONE
    assert huge.exists()
