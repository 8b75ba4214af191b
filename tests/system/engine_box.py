"""Models used as a person uses them: through the real command, in a real daemon, heard from the file."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from tests.support import DaemonProcess, Home, wait_for
from tests.system.recordings import voiced
from voiced_ipc.messages import JobState

MAX_LEFT_BYTES = 64 << 20
"""What an unloaded model may leave in the processes that stay."""
CANCEL_S = 2.0
"""500 ms are promised; the rest is for a machine that runs other tests beside."""


class Sound(NamedTuple):
    """A WAV file."""

    rate_hz: int
    samples: npt.NDArray[np.int16]

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate_hz


def read_sound(path: Path, rate_hz: int) -> Sound:
    """Read a mono file of this rate in which something is to be heard."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate_hz)
        content = file.readframes(file.getnframes())
        assert len(content) == 2 * file.getnframes()
    sound = Sound(rate_hz, np.frombuffer(content, "<i2"))
    assert 0.02 < sound.seconds < 60.0
    assert np.abs(sound.samples.astype(np.int32)).max() > 50
    assert len(np.unique(sound.samples)) > 20
    return sound


def say(home: Home, model: str, text: str, rate_hz: int, *options: str) -> bytes:
    """Return the samples that `voiced say -o` writes, looked over."""
    path = home.root / f"say-{os.urandom(4).hex()}.wav"
    voiced(home, "say", "--model", model, "-o", str(path), *options, "--", text)
    return read_sound(path, rate_hz).samples.tobytes()


def refused(home: Home, model: str, text: str, *options: str, code: int = 65) -> str:
    """Return why `voiced say -o` refused; it left no file."""
    path = home.root / "refused.wav"
    told = voiced(home, "say", "--model", model, "-o", str(path), *options, "--", text, code=code)
    assert not path.exists()
    return told


def listed(home: Home, model: str) -> dict[str, Any]:
    """Return what `voiced models` says of a model; empty = it is not listed."""
    found: list[dict[str, Any]] = json.loads(voiced(home, "models", "--json"))["models"]
    return next((one for one in found if one["model"] == model), {})


def load(home: Home, model: str, *options: str) -> dict[str, Any]:
    """Load a model and return what is then said of it."""
    told: dict[str, Any] = json.loads(voiced(home, "load", model, "--json", *options))
    assert (told["model"], told["state"], told["workers"]) == (model, "loaded", 1)
    return told


def model_workers(daemon: DaemonProcess) -> set[int]:
    """Return the processes that hold models, or are about to."""
    found = set()
    for child in psutil.Process(daemon.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "voiced.child.worker" in child.cmdline():
                found.add(child.pid)
    return found


def memory_bytes(daemon: DaemonProcess) -> int:
    """Return what the daemon and its children take."""
    total = 0
    for process in (psutil.Process(daemon.pid), *psutil.Process(daemon.pid).children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def unload(daemon: DaemonProcess, model: str) -> None:
    """Unload a model: its process goes, and all its memory with it."""
    before = model_workers(daemon)
    workers = listed(daemon.home, model)["workers"]
    assert workers == 1, workers
    held = {pid: psutil.Process(pid).memory_info().rss for pid in before}
    total = memory_bytes(daemon)
    assert "is unloaded" in voiced(daemon.home, "unload", model)
    wait_for(lambda: len(model_workers(daemon)) < len(before), 10.0, f"the end of the worker of {model}")
    (gone,) = before - model_workers(daemon)
    left = memory_bytes(daemon) - (total - held[gone])
    assert left < MAX_LEFT_BYTES, f"{left >> 20} MiB are left of {held[gone] >> 20}"
    wait_for(lambda: not listed(daemon.home, model)["workers"], 5.0, "the daemon's word that it is gone")
    state = listed(daemon.home, model)["state"]
    assert state == "available", state


def drop(daemon: DaemonProcess, model: str, text: str, rate_hz: int, *options: str) -> Sound:
    """Make a durable job of a text, wait for its end, and read its file."""
    source = daemon.home.root / "job.txt"
    source.write_text(text)
    told = json.loads(voiced(daemon.home, "drop", "--json", "--model", model, *options, str(source)))
    (job,) = told["jobs"]
    assert (job["state"], job["model"], job["device"]) == ("done", model, "cpu")
    assert job["precision"] in ("fp32", "bf16")
    sound = read_sound(Path(job["path"]), rate_hz)
    assert sound.seconds == round(job["audio_s"] * rate_hz) / rate_hz
    return sound


def cancel_inside(daemon: DaemonProcess, model: str, text: str, *options: str) -> None:
    """Press Ctrl+C while a model speaks: silence, no file, and the same worker is free for the next."""
    before = model_workers(daemon)
    path = daemon.home.root / "cancelled.wav"
    command = [sys.executable, "-m", "voiced", "say", "--model", model, "-o", str(path), *options, "--", text]
    with daemon.client() as client:
        with subprocess.Popen(command, env=daemon.home.environ, stderr=subprocess.PIPE) as speaking:

            def begun() -> bool:
                # Accepted and given to a worker: it works on the first segment.
                return any(
                    job.state is JobState.RUNNING and job.model == model for job in client.status().jobs
                )

            wait_for(begun, 30.0, "the beginning")
            speaking.send_signal(signal.SIGINT)
            code = speaking.wait(CANCEL_S + 5.0)
            assert code in (130, -signal.SIGINT), code
        wait_for(lambda: not client.status().jobs, CANCEL_S, "silence")
    assert not path.exists(), "a cancelled speech left its file"
    after = model_workers(daemon)
    assert after == before, f"workers {before}, then {after}: {daemon.log()[-1000:]}"


def on_terminal(home: Home, *arguments: str, timeout_s: float = 60.0) -> str:
    """Run a command on a terminal and return what it shows, without what moves the cursor."""
    pid, descriptor = pty.fork()
    if pid == 0:
        environ = home.environ | {"TERM": "xterm", "COLUMNS": "100"}
        os.execve(sys.executable, [sys.executable, "-m", "voiced", *arguments], environ)
    shown = bytearray()
    with contextlib.suppress(OSError):  # its end is the end of the terminal
        while piece := os.read(descriptor, 1 << 16):
            shown += piece
    os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert os.waitstatus_to_exitcode(status) == 0, text
    return text


def change_weight(folder: Path, pick: Callable[[str], bool]) -> None:
    """Make one number of the first tensor that `pick` takes another one, in a published checkpoint."""
    from safetensors.torch import load_file, save_file

    for file in sorted(folder.glob("*.safetensors")):
        tensors = load_file(file)
        names = [name for name in sorted(tensors) if pick(name)]
        if names:
            tensors[names[0]].view(-1)[0] += 0.5
            save_file(tensors, file, {"format": "pt"})
            return
    raise AssertionError("no such weight")
