"""A neural model on a real GPU: it goes where it should, leaves nothing behind, and obeys a person at once."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.engines.checkpoints import maya1
from tests.support import DaemonProcess, Home, need, running_daemon, wait_for
from tests.system.installed import import_model
from voiced_ipc import messages as m
from voiced_ipc.messages import ModelState

MIB = 1 << 20
TEXT = "A sentence for the GPU, of which every word is spoken."


def used_bytes() -> int:
    """Memory in use on the first GPU."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * MIB


pytestmark = pytest.mark.gpu


@pytest.fixture
def daemon(home: Home, tmp_path: Path) -> Iterator[DaemonProcess]:
    need("gpu", shutil.which("nvidia-smi") is not None, "this machine has no NVIDIA driver")
    maya1.build(tmp_path / "maya1")
    import_model(home, "maya1", tmp_path / "maya1")
    with running_daemon(home) as started:
        yield started


def model(daemon: DaemonProcess) -> m.ModelInfo:
    with daemon.client() as client:
        return next(info for info in client.models() if info.model == "maya1")


def test_it_runs_there_and_its_memory_comes_back(daemon: DaemonProcess) -> None:
    before = used_bytes()
    with daemon.client(120.0) as client:
        for _ in range(3):
            pcm, accepted = client.synthesize(TEXT, model="maya1", device="cuda:0", seed=1)
            assert len(pcm) > 2 * accepted.sample_rate_hz // 10
            assert model(daemon).device == "cuda:0"
            assert model(daemon).device_bytes > 0
            client.control(m.UnloadModel(request_id=m.new_id(), model="maya1"))
            wait_for(lambda: model(daemon).state is ModelState.AVAILABLE, 5.0, "the unload")
            wait_for(lambda: used_bytes() - before <= 64 * MIB, 5.0, "the memory's return")


def test_the_same_seed_is_the_same_speech(daemon: DaemonProcess) -> None:
    with daemon.client(120.0) as client:
        first, _ = client.synthesize(TEXT, model="maya1", device="cuda:0", seed=7)
        client.synthesize("Something else in between.", model="maya1", device="cuda:0", seed=8)
        again, _ = client.synthesize(TEXT, model="maya1", device="cuda:0", seed=7)
    assert first == again


def test_a_lock_on_the_cpu_frees_the_gpu_at_once_and_the_speech_goes_on(daemon: DaemonProcess) -> None:
    before = used_bytes()
    with daemon.client(120.0) as client:
        client.synthesize("Warm.", model="maya1", device="cuda:0")
        job = client.submit_text(f"{TEXT} " * 10, model="maya1", name="book.txt")
        wait_for(lambda: client.job(job.job_id).segments_done > 0, 60.0, "a first segment")
        began = time.monotonic()
        client.control(m.SetDeviceLock(request_id=m.new_id(), device="cpu"))
        wait_for(lambda: used_bytes() - before <= 64 * MIB, 10.0, "the memory's return")
        assert time.monotonic() - began <= 3.0
        wait_for(lambda: client.job(job.job_id).state.is_final, 120.0, "the job")
        done = client.job(job.job_id)
    assert done.state is m.JobState.DONE
    assert any("cpu" in note for note in done.notes)
