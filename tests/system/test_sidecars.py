"""Sidecars of the real daemon: what they set, when they come late, what becomes of bad ones."""

import hashlib
import signal
from pathlib import Path

from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc import messages as m
from voiced_ipc.messages import JobState

BOOK = " ".join(f"This is sentence number {i}, and it has a few more words to say." for i in range(300))
QUICK = 'speed = 2\nvoice = "en-us"\nformat = "flac"\n'


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_sidecar_sets_voice_speed_and_format_and_follows_its_text(daemon: DaemonProcess) -> None:
    home = daemon.home
    (home.drop / "sub").mkdir(parents=True)
    home.put("sub/note.txt.voiced.toml", QUICK)
    home.put("sub/note.txt", "A short note, spoken in a hurry.")
    home.put("plain.txt", "A short note, spoken in a hurry.")
    jobs = {job.name: job for job in daemon.wait_jobs(2)}
    assert {job.state for job in jobs.values()} == {JobState.DONE}
    quick, plain = jobs["sub/note.txt"], jobs["plain.txt"]
    assert quick.path == str(home.audio / "sub/note.flac")
    assert (quick.voice, quick.notes) == ("en-us", [])
    assert quick.audio_s < 0.75 * plain.audio_s
    assert names(home.paths.home / "Done") == ["plain.txt", "sub/note.txt", "sub/note.txt.voiced.toml"]
    assert names(home.drop) == []


def test_a_folders_sidecar_stays_and_its_faults_are_noted(daemon: DaemonProcess) -> None:
    home = daemon.home
    (home.drop / "sub").mkdir(parents=True)
    home.put("sub/voiced.toml", 'voice = "de"\ndevice = "cuda"\nspeed = 77\nchapters = "folder"\n')
    home.put("sub/note.txt", "Eine kurze Nachricht.")
    (job,) = daemon.wait_jobs(1)
    assert (job.state, job.voice) == (JobState.DONE, "de")
    assert [note.partition(":")[0] for note in job.notes] == [
        "sub/voiced.toml",
        "sub/voiced.toml",
        "chapters",
    ]
    assert names(home.drop) == ["sub/voiced.toml"]


def test_a_wish_that_cannot_be_fulfilled_fails_with_all_its_reasons(daemon: DaemonProcess) -> None:
    home = daemon.home
    home.put("note.txt.voiced.toml", 'model = "no-such-model"\ncolour = "red"\n')
    home.put("note.txt", "A short note.")
    failed = home.paths.home / "Failed"
    reason = wait_for(lambda: [*failed.glob("*.error.txt")], what="the reason")[0].read_text()
    assert "no model 'no-such-model'" in reason
    assert "'colour' cannot be set here" in reason
    wait_for(lambda: len(names(failed)) == 3, what="the sidecar beside it")
    assert names(failed) == ["note.txt", "note.txt.error.txt", "note.txt.voiced.toml"]


def test_a_sidecar_that_comes_late_begins_its_job_anew(home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client() as client:
        client.pause()
        wait_for(home.drop.exists, what="the drop folder")
        home.put("book.txt", BOOK)
        (job,) = wait_for(daemon.jobs, what="the job")
        client.resume()
        daemon.wait_job(job.job_id, JobState.RUNNING)
        home.put("book.txt.voiced.toml", QUICK)
        (late,) = daemon.wait_jobs(1)
        assert late.job_id == job.job_id
        assert (late.state, late.voice, late.format) == (JobState.DONE, "en-us", "flac")
        (home.drop / "again").mkdir()
        home.put("again/book.txt.voiced.toml", QUICK)
        home.put("again/book.txt", BOOK)
        together = daemon.wait_jobs(2)[1]
        assert digest(Path(late.path)) == digest(Path(together.path))
        assert names(home.audio) == ["again/book.flac", "book.flac"]
        assert names(home.paths.home / "Done")[2:] == ["book.txt", "book.txt.voiced.toml"]
        assert names(home.paths.spool) == []
        assert "Traceback" not in daemon.log()


def test_a_paused_job_stays_paused_and_the_same_words_twice_are_no_news(home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client() as client:
        client.pause()
        wait_for(home.drop.exists, what="the drop folder")
        home.put("book.txt", BOOK)
        (job,) = wait_for(daemon.jobs, what="the job")
        client.pause(job.job_id)

        def voice(voice: str) -> m.JobInfo | None:
            found = [one for one in daemon.jobs() if one.voice == voice]
            return found[0] if found else None

        home.put("book.voiced.toml", 'voice = "de"')
        changed = wait_for(lambda: voice("de"), what="the other voice")
        assert changed.state is JobState.PAUSED
        home.put("book.voiced.toml", 'voice = "de"  # again')
        wait_for(lambda: names(home.drop) == [".voiced/" + f"{job.job_id}/{name}" for name in BOTH])
        home.put("book.txt.voiced.toml", 'voice = "en-us"')
        wait_for(lambda: voice("en-us"), what="the other voice")
        home.put("book.txt.voiced.toml", 'voice = "en-us"\ncolour = "red"')
        noted = wait_for(lambda: [job for job in daemon.jobs() if job.notes], what="the note")[0]
        assert "'colour' cannot be set here" in noted.notes[0]
        assert daemon.log().count("begins anew") == 2


BOTH = ("book.txt", "book.voiced.toml")


def test_killed_between_the_old_plan_and_the_new_nothing_is_lost(home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client() as client:
        client.pause()
        wait_for(home.drop.exists, what="the drop folder")
        home.put("book.txt", BOOK)
        wait_for(daemon.jobs, what="the job")
        daemon.signal(signal.SIGSTOP)  # stopped: what comes now is first seen by the next run
        home.put("book.txt.voiced.toml", QUICK)
        daemon.kill()
        daemon.restart()
    with running_daemon(home) as daemon, daemon.client() as client:
        client.resume()
        (job,) = daemon.wait_jobs(1)
        assert (job.state, job.voice, job.format) == (JobState.DONE, "en-us", "flac")
        assert names(home.drop) == []
        assert client.status().problems == []


def test_switched_off_sidecars_say_nothing(home: Home) -> None:
    with running_daemon(home, VOICED_DROP_SIDECARS="false") as daemon:
        home.put("note.txt.voiced.toml", QUICK)
        home.put("note.txt", "A short note.")
        (job,) = daemon.wait_jobs(1)
        assert (job.state, job.format, job.voice) == (JobState.DONE, "wav", "")
        assert names(home.drop) == ["note.txt.voiced.toml"]
