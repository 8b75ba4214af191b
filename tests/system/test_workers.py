"""Workers that crash, hang, fail: the tone engine does each on request, and the daemon goes on."""

import time

import pytest

from tests.support import DaemonProcess, Home, running_daemon
from voiced_ipc import messages as m
from voiced_ipc.errors import EngineCrashed, SynthesisFailed
from voiced_ipc.messages import JobState

QUICK = ("--set", "heartbeat_s=1", "--set", "segment_deadline_s=3")


def test_a_worker_that_crashes_once_costs_a_repeat(daemon: DaemonProcess) -> None:
    with daemon.client() as client:
        expected, _ = client.synthesize("Some tones.", model="tone", seed=1)
        with client.speak("Some tones.[[once:a:crash]]", model="tone") as stream:
            assert b"".join(stream)
            assert stream.done is not None
            assert any("again" in note for note in stream.done.job.notes)
        assert client.synthesize("Some tones.", model="tone", seed=1)[0] == expected


@pytest.mark.parametrize("fault", ["crash", "fail", "nan", "hang-gil"])
def test_a_fault_that_stays_fails_the_stream_after_three_attempts(home: Home, fault: str) -> None:
    with running_daemon(home, *QUICK) as daemon, daemon.client(timeout_s=40) as client:
        with pytest.raises((EngineCrashed, SynthesisFailed), match="3 attempts"):
            client.synthesize(f"A tone. [[{fault}]]", model="tone")
        assert client.synthesize("A tone.", model="espeak")[0]


def test_others_are_answered_while_a_worker_hangs(home: Home) -> None:
    with running_daemon(home, *QUICK) as daemon, daemon.client() as client:
        stream = client.speak("A tone. [[hang]]", model="tone")
        _ = stream.accepted
        for _ in range(20):
            began = time.monotonic()
            client.status()
            assert client.synthesize("hello", voice="en-us")[0]
            assert time.monotonic() - began < 1.0
        stream.cancel()


def test_a_durable_job_keeps_its_spool_and_can_be_retried(home: Home) -> None:
    text = " ".join(f"Tone number {i}." for i in range(20)) + " Last. [[fail]] " + "And more tones. " * 5
    with running_daemon(home, *QUICK) as daemon, daemon.client() as client:
        job_id = client.submit_text(text, model="tone", name="tones.txt").job_id
        job = daemon.wait_job(job_id)
        assert job.state is JobState.FAILED
        assert job.error_code == "engine-crashed"
        assert 0 < job.segments_done < job.segments
        assert (home.paths.spool / job_id / "plan").exists()
        assert client.retry(job_id).message.startswith("goes on at segment")
        assert daemon.wait_job(job_id).segments_done == job.segments_done
        daemon.kill()
        daemon.restart()
        assert (home.paths.spool / job_id / "plan").exists()
        with daemon.client() as again:
            again.cancel(job_id)
        assert not (home.paths.spool / job_id).exists()


def test_an_engine_that_keeps_dying_is_broken_and_says_so(home: Home) -> None:
    with running_daemon(home, *QUICK) as daemon, daemon.client() as client:
        for _ in range(2):
            with pytest.raises(SynthesisFailed):
                client.synthesize("A tone. [[crash]]", model="tone")
        tone = next(model for model in client.models() if model.model == "tone")
        assert tone.state is m.ModelState.BROKEN
        assert "SIGSEGV" in tone.detail
        assert client.synthesize("hello")[0]


def test_unload_ends_the_worker_and_load_starts_one(daemon: DaemonProcess) -> None:
    def tone() -> m.ModelInfo:
        return next(model for model in client.models() if model.model == "tone")

    with daemon.client() as client:
        client.control(m.LoadModel(request_id=m.new_id(), model="tone"))
        assert tone().state is m.ModelState.LOADED
        client.control(m.UnloadModel(request_id=m.new_id(), model="tone"))
        deadline = time.monotonic() + 5
        while tone().state is not m.ModelState.AVAILABLE:
            assert time.monotonic() < deadline
