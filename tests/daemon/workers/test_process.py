"""One child: its tasks, its last words, its ends. The children are real."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from tests.daemon.workers.in_memory import in_memory_worker, turns
from tests.daemon.workers.tiny import DEAF, ECHO, tiny_child
from voiced.workers.process import WorkerLost, WorkerProcess, WorkerState
from voiced.workers.tasks import Frame
from voiced_ipc.errors import DeviceOutOfMemory

pytestmark = pytest.mark.process


LIMIT_S = 10.0


class Watched(WorkerProcess):
    """A worker whose changes can be awaited."""

    def __init__(self) -> None:
        super().__init__("tiny", self._note)
        self._changed = asyncio.Event()

    def _note(self, worker: WorkerProcess) -> None:
        self._changed.set()

    async def until(self, look: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not look():
                await self._changed.wait()
                self._changed.clear()

    async def is_ready(self) -> None:
        await self.until(lambda: self.state is WorkerState.READY)

    async def is_gone(self) -> None:
        await self.until(lambda: self.state is WorkerState.GONE)


def is_free(worker: WorkerProcess) -> bool:
    return worker.is_free


def is_pinged(worker: WorkerProcess) -> bool:
    return worker.pinged_at is not None


def with_child(body: str, play: Callable[[Watched], Awaitable[None]]) -> None:
    async def main() -> None:
        worker = Watched()
        await worker.start(*tiny_child(body))
        try:
            await play(worker)
        finally:
            worker.kill("the test is over")
            await worker.is_gone()
        assert worker._process is not None
        assert worker._process._process.returncode is not None
        assert worker._process._pidfd is None

    asyncio.run(main())


async def frames_of(worker: WorkerProcess, **fields: Any) -> list[Frame]:
    async with asyncio.timeout(LIMIT_S), aclosing(worker.run({"type": "speak", **fields})) as frames:
        return [frame async for frame in frames]


def test_a_child_becomes_ready_and_speaks() -> None:
    async def play(worker: Watched) -> None:
        assert worker.state is WorkerState.STARTING
        assert not is_free(worker)
        await worker.is_ready()
        assert is_free(worker)
        assert (worker.slots, worker.sample_rate_hz) == (2, 1000)
        for _ in range(2):
            audio, end = await frames_of(worker)
            assert (audio[0]["type"], audio[1], end[0]["type"]) == ("audio", b"abcd", "done")
        assert worker.running == 0

    with_child(ECHO, play)


def test_tasks_side_by_side_take_slots() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(frames_of(worker)) for _ in range(2)]
        await turns()
        assert worker.running == 2
        assert not is_free(worker)
        os.kill(worker.pid, signal.SIGSTOP)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The slots stay taken until the child says that it has stopped.
        assert worker.running == 2
        os.kill(worker.pid, signal.SIGCONT)
        await worker.until(lambda: worker.running == 0)
        assert is_free(worker)

    with_child(DEAF, play)


def test_a_task_is_sent_and_its_slot_taken_at_once() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        first, second = worker.give({"type": "speak"}), worker.give({"type": "speak"})
        assert not is_free(worker)
        for task in (first, second):
            async with aclosing(worker.frames(task)) as frames:
                assert [frame[0]["task"] async for frame in frames] == [task.number] * 2
        assert is_free(worker)
        assert worker.running == 0

    with_child(ECHO, play)


def test_a_task_that_nobody_came_to_hear_can_be_stopped() -> None:
    async def main() -> None:
        worker, wire = in_memory_worker()
        await turns()
        task = worker.give({"type": "speak"})
        worker.cancel(task)
        worker.cancel(task)
        assert [frame["task"] for frame in wire.of("cancel")] == [task.number]
        wire.say({"type": "cancelled", "task": task.number})
        assert is_free(worker)
        worker.cancel(task)
        assert len(wire.of("cancel")) == 1

    asyncio.run(main())


def test_a_crash_in_a_task_is_told_with_its_cause() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        with pytest.raises(WorkerLost, match="exit code 7"):
            await frames_of(worker)
        assert worker.state is WorkerState.GONE
        assert not is_free(worker)

    with_child("ready()\nfor fields in serve():\n    os._exit(7)", play)


def test_a_signal_is_named() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_gone()
        assert worker.end_reason == "killed by SIGSEGV"

    with_child("os.kill(os.getpid(), 11)", play)


def test_last_words_are_heard() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_gone()
        assert worker.refusal is not None
        assert worker.refusal.message == worker.end_reason == "no model file"

    with_child(
        'link.send({"type": "refused", "code": "engine-load-failed", "message": "no model file"})', play
    )


def test_a_task_given_to_a_child_that_is_gone_fails_at_once() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        worker.kill("for the test")
        await worker.is_gone()
        with pytest.raises(WorkerLost, match="for the test"):
            await frames_of(worker)

    with_child(ECHO, play)


def test_what_a_task_failed_of_keeps_its_class() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        with pytest.raises(DeviceOutOfMemory, match="too large"):
            await frames_of(worker)
        assert is_free(worker)

    with_child(
        """
        ready()
        for fields in serve():
            link.send({"type": "failed", "task": fields["task"], "code": "device-out-of-memory",
                       "message": "too large"})
        """,
        play,
    )


@pytest.mark.parametrize(
    "nonsense",
    [
        "link._socket.sendall(b'\\xff' * 100)",
        "link._socket.sendall(bytes(100))",
        "link.send({'type': 'refused'})",
        "link.send({'type': 'ready', 'slots': None})",
    ],
)
def test_nonsense_costs_the_child(nonsense: str) -> None:
    async def play(worker: Watched) -> None:
        await worker.is_gone()
        assert "nonsense" in worker.end_reason

    with_child(f"{nonsense}\nfor fields in serve(): pass", play)


def test_a_child_that_closes_its_link_and_lives_on_is_ended() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_gone()
        assert worker.end_reason == "its link closed"

    with_child("ready()\nlink._socket.close()\nwhile True: time.sleep(1)", play)


def test_a_grandchild_that_holds_the_link_does_not_hide_the_end() -> None:
    async def play(worker: Watched) -> None:
        began = time.monotonic()
        await worker.is_gone()
        assert worker.end_reason == "exit code 3"
        assert time.monotonic() - began < LIMIT_S / 2

    with_child("if os.fork() == 0:\n    link.receive()\n    os._exit(0)\nos._exit(3)", play)


def test_a_child_that_was_asked_to_go_goes_and_takes_nothing_more() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        worker.dismiss("not needed")
        assert not is_free(worker)
        assert await worker.wait(LIMIT_S)
        assert worker.is_dismissed
        assert worker.end_reason == "not needed"

    with_child(ECHO, play)


def test_a_ping_is_answered() -> None:
    async def play(worker: Watched) -> None:
        await worker.is_ready()
        worker.ping()
        assert is_pinged(worker)
        await frames_of(worker)  # comes after the pong
        assert not is_pinged(worker)
        assert worker.rss_bytes == 12345

    with_child(ECHO, play)


def test_a_program_that_is_not_there() -> None:
    async def main() -> None:
        worker = Watched()
        with pytest.raises(OSError, match="nowhere"):
            await worker.start(["/nowhere/at/all"], {}, {"type": "load"})
        worker.give_up("cannot be started")
        assert worker.state is WorkerState.GONE
        assert worker.pid == 0

    asyncio.run(main())


def test_frames_of_a_task_that_nobody_reads_are_dropped() -> None:
    async def main() -> None:
        worker, wire = in_memory_worker()
        await turns()
        task = asyncio.get_running_loop().create_task(frames_of(worker))
        await turns()
        task.cancel()
        await turns()
        assert worker.stuck_s > 0
        wire.say({"type": "audio", "task": 0, "index": 0}, b"late")
        wire.say({"type": "cancelled", "task": 0})
        wire.say({"type": "done", "task": 99})
        assert worker.stuck_s == 0
        assert is_free(worker)

    asyncio.run(main())
