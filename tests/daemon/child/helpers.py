"""The daemon's end of a link: starts a real child and talks to it."""

import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import voiced
from voiced.engines.espeak import find_library
from voiced.workers.link import FrameReader, pack

TIMEOUT_S = 20.0
_ENDS = ("done", "failed", "cancelled")


class Answer(NamedTuple):
    """What a child said to one task."""

    end: dict[str, Any]
    audio: dict[int, bytes]
    spoken: dict[int, dict[str, Any]]
    chunks: list[int]
    """Bytes of each audio frame."""
    heard: dict[int, bytes]
    """When the words of each segment are."""


class Child:
    """A running child; leaving the context ends it by closing the link."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*command, "--link-fd", str(theirs.fileno()), "--parent", str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        ours.settimeout(TIMEOUT_S)
        self.link = ours
        self._reader = FrameReader()
        self._frames: list[tuple[dict[str, Any], bytes]] = []
        self.steps: list[dict[str, Any]] = []
        self.answered: dict[str, Any] = {}
        """The answer to the last load."""

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.link.close()
        try:
            self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait()

    def send(self, **fields: Any) -> None:
        self.link.sendall(pack(fields))

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame; EOFError where the child is gone."""
        while not self._frames:
            data = self.link.recv(1 << 20)
            if not data:
                raise EOFError
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def load(self, **fields: Any) -> dict[str, Any]:
        """Load and return the answer; `steps` then has what came before it."""
        self.send(type="load", **fields)
        return self.loaded()

    def loaded(self) -> dict[str, Any]:
        """The answer to a load that was asked for."""
        while (answer := self.receive()[0])["type"] == "loading":
            self.steps.append(answer)
        self.answered = answer
        return answer

    def ask(self, task: int, *texts: str, **fields: Any) -> None:
        """Send a task."""
        self.send(**speak_frame(task, *texts, **fields))

    def answer(self, task: int) -> Answer:
        """Read to the end of a task; what belongs to others is dropped."""
        audio: dict[int, bytes] = {}
        spoken: dict[int, dict[str, Any]] = {}
        chunks: list[int] = []
        heard: dict[int, bytes] = {}
        while True:
            fields, payload = self.receive()
            if fields.get("task") != task:
                continue
            if fields["type"] == "audio":
                assert fields["index"] not in spoken
                audio[fields["index"]] = audio.get(fields["index"], b"") + payload
                chunks.append(len(payload))
            elif fields["type"] == "spoken":
                spoken[fields["index"]], heard[fields["index"]] = fields, payload
                assert fields["samples"] * 2 == len(audio.get(fields["index"], b""))
            elif fields["type"] in _ENDS:
                return Answer(fields, audio, spoken, chunks, heard)

    def speak(self, task: int, *texts: str, **fields: Any) -> Answer:
        """Send a task and read it to its end."""
        self.ask(task, *texts, **fields)
        return self.answer(task)

    def wait_gone(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(TIMEOUT_S)


def speak_frame(task: int, *texts: str, **fields: Any) -> dict[str, Any]:
    language = fields.get("language", "en")
    return {
        "type": "speak",
        "task": task,
        "voice": "",
        "language": language,
        "speed": 1.0,
        "pitch": 1.0,
        "volume": 1.0,
        "is_stream": True,
        "segments": [
            {"index": place, "text": text, "language": language, "seed": fields.get("seed", 1)}
            for place, text in enumerate(texts)
        ],
        **fields,
    }


def start_espeak(library: str = "", data: str = "") -> Child:
    """The espeak worker, not loaded."""
    if not library:
        library, data = find_library()
    script = Path(voiced.__file__).parent / "child" / "espeak.py"
    command = [sys.executable, "-S", "-E", "-I", str(script), "--library", library, "--data", data]
    return Child([*command, "--path", sysconfig.get_path("platlib")])


def start_worker(environment: Mapping[str, str] | None = None, overlay: Path | None = None) -> Child:
    """The worker of models, not loaded."""
    command = [sys.executable, "-P", "-m", "voiced.child.worker"]
    return Child(command + (["--overlay", str(overlay)] if overlay else []), environment)


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and has not reaped (Linux)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
