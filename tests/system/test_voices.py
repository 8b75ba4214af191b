"""Voices of recordings in the real daemon, from the recording to the audio, with a model that needs no weights."""

import json
import threading
from pathlib import Path

import pytest

from tests.support import DaemonProcess, Home, running_daemon, wait_for
from tests.system.recordings import record, voiced
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import InvalidRequest, ReferenceRefused, UnknownVoice, VoicedError
from voiced_ipc.messages import JobState, new_id

TEXT = "A sentence that is spoken with somebody's voice."


def speak(client: Client, voice: str = "", **fields: object) -> bytes:
    return client.synthesize(TEXT, model="tone", voice=voice, seed=7, **fields)[0]


def tally(client: Client) -> tuple[int, int, int, str]:
    """Entries, hits, misses and the last reason of the prompt cache."""
    cache = client.cache_stats()[0]
    assert cache.cache == "prompts"
    return cache.entries, cache.hits, cache.misses, cache.last_miss


def prompts(home: Home) -> list[str]:
    return sorted(path.name for path in home.paths.prompts.glob("*.prompt"))


class TestAWholeLife:
    def test_add_speak_replace_remove(self, home: Home, daemon: DaemonProcess) -> None:
        recording = record(home.root / "anna.wav")
        with daemon.client() as client:
            reply = client.add_voice("anna", [(recording, "What is said.")], language="en")
            assert (reply.voice.kind, reply.voice.references, reply.notes) == ("prompt", 1, [])
            assert reply.voice.reference_s == pytest.approx(12.0, abs=0.01)
            first = speak(client, "anna")
            assert speak(client, "anna") == first
            assert speak(client) != first
            assert tally(client) == (1, 1, 1, "first use")
            listed = {voice.voice: voice for voice in client.voices("tone")}
            assert (listed["anna"].kind, listed["tone-low"].kind) == ("prompt", "speaker")
            assert "anna" not in {voice.voice for voice in client.voices("espeak")}
            other = record(home.root / "other.wav", level=0.1)
            with pytest.raises(InvalidRequest, match="already"):
                client.add_voice("anna", [(other, "")])
            assert speak(client, "anna") == first
            client.add_voice("anna", [(other, "")], replace=True)
            assert speak(client, "anna") != first
            assert tally(client)[3] == "changed recording"
            assert len(prompts(home)) == 2
            client.remove_voice("anna")
            assert prompts(home) == []
            with pytest.raises(UnknownVoice):
                speak(client, "anna")
            assert list(home.paths.voices.iterdir()) == []
        assert not list(home.paths.incoming.iterdir())

    def test_all_outlasts_a_restart(self, home: Home) -> None:
        with running_daemon(home) as daemon, daemon.client() as client:
            client.add_voice("anna", [(record(home.root / "anna.wav"), "")])
            first = speak(client, "anna")
            daemon.kill()
            daemon.restart()
            with daemon.client() as again:
                assert speak(again, "anna") == first
                assert tally(again) == (1, 1, 0, "")
                status = again.status().cache_stats
                assert (status.enabled, status.size, status.hits) == (True, 1, 1)

    def test_cleared_damaged_and_foreign_files(self, home: Home, daemon: DaemonProcess) -> None:
        home.paths.prompts.mkdir(parents=True)
        strange = home.paths.prompts / "e945d48a7a466d509249990b5420a23a.prompt"
        strange.write_bytes(b"\x80\x04 an old one")
        with daemon.client() as client:
            client.add_voice("anna", [(record(home.root / "anna.wav"), "")])
            first = speak(client, "anna")
            (name,) = [name for name in prompts(home) if name != strange.name]
            path = home.paths.prompts / name
            whole = path.read_bytes()
            client.control(m.UnloadModel(request_id=new_id(), model="tone"))
            path.write_bytes(whole[:-1])
            assert speak(client, "anna") == first
            assert tally(client) == (1, 0, 2, "file damaged")
            assert path.read_bytes() == whole
            assert strange.read_bytes() == b"\x80\x04 an old one"
            client.clear_cache("prompts")
            assert prompts(home) == []
            assert speak(client, "anna") == first
            assert tally(client) == (1, 0, 3, "cleared")
            entries = list(client.cache_entries())
            assert [(entry.cache, entry.model, entry.voice) for entry in entries] == [
                ("prompts", "tone", "anna")
            ]


class TestRefusals:
    @pytest.mark.parametrize("name", ["a b", "../x", "", "x" * 65, "ä"])
    def test_names(self, home: Home, shared_daemon: DaemonProcess, name: str) -> None:
        with shared_daemon.client() as client, pytest.raises(InvalidRequest, match="name of a voice"):
            client.add_voice(name, description="calm")

    def test_nothing_to_make_it_of(self, shared_daemon: DaemonProcess) -> None:
        with shared_daemon.client() as client, pytest.raises(InvalidRequest, match="needs a recording"):
            client.add_voice("anna")

    @pytest.mark.parametrize(
        "incoming", ["nothing-is-there-00000", "../../../etc/passwd", "/etc/passwd", ".", "a" * 65]
    )
    def test_recordings_come_from_the_incoming_folder_alone(
        self, shared_daemon: DaemonProcess, incoming: str
    ) -> None:
        references = [m.VoiceReference(incoming=incoming)]
        with shared_daemon.client() as client, pytest.raises(InvalidRequest, match="no recording"):
            client.control(m.AddVoice(request_id=new_id(), voice="anna", references=references))
        assert not list(shared_daemon.home.paths.voices.glob("*"))

    def test_a_link_is_no_recording(self, shared_daemon: DaemonProcess) -> None:
        home = shared_daemon.home
        secret = record(home.root / "secret.wav")
        link = home.paths.incoming / new_id()
        link.symlink_to(secret)
        references = [m.VoiceReference(incoming=link.name)]
        with shared_daemon.client() as client, pytest.raises(InvalidRequest, match="no recording"):
            client.control(m.AddVoice(request_id=new_id(), voice="anna", references=references))
        link.unlink()

    def test_a_bad_recording_leaves_nothing_and_an_old_voice_as_it_was(
        self, home: Home, daemon: DaemonProcess
    ) -> None:
        good = record(home.root / "good.wav")
        silent = record(home.root / "silent.wav", level=0.0)
        with daemon.client() as client:
            client.add_voice("anna", [(good, "")])
            first = speak(client, "anna")
            for recordings in ([silent], [good, silent]):
                with pytest.raises(ReferenceRefused, match="silent"):
                    client.add_voice("anna", [(path, "") for path in recordings], replace=True)
            assert speak(client, "anna") == first
        assert [path.name for path in home.paths.voices.iterdir()] == ["anna"]
        assert not list(home.paths.incoming.iterdir())

    def test_models_that_cannot(self, home: Home, daemon: DaemonProcess) -> None:
        with daemon.client() as client:
            client.add_voice("anna", [(record(home.root / "anna.wav"), "")])
            client.add_voice("captain", description="An old man.")
            with pytest.raises(InvalidRequest, match="qwen3-tts"):
                client.synthesize(TEXT, voice="anna", model="espeak")
            with pytest.raises(InvalidRequest, match="maya1"):
                speak(client, "captain")

    def test_a_recording_that_was_changed_on_the_disk(self, home: Home, daemon: DaemonProcess) -> None:
        with daemon.client() as client:
            client.add_voice("anna", [(record(home.root / "anna.wav"), "")])
            record(home.paths.voices / "anna" / "ref-1.wav", level=0.2)
            with pytest.raises(ReferenceRefused, match="add the voice again"):
                speak(client, "anna")
            assert speak(client)

    def test_the_name_of_a_model_s_own_voice_is_told(self, home: Home, daemon: DaemonProcess) -> None:
        with daemon.client() as client:
            own = speak(client, "tone-high")
            reply = client.add_voice("tone-high", [(record(home.root / "a.wav"), "x")])
            assert any("tone has a voice tone-high of its own" in note for note in reply.notes)
            assert speak(client, "tone-high") == own


class TestJobs:
    def test_a_job_goes_on_with_its_own_voice_or_not_at_all(self, home: Home, daemon: DaemonProcess) -> None:
        recording = record(home.root / "anna.wav")
        archive = home.root / "anna.zip"
        text = "\n\n".join(f"{TEXT} Number {n} [[slow:0.05]]" for n in range(40))
        with daemon.client() as client:
            client.add_voice("anna", [(recording, "")])
            whole = client.submit_text(text, model="tone", voice="anna", seed=7, format="wav")
            expected = Path(daemon.wait_job(whole.job_id).path).read_bytes()
            voiced(home, "voice", "export", "anna", str(archive))
            job = client.submit_text(text, model="tone", voice="anna", seed=7, format="wav")
            wait_for(lambda: client.job(job.job_id).segments_done >= 3, what="a part of the job")
        daemon.kill()
        for path in sorted((home.paths.voices / "anna").iterdir()):
            path.unlink()
        (home.paths.voices / "anna").rmdir()
        daemon.restart()
        failed = daemon.wait_job(job.job_id, JobState.FAILED)
        assert failed.error_code == "unknown-voice"
        assert "anna was removed" in failed.error
        voiced(home, "voice", "import", str(archive))
        voiced(home, "retry", job.job_id)
        assert Path(daemon.wait_job(job.job_id, JobState.DONE).path).read_bytes() == expected

    def test_another_voice_of_the_name_is_not_taken(self, home: Home, daemon: DaemonProcess) -> None:
        text = "\n\n".join(f"{TEXT} Number {n} [[slow:0.05]]" for n in range(40))
        with daemon.client() as client:
            client.add_voice("anna", [(record(home.root / "anna.wav"), "")])
            job = client.submit_text(text, model="tone", voice="anna")
            wait_for(lambda: client.job(job.job_id).segments_done >= 1, what="a part of the job")
            client.add_voice("anna", [(record(home.root / "other.wav", level=0.1), "")], replace=True)
            failed = daemon.wait_job(job.job_id, JobState.FAILED)
            assert "anna was replaced" in failed.error
            assert speak(client, "anna")


def test_many_at_once_add_one_voice_once(home: Home, daemon: DaemonProcess) -> None:
    outcomes: list[str] = []

    def add(number: int) -> None:
        path = record(home.root / f"{number}.wav", hz=100.0 + number)
        try:
            with daemon.client() as client:
                client.add_voice("anna", [(path, "")])
                outcomes.append("added")
        except VoicedError as error:
            outcomes.append(error.code.value)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", *["invalid-request"] * 3]
    assert [path.name for path in home.paths.voices.iterdir()] == ["anna"]


def test_the_same_request_again_finds_it_made(home: Home, daemon: DaemonProcess) -> None:
    request_id = new_id()
    incoming = home.paths.incoming / new_id()
    record(incoming)
    request = m.AddVoice(
        request_id=request_id, voice="anna", references=[m.VoiceReference(incoming=incoming.name)]
    )
    with daemon.client() as client:
        first = client._ask(request, m.VoiceReply)
        again = client._ask(request, m.VoiceReply)
    assert first.voice == again.voice


def test_the_commands(home: Home, daemon: DaemonProcess) -> None:
    recordings = [str(record(home.root / f"{n}.wav", hz=100 + n, seconds=4.0)) for n in (1, 2)]
    told = voiced(home, "voice", "add", "anna", *recordings, "--language", "en")
    assert "anna: made of 2 recordings, 8.00 s" in told
    assert told.count("10 to 30 s are best") == 2
    assert "--text" in told
    assert "anna" in voiced(home, "voice", "list")
    assert "anna" in voiced(home, "voices", "--model", "tone")
    voiced(home, "say", "-o", str(home.root / "out.wav"), "--model", "tone", "--voice", "anna", TEXT)
    assert "first use" in voiced(home, "cache", "stats")
    (entry,) = json.loads(voiced(home, "cache", "list", "--json"))["entries"]
    assert (entry["model"], entry["voice"]) == ("tone", "anna")
    assert "1 file removed" in voiced(home, "cache", "clear", "prompts")
    assert "nothing is cached" in voiced(home, "cache", "list")
    voiced(home, "voice", "remove", "anna")
    assert "voiced voice list" in voiced(home, "voice", "remove", "anna", code=65)
