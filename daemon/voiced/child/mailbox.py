"""What a worker is asked: the tasks, and the thread that takes them off the link while the engine is busy."""

import logging
import os
import queue
import sys
import threading
from typing import Any, NamedTuple

from voiced.engines.base import SegmentRequest
from voiced.memory import rss_bytes
from voiced.workers.link import ChildLink, Fields, LinkError

logger = logging.getLogger(__name__)


class Recorded(NamedTuple):
    """A recording that a voice is made of."""

    path: str
    sha256: str
    """Of the file; empty = it is not looked at."""
    transcript: str


class PromptAsk(NamedTuple):
    """The voice of a task, where recordings make it."""

    key: str
    file: str
    """Where it is kept; empty = nowhere."""
    reason: str
    """Why it should not be there, as far as the daemon knows; empty = it should be."""
    voice: str
    recordings: str
    """Digest of the recordings together."""
    references: tuple[Recorded, ...]


class Task(NamedTuple):
    """One `speak` or `test` frame."""

    task: int
    is_stream: bool
    segments: tuple[SegmentRequest, ...]
    cancelled: threading.Event
    prompt: PromptAsk | None = None
    is_test: bool = False
    max_chars: int = 0
    """Greatest piece of a segment that is spoken at once; 0 = it is spoken whole."""


class Mailbox:
    """What the link's thread hands to the main thread, and the one way to send.

    Args:
        link: To the daemon.
    """

    def __init__(self, link: ChildLink) -> None:
        self._link = link
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._cancels: dict[int, threading.Event] = {}
        self._sending = threading.Lock()

    def send(self, fields: Fields, payload: bytes | memoryview = b"") -> None:
        """Send one frame whole; the process ends where the daemon is gone."""
        try:
            with self._sending:
                self._link.send(fields, payload)
        except OSError:
            os._exit(0)

    def start(self) -> None:
        """Start to read the link."""
        threading.Thread(target=self._read, name="link", daemon=True).start()

    def next_task(self) -> Task:
        """Return the next task; waits for it."""
        return self._tasks.get()

    def end_task(self, task: Task, fields: Fields) -> None:
        """Send the frame that ends a task: after it a cancel finds nothing.

        Args:
            task: Which.
            fields: The frame, without `task`.
        """
        self._cancels.pop(task.task, None)
        self.send({**fields, "task": task.task})

    def _read(self) -> None:
        try:
            while (frame := self._link.receive()) is not None:
                self._take(frame[0])
        except (OSError, LinkError):
            logger.error("the link to the daemon broke")
        except Exception:
            logger.exception("a frame that cannot be understood")
            os._exit(2)
        # The main thread may be inside the engine for minutes: do not wait for it.
        os._exit(0)

    def _take(self, fields: dict[str, Any]) -> None:
        kind = fields["type"]
        if kind in ("speak", "test"):
            cancelled = self._cancels[fields["task"]] = threading.Event()
            self._tasks.put(_task(fields, cancelled))
        elif kind == "cancel":
            event = self._cancels.get(fields["task"])
            if event is not None:
                event.set()
        elif kind == "ping":
            pong = {"type": "pong", "n": fields.get("n", 0), "rss_bytes": rss_bytes()}
            self.send({**pong, "device_bytes": device_bytes()})
        elif kind == "end":
            os._exit(0)


def _task(fields: dict[str, Any], cancelled: threading.Event) -> Task:
    if fields["type"] == "test":
        return Task(fields["task"], False, (), cancelled, is_test=True)
    segments = tuple(_request(fields, segment) for segment in fields["segments"])
    prompt = fields.get("prompt")
    return Task(
        fields["task"],
        bool(fields.get("is_stream")),
        segments,
        cancelled,
        None if prompt is None else _prompt_ask(prompt),
        max_chars=int(fields.get("max_chars") or 0),
    )


def _request(fields: dict[str, Any], segment: dict[str, Any]) -> SegmentRequest:
    return SegmentRequest(
        place=segment["index"],
        text=segment["text"],
        language=segment.get("language") or fields.get("language") or "",
        voice=fields.get("voice") or "",
        seed=int(segment.get("seed") or 0),
        speed=float(fields.get("speed", 1.0)),
        pitch=float(fields.get("pitch", 1.0)),
        volume=float(fields.get("volume", 1.0)),
        description=fields.get("description") or "",
        # A segment in pieces is several texts to the engine, whose places are not those of the whole.
        tells_words=bool(fields.get("tells_words")) and not fields.get("max_chars"),
    )


def _prompt_ask(fields: dict[str, Any]) -> PromptAsk:
    references = (
        Recorded(str(one["path"]), str(one.get("sha256") or ""), str(one.get("transcript") or ""))
        for one in fields["references"]
    )
    return PromptAsk(
        key=str(fields["key"]),
        file=str(fields.get("file") or ""),
        reason=str(fields.get("reason") or ""),
        voice=str(fields.get("voice") or ""),
        recordings=str(fields.get("recordings") or ""),
        references=tuple(references),
    )


def device_bytes() -> int:
    """Return the memory that this process holds on a GPU, as torch counts it; imports nothing."""
    torch: Any = sys.modules.get("torch")
    # torch may be in the midst of its import on the other thread: then it has no such names yet.
    cuda: Any = getattr(torch, "cuda", None)
    is_initialized: Any = getattr(cuda, "is_initialized", None)
    if is_initialized is not None and is_initialized():
        return int(cuda.memory_reserved())
    allocated: Any = getattr(getattr(torch, "mps", None), "driver_allocated_memory", None)
    return int(allocated()) if sys.platform == "darwin" and allocated is not None else 0
