"""The queue before the scribes: first come first served, one kept for quick work, a lost one tried again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.daemon.workers.in_memory import Wire, in_memory_worker, turns
from voiced.jobs import scribes as scribes_module
from voiced.jobs.scribes import Scribes
from voiced.workers.scribery import Scribery
from voiced_ipc.errors import DocumentRefused, InternalError, StorageFailed

ATTEMPTS = scribes_module._ATTEMPTS


class PlayedScribery(Scribery):
    """The real one with scribes that the test plays."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.wires: list[Wire] = []
        self.killed: list[str] = []

    def load(self) -> None:
        worker, wire = in_memory_worker("scribe", lambda changed: self._on_change())
        self.scribes.append(worker)
        self.wires.append(wire)

        def kill(reason: str) -> None:
            self.killed.append(reason)
            asyncio.get_running_loop().call_soon(wire.end)

        worker.kill = kill  # type: ignore[method-assign]

    def asked(self) -> list[dict[str, Any]]:
        """What the scribes were asked, over all of them."""
        return [
            fields for wire in self.wires for fields in wire.sent if fields["type"] in ("prepare", "finish")
        ]


def with_scribes(play: Callable[[Scribes, PlayedScribery], Awaitable[None]]) -> None:
    async def main() -> None:
        pool = PlayedScribery()
        scribes = Scribes(pool)
        pool._on_change = scribes.wake
        await play(scribes, pool)

    asyncio.run(main())


def prepared(wire: Wire, place: int = -1) -> None:
    wire.say({"type": "prepared", "task": wire.of("prepare")[place]["task"]}, b"plan")


def ask(scribes: Scribes, name: str) -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(scribes.prepare({"type": "prepare", "name": name}))


def test_a_document_is_prepared() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        asked = ask(scribes, "a")
        await turns()
        prepared(pool.wires[0])
        assert (await asked)[1] == b"plan"

    with_scribes(play)


def test_others_wait_for_their_turn_in_order() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        asked = [ask(scribes, name) for name in "abcd"]
        await turns(30)
        assert len(pool.wires) == 2
        assert sorted(fields["name"] for fields in pool.asked()) == ["a", "b"]
        for name in "cd":
            prepared(pool.wires[0])
            await turns()
            assert pool.wires[0].of("prepare")[-1]["name"] == name
        prepared(pool.wires[0])
        prepared(pool.wires[1])
        await asyncio.gather(*asked)

    with_scribes(play)


def test_heavy_work_leaves_a_scribe_for_quick_work() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        loop = asyncio.get_running_loop()
        heavy = [loop.create_task(scribes.finish({"type": "finish", "name": str(n)})) for n in range(2)]
        await turns(30)
        assert [fields["name"] for fields in pool.asked()] == ["0"]
        quick = ask(scribes, "quick")
        await turns(30)
        assert [fields["name"] for fields in pool.asked()] == ["0", "quick"]
        prepared(pool.wires[1])
        await quick
        first = pool.wires[0].of("finish")[0]
        pool.wires[0].say({"type": "finished", "task": first["task"], "samples": 7})
        assert (await heavy[0])["samples"] == 7
        await turns(30)
        assert [fields["name"] for fields in pool.asked() if fields["type"] == "finish"] == ["0", "1"]
        heavy[1].cancel()
        await asyncio.gather(heavy[1], return_exceptions=True)

    with_scribes(play)


def test_a_document_that_kills_every_scribe_is_refused() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        asked = ask(scribes, "bomb")
        for place in range(ATTEMPTS):
            await turns(30)
            assert len(pool.asked()) == place + 1
            pool.wires[place].end()
        with pytest.raises(DocumentRefused, match="ended the reader"):
            await asked

    with_scribes(play)


def test_a_scribe_lost_once_costs_nothing() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        asked = ask(scribes, "fine")
        await turns()
        pool.wires[0].end()
        await turns(30)
        prepared(pool.wires[1])
        assert (await asked)[1] == b"plan"

    with_scribes(play)


def test_an_encoder_that_ends_again_and_again_is_a_fault_of_ours() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        asked = asyncio.get_running_loop().create_task(scribes.finish({"type": "finish"}))
        for place in range(ATTEMPTS):
            await turns(30)
            assert len(pool.asked()) == place + 1
            pool.wires[place].end()
        with pytest.raises(InternalError, match="the encoder ended 3 times"):
            await asked

    with_scribes(play)


def test_what_the_scribe_says_is_raised_at_once() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        asked = ask(scribes, "a")
        await turns()
        task = pool.wires[0].of("prepare")[0]["task"]
        pool.wires[0].say({"type": "failed", "task": task, "code": "storage-failed", "message": "full"})
        with pytest.raises(StorageFailed, match="full"):
            await asked
        assert len(pool.wires) == 1

    with_scribes(play)


def test_one_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribes_module, "PREPARE_S", 0.02)

    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        with pytest.raises(DocumentRefused):
            await scribes.prepare({"type": "prepare"})
        assert len(pool.killed) == ATTEMPTS

    with_scribes(play)


def encode(scribes: Scribes, name: str = "book") -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(scribes.finish({"type": "finish", "name": name}))


def cancelled(wire: Wire, task: int) -> None:
    wire.say({"type": "failed", "task": task, "code": "job-cancelled", "message": "The job was cancelled."})


def test_whoever_is_cancelled_waits_until_the_scribe_has_let_go() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        work = encode(scribes)
        await turns(30)
        (asked,) = pool.wires[0].of("finish")
        work.cancel()
        await turns(30)
        assert [fields["task"] for fields in pool.wires[0].of("cancel")] == [asked["task"]]
        assert not work.done()
        cancelled(pool.wires[0], asked["task"])
        with pytest.raises(asyncio.CancelledError):
            await work
        assert pool.killed == []
        quick = ask(scribes, "next")
        await turns(30)
        prepared(pool.wires[0])
        await quick

    with_scribes(play)


def test_a_scribe_that_does_not_let_go_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribes_module, "CANCEL_S", 0.02)

    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        work, other = ask(scribes, "bomb"), ask(scribes, "other")
        await turns(30)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(pool.killed) == 1
        prepared(pool.wires[1])
        assert (await other)[1] == b"plan"
        again = ask(scribes, "again")
        await turns(30)
        prepared(pool.wires[1])
        await again

    with_scribes(play)


def test_whoever_is_cancelled_in_the_queue_is_not_asked_for() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        first, second = encode(scribes, "first"), encode(scribes, "second")
        await turns(30)
        second.cancel()
        pool.wires[0].say({"type": "finished", "task": pool.wires[0].of("finish")[0]["task"]})
        await first
        await asyncio.gather(second, return_exceptions=True)
        await turns(30)
        assert [fields["name"] for fields in pool.asked()] == ["first"]

    with_scribes(play)


def test_files_are_held_and_made_anew_quick_work_goes_on() -> None:
    async def play(scribes: Scribes, pool: PlayedScribery) -> None:
        work = encode(scribes)
        await turns(30)
        scribes.hold(is_held=True)
        (asked,) = pool.wires[0].of("finish")
        (told,) = pool.wires[0].of("cancel")
        assert told["task"] == asked["task"]
        cancelled(pool.wires[0], asked["task"])
        await turns(30)
        assert len(pool.wires[0].of("finish")) == 1
        quick = ask(scribes, "quick")
        await turns(30)
        prepared(pool.wires[0])
        await quick
        scribes.hold(is_held=False)
        await turns(30)
        again = pool.wires[0].of("finish")[-1]
        assert again["task"] != asked["task"]
        pool.wires[0].say({"type": "finished", "task": again["task"], "samples": 7})
        assert (await work)["samples"] == 7

    with_scribes(play)
