"""Durable jobs of the real daemon: files, the drop folder, restarts, failures."""

import hashlib
import signal
import wave
from pathlib import Path

import pytest

from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc import messages as m
from voiced_ipc.errors import IdReused, InvalidRequest, JobNotFound, QueueFull
from voiced_ipc.messages import JobState

SENTENCES = [f"This is sentence number {i}, and it has a few more words to say." for i in range(400)]
BOOK = "\n\n".join(" ".join(SENTENCES[i : i + 8]) for i in range(0, 400, 8))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_dropped_text_becomes_audio_and_moves_to_done(daemon: DaemonProcess) -> None:
    daemon.home.put("note.txt", "A short note.")
    (job,) = daemon.wait_jobs(1)
    assert job.state is JobState.DONE
    assert job.path == str(daemon.home.audio / "note.wav")
    with wave.open(job.path) as audio:
        assert audio.getframerate() == 22050
        assert audio.getnframes() / 22050 == pytest.approx(job.audio_s)
    assert (daemon.home.paths.home / "Done/note.txt").read_text() == "A short note."
    assert list(daemon.home.drop.glob("*.txt")) == []
    assert list(daemon.home.paths.spool.iterdir()) == []


def test_two_of_one_name_and_a_subfolder_keep_apart(daemon: DaemonProcess) -> None:
    daemon.home.put("note.txt", "The first.")
    daemon.wait_jobs(1)
    daemon.home.put("note.txt", "The second one.")
    (daemon.home.drop / "sub").mkdir()
    daemon.home.put("sub/note.txt", "The third of them.")
    daemon.wait_jobs(3)
    names = sorted(str(path.relative_to(daemon.home.audio)) for path in daemon.home.audio.rglob("*.wav"))
    assert names == ["note (2).wav", "note.wav", "sub/note.wav"]


def test_an_unreadable_text_fails_with_its_reason(daemon: DaemonProcess) -> None:
    daemon.home.put("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    failed = daemon.home.paths.home / "Failed"
    reason = wait_for(lambda: [*failed.glob("*.error.txt")], what="the reason")[0]
    assert reason.name == "picture.txt.error.txt"
    assert (failed / "picture.txt").exists()
    assert len(reason.read_text()) > 50
    with daemon.client() as client:
        assert client.status().problems == []


def test_flac_has_the_same_length(daemon: DaemonProcess) -> None:
    import soundfile

    with daemon.client() as client:
        client.submit_text(BOOK[:3000], name="a.txt", format="wav")
        client.submit_text(BOOK[:3000], name="b.txt", format="flac")
    first, second = daemon.wait_jobs(2)
    assert {first.state, second.state} == {JobState.DONE}
    wav, flac = soundfile.read(first.path, dtype="int16"), soundfile.read(second.path, dtype="int16")
    assert wav[1] == flac[1] == 22050
    assert (wav[0] == flac[0]).all()


def test_the_same_request_gives_the_same_job(daemon: DaemonProcess) -> None:
    request_id = m.new_id()
    with daemon.client() as client:
        first = client.submit_text("Once.", request_id=request_id)
        assert client.submit_text("Once.", request_id=request_id).job_id == first.job_id
        daemon.wait_jobs(1)
        assert client.submit_text("Once.", request_id=request_id).job_id == first.job_id
        with pytest.raises(IdReused):
            client.submit_text("Twice.", request_id=request_id)
    assert len(daemon.jobs()) == 1
    assert len(list(daemon.home.audio.glob("*.wav"))) == 1


def test_a_document_is_handed_in_by_its_id(daemon: DaemonProcess, tmp_path: Path) -> None:
    document = tmp_path / "letter.txt"
    document.write_text("Dear reader, this is a letter.")
    with daemon.client() as client:
        incoming = Path(client.status().incoming_folder)
        accepted = client.submit_file(document, incoming)
        job = daemon.wait_job(accepted.job_id)
        assert Path(job.path).name == "letter.wav"
        assert document.exists()
        assert list(incoming.iterdir()) == []
        with pytest.raises(InvalidRequest):
            client._ask(
                m.Synthesize(request_id=m.new_id(), output=m.Output.FILE, incoming="../../etc/passwd"),
                m.Accepted,
            )


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(home: Home) -> None:
    with running_daemon(home) as daemon:
        home.put("whole.txt", BOOK)
        whole = daemon.wait_jobs(1)[0]
        home.put("killed.txt", BOOK)

        def is_halfway() -> bool:
            return any(job.name == "killed.txt" and job.segments_done > 20 for job in daemon.jobs())

        wait_for(is_halfway, what="the middle")
        daemon.kill()
        assert not (home.audio / "killed.wav").exists()
        daemon.restart()
        killed = daemon.wait_jobs(2)[1]
    assert digest(Path(whole.path)) == digest(Path(killed.path))
    assert killed.words_spoken == whole.words_spoken
    assert killed.audio_s == whole.audio_s


def test_stopped_in_the_middle_it_goes_on(home: Home) -> None:
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            job_id = client.submit_text(BOOK * 4, name="book.txt").job_id
        daemon.wait_job(job_id, JobState.RUNNING)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        daemon.restart()
        assert daemon.wait_job(job_id).state is JobState.DONE


def test_cancel_removes_the_audio_and_keeps_the_text(daemon: DaemonProcess) -> None:
    daemon.home.put("long.txt", BOOK * 20)
    job = wait_for(lambda: [job for job in daemon.jobs() if job.state is JobState.RUNNING], what="a job")[0]
    with daemon.client() as client:
        assert client.cancel(job.job_id) == "cancelled"
        assert client.job(job.job_id).state is JobState.CANCELLED
    failed = daemon.home.paths.home / "Failed"
    wait_for(lambda: (failed / "long.txt").exists(), what="the text")
    assert "cancelled" in (failed / "long.txt.error.txt").read_text()
    wait_for(lambda: not [*daemon.home.audio.rglob("*.part")], what="the sweep")
    assert not [*daemon.home.audio.rglob("*.wav")]


def test_pause_holds_over_a_restart(home: Home) -> None:
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            client.pause()
            job_id = client.submit_text("Wait for it.").job_id
            assert client.job(job_id).state is JobState.QUEUED
        daemon.kill()
        daemon.restart()
        with daemon.client() as client:
            assert client.status().is_paused
            assert client.job(job_id).state is JobState.QUEUED
            client.resume()
        assert daemon.wait_job(job_id).state is JobState.DONE


def test_the_drop_folder_can_be_paused_alone_and_stays_so_over_a_restart(home: Home) -> None:
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            client.pause(is_drop=True)
            home.put("note.txt", "A short note.")
            wait_for(lambda: client.status().drop_folder.waiting == 1, what="the file")
            client.submit_text("Jobs go on.")
            daemon.wait_jobs(1)
            status = client.status()
            assert (status.is_paused, status.problems) == (False, [])
            assert status.drop_folder.is_paused
            with pytest.raises(InvalidRequest, match="not both"):
                client.pause(m.new_id(), is_drop=True)
        daemon.stop()
        daemon.restart()
        with daemon.client() as client:
            wait_for(lambda: client.status().drop_folder.waiting == 1, what="the file")
            assert client.status().drop_folder.is_paused
            assert (home.drop / "note.txt").exists()
            client.resume(is_drop=True)
            daemon.wait_jobs(2)
            assert not client.status().drop_folder.is_paused


def test_one_job_can_be_paused(daemon: DaemonProcess) -> None:
    with daemon.client() as client:
        job_id = client.submit_text(BOOK * 3, name="long.txt").job_id
        daemon.wait_job(job_id, JobState.RUNNING)
        client.pause(job_id)
        assert client.job(job_id).state is JobState.PAUSED
        other = client.submit_text("Another one goes first.").job_id
        assert daemon.wait_job(other).state is JobState.DONE
        assert client.job(job_id).state is JobState.PAUSED
        client.resume(job_id)
        assert daemon.wait_job(job_id).state is JobState.DONE


def test_what_is_accepted_while_everything_is_paused_is_told_so(daemon: DaemonProcess) -> None:
    with daemon.client() as client:
        client.pause()
        job_id = client.submit_text("A file.").job_id
        with client.speak("And a word.") as stream:
            assert [note for note in stream.accepted.notes if "`voiced resume`" in note]
            client.resume()
            assert b"".join(stream)
        assert daemon.wait_job(job_id).notes == []  # the file itself is as it was asked for
        assert client.submit_text("Another.").notes == []


def test_a_full_queue_refuses_at_once(home: Home) -> None:
    with running_daemon(home, "--set", "queue_limit=3") as daemon, daemon.client() as client:
        client.pause()
        for _ in range(3):
            client.submit_text("One of three.")
        with pytest.raises(QueueFull, match="3 jobs"):
            client.submit_text("One too many.")
        home.put("waits.txt", "A file that waits where it lies.")
        assert (home.drop / "waits.txt").exists()
        client.resume()
        jobs = daemon.wait_jobs(4)
        assert {job.state for job in jobs} == {JobState.DONE}


def test_unknown_jobs_are_named(daemon: DaemonProcess) -> None:
    missing = m.new_id()
    with daemon.client() as client:
        for ask in (client.job, client.cancel, client.pause, client.retry):
            with pytest.raises(JobNotFound, match="voiced jobs"):
                ask(missing)


def test_pages_of_jobs_are_complete_and_newest_first(daemon: DaemonProcess) -> None:
    with daemon.client() as client:
        ids = [client.submit_text(f"Job {i}.").job_id for i in range(7)]
        daemon.wait_jobs(7)
        page = client._ask(m.ListJobs(request_id=m.new_id(), limit=3), m.Jobs)
        assert [job.job_id for job in page.jobs] == ids[::-1][:3]
        assert [job.job_id for job in client.jobs()] == ids[::-1]
        assert [job.job_id for job in client.jobs([JobState.FAILED])] == []


def test_the_device_lock_survives_a_restart(home: Home) -> None:
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            client.lock_device("cpu", for_s=3600)
            lock = client.status().lock
        daemon.kill()
        daemon.restart()
        with daemon.client() as client:
            assert client.status().lock == lock
            assert lock.device == "cpu"
            client.lock_device("auto")
            assert client.status().lock.device == "auto"
