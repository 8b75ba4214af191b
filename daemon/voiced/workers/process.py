"""A child process as the daemon's loop sees it: its link, the tasks it works on, its life.

Belongs to the main thread, the loop's: a child's parent-death signal follows the thread that spawned it.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from voiced.workers.child_process import ChildProcess
from voiced.workers.growth import Growth
from voiced.workers.link import Fields, FrameReader, LinkError, pack
from voiced.workers.spawn import RunAs
from voiced.workers.tasks import ENDS_TASK, Frame, Task, Tasks
from voiced_ipc.errors import DeviceOutOfMemory, EngineCrashed, EngineLoadFailed, VoicedError, error_for

logger = logging.getLogger(__name__)

_LAST_WORDS_S = 0.2


class WorkerState(Enum):
    """The life of a child."""

    STARTING = "starting"
    READY = "ready"
    GONE = "gone"


class WorkerLost(EngineCrashed):
    """The child ended while a task ran."""


class WorkerDismissed(WorkerLost):
    """The child was told to go while a task ran, or ended before its turn: no fault of the task's."""


class Step(NamedTuple):
    """How far a load is."""

    fraction: float = 0.0
    what: str = ""


class WorkerProcess(asyncio.Protocol):
    """One child.

    Args:
        name: For the log.
        on_change: Called when a load goes on, when it becomes ready, when a task ends, and when it is gone.
    """

    def __init__(
        self,
        name: str,
        on_change: Callable[["WorkerProcess"], None],
        awake: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.awake = awake
        """The clock for what a child may take: seconds in which the daemon was awake."""
        self.state = WorkerState.STARTING
        self.run_as = RunAs()
        """Where and how its model runs; final once it is spawned."""
        self.asked_device = ""
        """Where somebody wants it; empty = where its model usually runs."""
        self.is_aside = False
        """It runs where one request asked for, beside the model's usual place."""
        self.is_held = False
        """Nothing is given to it yet: it has to pass its test."""
        self.is_retiring = False
        """Nothing more is given to it: it goes when its tasks have ended."""
        self.step = Step()
        """How far its load is."""
        self.growth = Growth()
        self.ready: Fields = {}
        """The child's `ready` frame."""
        self.refusal: VoicedError | None = None
        """Why its model cannot be loaded."""
        self.queue_length = 0
        """How many tasks it keeps beside those it works on."""
        self.rss_bytes = 0
        self.device_bytes = 0
        """Memory that it holds on a GPU."""
        self.spawned_at = time.monotonic()
        self.load_s = 0.0
        """From there to its being ready."""
        self.idle_since = time.monotonic()
        self.last_heard = awake()
        """By the clock `awake`."""
        self.pinged_at: float | None = None
        """When the last unanswered ping was sent, by the clock `awake`."""
        self.is_announced = False
        """Whether the pool has told that it is ready."""
        self.is_dismissed = False
        """Whether it was asked to go: its end is then no fault."""
        self.end_reason = ""
        self._on_change = on_change
        self.tasks = Tasks(awake)
        """What it was given."""
        self._frames = FrameReader()
        self._process: ChildProcess | None = None
        self._transport: asyncio.Transport | None = None

    # -- life -----------------------------------------------------------------------------------------

    async def start(self, command: Sequence[str], environment: Mapping[str, str], load: Fields) -> None:
        """Spawn the child and give it its `load` frame.

        Args:
            command: Program and arguments; `--link-fd` and `--parent` are added.
            environment: All of it.
            load: The first frame.

        Raises:
            OSError: If it cannot be spawned.
        """
        if self.state is WorkerState.GONE:
            return  # dismissed before it was spawned
        self.last_heard = self.awake()
        ours, theirs = socket.socketpair()
        try:
            for end in (ours, theirs):
                # A whole chunk of audio without a stop of the writer.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            self._process = ChildProcess(command, environment, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        loop = asyncio.get_running_loop()
        self._process.watch(loop, self._reap)
        ours.setblocking(False)
        await loop.connect_accepted_socket(lambda: self, ours)
        self._send(load)

    @property
    def pid(self) -> int:
        """The child's process id; 0 before it is spawned."""
        return self._process.pid if self._process else 0

    @property
    def slots(self) -> int:
        """How many tasks it works on side by side."""
        return self.tasks.slots

    @property
    def running(self) -> int:
        """Tasks that it has."""
        return len(self.tasks)

    @property
    def _is_open(self) -> bool:
        is_leaving = self.is_dismissed or self.is_held or self.is_retiring
        return self.state is WorkerState.READY and not is_leaving

    @property
    def is_free(self) -> bool:
        """Whether it would begin another task at once."""
        return self._is_open and self.running < self.slots

    @property
    def has_queue_room(self) -> bool:
        """Whether it would begin another task at once when one of its own ends; none that is to be replaced then."""
        is_full = self.running >= self.slots + self.queue_length
        return self._is_open and not is_full and not self.growth.is_too_great

    @property
    def stuck_s(self) -> float:
        """For how many seconds a task has gone on that was cancelled; 0 = there is none."""
        return self.tasks.stuck_s() if self.state is WorkerState.READY else 0.0

    @property
    def sample_rate_hz(self) -> int:
        """Of its audio; 0 before it is ready."""
        rate = self.ready.get("sample_rate_hz", 0)
        return rate if isinstance(rate, int) else 0

    @property
    def device(self) -> str:
        """Where its model runs."""
        return self.run_as.device

    @property
    def size_bytes(self) -> int:
        """Memory that it takes on its device, as far as it told."""
        return self.rss_bytes if self.device == "cpu" else self.device_bytes

    def serves(self, device: str) -> bool:
        """Whether it is there for a request.

        Args:
            device: What the request asks for; empty = the model's usual place, `cuda` = any.
        """
        if not device:
            return not self.is_aside
        return device in (self.asked_device, self.device, self.device.partition(":")[0])

    def dismiss(self, reason: str) -> None:
        """Ask it to go; its tasks are lost. One that is not spawned yet is gone at once."""
        self.is_dismissed = True
        self.end_reason = reason
        if self._process is None:
            self._bury()
        self._send({"type": "end"})

    def give_up(self, reason: str, refusal: VoicedError | None = None) -> None:
        """It could not even be started."""
        self.end_reason = reason
        self.refusal = refusal
        self._bury()

    def kill(self, reason: str) -> None:
        """End it now."""
        self.end_reason = self.end_reason or reason
        if self._process is not None:
            self._process.kill()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until it is gone; return whether it is."""
        end = time.monotonic() + timeout_s
        while self.state is not WorkerState.GONE and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return self.state is WorkerState.GONE

    # -- work -----------------------------------------------------------------------------------------

    def give(
        self,
        fields: Fields,
        payload: bytes = b"",
        *,
        on_turn: Callable[[], None] = lambda: None,
        on_frame: Callable[[Frame], None] | None = None,
    ) -> Task:
        """Send it a task; its slot is taken at once.

        Args:
            fields: Of the task's frame.
            payload: Of the task's frame.
            on_turn: Called when the child begins with it, which may be now.
            on_frame: Called with each frame but the last the moment it comes; must not raise. None = `frames` has
                them all.

        Raises:
            WorkerDismissed: If it was told to go.
            WorkerLost: If it is gone.
        """
        if self.state is WorkerState.GONE:
            raise self._lost()
        task = self.tasks.add(on_turn, on_frame)
        self._send({**fields, "task": task.number}, payload)
        return task

    async def frames(self, task: Task) -> AsyncGenerator[Frame, None]:
        """Return the frames of a task up to the one that ends it.

        Leaving early cancels the task; the slot stays taken until the child says so.

        Raises:
            WorkerDismissed: If it was told to go first, or ended before the task's turn.
            WorkerLost: If the child ends first.
            VoicedError: What its `failed` frame says.
        """
        is_over = False
        try:
            while not is_over:
                frame = await task.frames.get()
                if frame is None:
                    raise self._lost(has_begun=task.begun_at is not None)
                is_over = frame[0]["type"] in ENDS_TASK
                if frame[0]["type"] == "failed":
                    raise error_for(str(frame[0]["code"]), str(frame[0]["message"]))
                yield frame
        finally:
            self.cancel(task)

    async def run(self, fields: Fields, payload: bytes = b"") -> AsyncGenerator[Frame, None]:
        """Give it a task and return its frames; see `give` and `frames`."""
        async with contextlib.aclosing(self.frames(self.give(fields, payload))) as frames:
            async for frame in frames:
                yield frame

    def cancel(self, task: Task) -> None:
        """Tell it to stop a task; one that has ended, though nobody has read it yet, has nothing left to stop."""
        if self.tasks.cancel(task):
            self._send({"type": "cancel", "task": task.number})

    def _lost(self, *, has_begun: bool = True) -> WorkerLost:
        kind = WorkerLost if has_begun and not self.is_dismissed else WorkerDismissed
        return kind(f"{self.name} ended: {self.end_reason}")

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.pinged_at = self.awake()
        self._send({"type": "ping", "n": 0})

    def _send(self, fields: Fields, payload: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(pack(fields, payload))

    # -- the link -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (called by the loop)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take frames apart and hand them to their tasks (called by the loop)."""
        self.last_heard = self.awake()
        try:
            for frame in self._frames.feed(data):
                self._take(frame)
        except (LinkError, KeyError, TypeError) as error:
            logger.error("%s (pid %d) sent nonsense: %s", self.name, self.pid, error)
            self.kill(f"it sent nonsense: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end (called by the loop); the exit code tells why."""
        if self._process is None or not self._process.is_alive:
            self._reap()
        else:
            # Most children are ending just now; one that closed its link and lives on is of no use.
            asyncio.get_running_loop().call_later(_LAST_WORDS_S, self._end_orphan)

    def _end_orphan(self) -> None:
        if self.state is not WorkerState.GONE:
            self.kill("its link closed")
            self._reap()

    def _take(self, frame: Frame) -> None:
        fields: dict[str, Any] = frame[0]
        kind = fields["type"]
        if "task" in fields:
            if self.tasks.take(fields["task"], frame):
                self.idle_since = time.monotonic()
                self._on_change(self)
        elif kind == "ready":
            self.ready = fields
            self.tasks.slots = int(fields.get("slots", 1))
            self.queue_length = int(fields.get("queue", 0))
            self.state = WorkerState.READY
            self.load_s = time.monotonic() - self.spawned_at
            self.idle_since = time.monotonic()
            self._on_change(self)
        elif kind == "loading":
            self.step = Step(float(fields["fraction"]), str(fields["what"]))
            self._on_change(self)
        elif kind == "refused":
            error = error_for(str(fields["code"]), str(fields["message"]))
            is_known = isinstance(error, EngineLoadFailed | DeviceOutOfMemory)
            self.refusal = error if is_known else EngineLoadFailed(error.message)
            self.end_reason = error.message
        elif kind == "pong":
            self.pinged_at = None
            self.rss_bytes = int(fields.get("rss_bytes", 0))
            self.device_bytes = int(fields.get("device_bytes", 0))
            self.growth = self.growth.after(self.size_bytes)

    def _reap(self) -> None:
        """Take note of its end; what the child said last is still read before it counts as gone."""
        loop = asyncio.get_running_loop()
        if self._process is not None:
            reason = self._process.reap(loop)
            self.end_reason = self.end_reason or reason
        if self._transport is None or self._transport.is_closing():
            self._bury()
        else:
            # A child of the child may hold the link open: do not wait for it for long.
            loop.call_later(_LAST_WORDS_S, self._transport.abort)

    def _bury(self) -> None:
        if self.state is WorkerState.GONE:
            return
        self.state = WorkerState.GONE
        self.tasks.lose()
        self._on_change(self)
