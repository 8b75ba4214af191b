"""Row 10, engine hang and engine crash mid-job, with a worker that holds a torch model.

Target: other requests answered within 100 ms; engine replaced within 5 s + load time; the segment gets 3 attempts, then
a stream fails, a durable job stops as failed with its spool kept.

A real engine cannot be told to hang: SIGSTOP stands for it, as it stops every thread of the worker, also the one that
answers pings. Maya1 is tiny and random here, and speaks a segment for seconds.
"""

import signal
import time
from functools import partial

import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.test_row_10_engine_hang_and_crash import (
    QUICK,
    REPLACED_S,
    SEED,
    asked_by_others,
    check_others,
    samples_of,
)
from tests.scorecard.torch_models import (
    ENDLESS,
    LOAD_S,
    MAYA1,
    Stock,
    load,
    model_info,
    the_worker,
    wait_speaking,
    workers,
)
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc import Client
from voiced_ipc.errors import SynthesisFailed
from voiced_ipc.messages import JobState, ModelState

pytestmark = pytest.mark.timeout(300)
"""A torch worker loads for seconds, on a busy machine for many."""

FAULTS = {"hang": signal.SIGSTOP, "crash": signal.SIGSEGV, "out-of-memory killer": signal.SIGKILL}
TEXT = "One word.\n\nTwo words."
"""Two segments, of 3 and 4 s."""


def speak_file(client: Client, name: str) -> str:
    """Submit the text as a file; return the job's id once a worker is in the midst of it."""
    job_id = client.submit_text(TEXT, model=MAYA1, seed=SEED, name=name).job_id
    wait_speaking(client, job_id)
    return job_id


def strike(daemon: DaemonProcess, number: int) -> float:
    """Send the worker a signal; return the seconds until another one has come in its place."""
    victim = the_worker(daemon)
    began = time.monotonic()
    victim.send_signal(number)
    wait_for(
        lambda: [worker for worker in workers(daemon) if worker.pid != victim.pid],
        REPLACED_S + LOAD_S,
        "another worker",
    )
    assert not psutil.pid_exists(victim.pid)
    return time.monotonic() - began


def strike_at_work(daemon: DaemonProcess, times: int) -> None:
    """Kill as many workers as they come, each as soon as it speaks."""
    with daemon.client() as client:
        for _ in range(times):
            # One that is loaded has its segment already: the job waits for it.
            wait_for(lambda: model_info(client, MAYA1).state is ModelState.LOADED, LOAD_S, "a worker")
            victim = the_worker(daemon)
            victim.kill()
            wait_for(partial(is_gone, victim.pid), what="its end")


def is_gone(pid: int) -> bool:
    """Whether a process is gone and reaped."""
    return not psutil.pid_exists(pid)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_a_repeat_and_nothing_else(card: Card, stock: Stock, home: Home, fault: str) -> None:
    if FAULTS[fault] is signal.SIGKILL and not card.is_full:
        pytest.skip("SIGKILL ends the workers of the tests below too: --full runs it")
    rounds = card.count(1, 4)
    stock.put(home, ENDLESS)
    begun_s, done_s = 0.0, 0.0
    with running_daemon(home, *QUICK) as daemon, daemon.client(60.0) as client:
        load_s = load(client, MAYA1)
        began = time.monotonic()
        whole = daemon.wait_job(client.submit_text(TEXT, model=MAYA1, seed=SEED, name="whole.txt").job_id)
        job_s = time.monotonic() - began
        with asked_by_others(daemon) as others:
            for i in range(rounds):
                job_id = speak_file(client, f"struck-{i}.txt")
                began = time.monotonic()
                begun_s = max(begun_s, strike(daemon, FAULTS[fault]))
                job = daemon.wait_job(job_id)
                done_s = max(done_s, time.monotonic() - began)
                assert job.state is JobState.DONE, job.error
                assert any("spoken again" in note for note in job.notes)
                assert samples_of(job.path) == samples_of(whole.path)
        figures = check_others(card, others)
    card.tell(
        engine=MAYA1, fault=fault, rounds=rounds, replaced_s=begun_s, done_s=done_s, load_s=load_s, **figures
    )
    assert begun_s <= REPLACED_S
    # The rest of the job is spoken on the new worker, while others take a part of the cores.
    assert done_s <= REPLACED_S + 2 * load_s + 3 * job_s


def test_a_listener_hears_each_sample_once(card: Card, stock: Stock, home: Home) -> None:
    stock.put(home, ENDLESS)
    with running_daemon(home, *QUICK) as daemon, daemon.client(60.0) as client:
        whole, _ = client.synthesize(TEXT, model=MAYA1, seed=SEED)
        with client.speak(TEXT, model=MAYA1, seed=SEED) as stream:
            chunks = iter(stream)
            first = next(chunks)
            the_worker(daemon).send_signal(signal.SIGSEGV)
            assert first + b"".join(chunks) == whole
    card.tell(engine=MAYA1, stream="struck amid a segment", samples=len(whole) // 2)


def test_a_fault_that_stays_ends_a_stream_after_three_attempts(card: Card, stock: Stock, home: Home) -> None:
    stock.put(home, ENDLESS)
    with running_daemon(home, *QUICK) as daemon, daemon.client(60.0) as client:
        load_s = load(client, MAYA1)
        began = time.monotonic()
        with client.speak(TEXT, model=MAYA1, seed=SEED) as stream:
            next(iter(stream))
            strike_at_work(daemon, 3)
            with pytest.raises(SynthesisFailed, match="3 attempts"):
                b"".join(stream)
        failed_s = time.monotonic() - began
    card.tell(engine=MAYA1, stream="failed", failed_s=failed_s, load_s=load_s)


def test_a_fault_that_stays_ends_a_file_which_a_retry_completes(card: Card, stock: Stock, home: Home) -> None:
    stock.put(home, ENDLESS)
    text = f"{TEXT}\n\nThree of them."
    with running_daemon(home, *QUICK) as daemon, daemon.client(60.0) as client:
        load(client, MAYA1)
        whole = daemon.wait_job(client.submit_text(text, model=MAYA1, seed=SEED, name="whole.txt").job_id)
        job_id = client.submit_text(text, model=MAYA1, seed=SEED, name="struck.txt").job_id
        wait_for(lambda: client.job(job_id).segments_done or None, LOAD_S, "the first segment")
        strike_at_work(daemon, 3)
        failed = daemon.wait_job(job_id)
        assert (failed.state, failed.error_code) == (JobState.FAILED, "engine-crashed")
        assert "3 attempts" in failed.error
        assert 0 < failed.segments_done < failed.segments
        assert (home.paths.spool / job_id / "plan").exists()
        client.retry(job_id)
        job = daemon.wait_job(job_id)
        assert job.state is JobState.DONE, job.error
        assert samples_of(job.path) == samples_of(whole.path)
    card.tell(engine=MAYA1, file="failed, then retried", segments=job.segments, kept=failed.segments_done)
