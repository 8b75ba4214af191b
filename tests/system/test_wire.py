"""The wire as the README describes it, spoken by a client that knows nothing but pyzmq and msgpack."""

import os
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from tests.support import DaemonProcess, Home, running_daemon

README = Path(__file__).parents[2] / "README.md"
REQUEST_ID = "0123456789abcdef"


def example() -> str:
    """The client that the README prints."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return next(block for block in blocks if "msgpack" in block)


def test_the_readmes_client_works_as_printed(shared_daemon: DaemonProcess, tmp_path: Path) -> None:
    code = example()
    assert "voiced_ipc" not in code
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=shared_daemon.home.environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stderr
    kind, samples = ran.stdout.split()[:2]
    assert kind == "done"
    with wave.open(str(tmp_path / "hello.wav")) as audio:
        assert audio.getnframes() == int(samples) > 22050
        assert audio.getframerate() == 22050


Ask = Any


@pytest.fixture
def ask(shared_daemon: DaemonProcess, zmq_context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[Ask]:
    """Send frames to a socket of the daemon and return the header of the answer."""
    sockets: dict[str, zmq.Socket[bytes]] = {}

    def ask_(*frames: bytes, name: str = "voiced.sock") -> dict[str, Any]:
        if name not in sockets:
            sockets[name] = zmq_context.socket(zmq.DEALER)
            sockets[name].connect(f"ipc://{shared_daemon.home.endpoint.folder / name}")
        sockets[name].send_multipart(frames)
        assert sockets[name].poll(5000), "no answer"
        tag, header, *_ = sockets[name].recv_multipart()
        assert tag == b"voiced/1"
        answer = msgpack.unpackb(header)
        assert isinstance(answer, dict)
        return answer

    yield ask_
    for socket in sockets.values():
        socket.close(linger=0)


def header(verb: str, **fields: object) -> bytes:
    packed = msgpack.packb({"type": verb, "request_id": REQUEST_ID, **fields})
    assert isinstance(packed, bytes)
    return packed


def test_status_and_jobs_are_answered_on_both_sockets(ask: Ask) -> None:
    for name in ("voiced.sock", "control.sock"):
        answer = ask(b"voiced/1", header("get-status"), name=name)
        assert answer["type"] == "status"
        assert answer["request_id"] == REQUEST_ID
    assert ask(b"voiced/1", header("list-jobs"))["type"] == "jobs"


def test_unknown_fields_pass(ask: Ask) -> None:
    assert ask(b"voiced/1", header("get-status", shoe_size=43))["type"] == "status"


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        ([b"voiced/1", header("sing")], "unknown-message", "sing"),
        ([b"voiced/7", header("get-status")], "version-mismatch", "voiced/7"),
        ([b"voiced/1", b"\xc1"], "malformed-message", "msgpack"),
        ([b"voiced/1", os.urandom(64)], "malformed-message", ""),
        ([b"hello"], "malformed-message", "voiced/1"),
        ([b"voiced/1", header("get-job")], "malformed-message", "job_id"),
        ([b"voiced/1", header("get-status"), b"", b""], "malformed-message", "frames"),
        ([b"voiced/1", header("pause")], "not-served", "control.sock"),
        ([b"voiced/1", header("get-job", job_id="f" * 20)], "job-not-found", "voiced jobs"),
        ([b"voiced/1", header("synthesize"), b"\xff\xfe"], "invalid-request", "UTF-8"),
    ],
)
def test_what_is_wrong_gets_its_name_and_a_way_out(
    ask: Ask, frames: list[bytes], code: str, words: str
) -> None:
    answer = ask(*frames)
    assert answer["type"] == "error"
    assert answer["code"] == code
    assert words in answer["message"]
    assert ask(b"voiced/1", header("get-status"))["type"] == "status"


def test_an_oversized_frame_costs_its_sender_alone(ask: Ask, shared_daemon: DaemonProcess) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    hog = context.socket(zmq.DEALER)
    hog.connect(f"ipc://{shared_daemon.home.endpoint.speech}")
    hog.send_multipart([b"voiced/1", header("synthesize"), b"a" * (2 << 20)])
    assert ask(b"voiced/1", header("get-status"))["type"] == "status"
    context.destroy(linger=0)


def test_events_begin_with_their_type(home: Home, zmq_context: "zmq.Context[zmq.Socket[bytes]]") -> None:
    with running_daemon(home, "--set", "monitor_interval_s=1"):
        listener = zmq_context.socket(zmq.SUB)
        listener.connect(f"ipc://{home.endpoint.events}")
        listener.subscribe(b"load-changed")
        assert listener.poll(8000), "no sample of the load within its second"
        kind, tag, packed = listener.recv_multipart()
        event = msgpack.unpackb(packed)
        assert (kind, tag, event["type"]) == (b"load-changed", b"voiced/1", "load-changed")
        assert 0 <= event["load"]["cpu_fraction"] <= 1
        listener.close(linger=0)
