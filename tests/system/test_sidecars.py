"""Sidecars of the real daemon: what they set, when they come late, what becomes of bad ones."""

import hashlib
import random
import signal
import tempfile
import time
from pathlib import Path

from tests.support import DaemonProcess, Home, need, running_daemon, wait_for
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
        "it has no chapters",
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


def test_kills_at_any_moment_lose_neither_text_nor_sidecar(home: Home) -> None:
    """Late sidecars of six jobs, and the daemon killed while it takes them up: all end once, as their sidecars say."""
    source, count = random.Random(14), 6
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            client.pause()
        wait_for(home.drop.exists, what="the drop folder")
        for n in range(count):
            home.put(f"book {n}.txt", f"{BOOK[:3000]} {n}")
        wait_for(lambda: len(daemon.jobs()) == count, what="the jobs")
        for n in range(count):
            home.put(f"book {n}.txt.voiced.toml", QUICK)
            time.sleep(source.uniform(0.0, 0.06))
            daemon.kill()
            daemon.restart()
        with daemon.client() as client:
            client.resume()
        jobs = daemon.wait_jobs(count)
        wait_for(lambda: not names(home.drop), what="an empty drop folder")
        assert {(job.state, job.voice, job.format) for job in jobs} == {(JobState.DONE, "en-us", "flac")}
        assert names(home.audio) == [f"book {n}.flac" for n in range(count)]
        both = [f"book {n}.txt{end}" for n in range(count) for end in ("", ".voiced.toml")]
        assert names(home.paths.home / "Done") == both
        assert names(home.paths.spool) == []


def test_folders_on_another_device(home: Home) -> None:
    memory = Path("/dev/shm")
    is_there = memory.is_dir() and memory.stat().st_dev != home.root.stat().st_dev
    need("devices", is_there, "needs /dev/shm on a device of its own")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        there = Path(folder)
        folders = {f"VOICED_{name.upper()}_FOLDER": str(there / name) for name in ("audio", "done", "failed")}
        with running_daemon(home, **folders) as daemon:
            wait_for(home.drop.exists, what="the drop folder")
            for _ in range(2):
                home.put("note.txt.voiced.toml", QUICK)
                home.put("note.txt", "A short note.")
                wait_for(lambda: not names(home.drop), what="an empty drop folder")
            home.put("bad.txt.voiced.toml", 'voice = "no-such-voice"')
            home.put("bad.txt", "A short note.")
            wait_for(lambda: len(names(there / "failed")) == 3 and not names(home.drop), what="the reason")
            daemon.wait_jobs(2)
        assert names(there) == [
            "audio/note (2).flac",
            "audio/note.flac",
            "done/note (2).txt",
            "done/note (2).txt.voiced.toml",
            "done/note.txt",
            "done/note.txt.voiced.toml",
            "failed/bad.txt",
            "failed/bad.txt.error.txt",
            "failed/bad.txt.voiced.toml",
        ]


def test_switched_off_sidecars_say_nothing(home: Home) -> None:
    with running_daemon(home, VOICED_DROP_SIDECARS="false") as daemon:
        home.put("note.txt.voiced.toml", QUICK)
        home.put("note.txt", "A short note.")
        (job,) = daemon.wait_jobs(1)
        assert (job.state, job.format, job.voice) == (JobState.DONE, "wav", "")
        assert names(home.drop) == ["note.txt.voiced.toml"]
