"""A stretch of work that a cancel may end: before it, within it, and no more after it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from voiced.jobs.cancel import Cancellable
from voiced_ipc.errors import JobCancelled, StorageFailed


class Story:
    """Work that waits, and is carried through afterwards."""

    def __init__(self, error: Exception | None = None) -> None:
        self.work = Cancellable()
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.carried = asyncio.Event()
        self.last_gate = asyncio.Event()
        self._error = error
        self.is_through = False

    async def run(self) -> None:
        with self.work:
            self.begun.set()
            try:
                await self.gate.wait()
            finally:
                if self._error is not None:
                    raise self._error
        self.carried.set()
        await self.last_gate.wait()
        self.is_through = True


def tell(
    play: Callable[[Story, "asyncio.Task[None]"], Awaitable[None]], error: Exception | None = None
) -> None:
    async def main() -> None:
        story = Story(error)
        task = asyncio.get_running_loop().create_task(story.run())
        await play(story, task)

    asyncio.run(asyncio.wait_for(main(), 10.0))


def test_before_it_begins() -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        story.work.cancel()
        with pytest.raises(JobCancelled):
            await task
        assert not story.begun.is_set()

    tell(play)


@pytest.mark.parametrize("error", [None, StorageFailed("the disk went"), OSError(5, "the disk went")])
def test_within_it_whatever_goes_wrong_as_it_ends(error: Exception | None) -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        await story.begun.wait()
        story.work.cancel()
        story.work.cancel()
        with pytest.raises(JobCancelled):
            await task
        assert task.cancelling() == 0
        assert not story.carried.is_set()

    tell(play, error)


def test_in_the_turn_in_which_the_work_ends() -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        await story.begun.wait()
        story.gate.set()
        story.work.cancel()
        with pytest.raises(JobCancelled):
            await task

    tell(play)


def test_after_it_a_cancel_comes_too_late() -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        story.gate.set()
        await story.carried.wait()
        story.work.cancel()
        story.work.leave()
        story.last_gate.set()
        await task
        assert story.is_through
        assert not story.work.is_cancelled

    tell(play)


def test_the_end_of_the_task_is_not_the_end_of_the_job() -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        await story.begun.wait()
        story.work.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    tell(play)


@pytest.mark.parametrize("has_begun", [False, True])
def test_what_is_left_is_not_cancelled(has_begun: bool) -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        if has_begun:
            await story.begun.wait()
        story.work.leave()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not story.work.is_cancelled

    tell(play)


def test_other_faults_stay_what_they_are() -> None:
    async def play(story: Story, task: "asyncio.Task[None]") -> None:
        await story.begun.wait()
        story.gate.set()
        with pytest.raises(StorageFailed):
            await task

    tell(play, StorageFailed("full"))
