"""The timer of processor time: it calls while we work, and nobody after it was closed."""

import asyncio
import signal
import threading
import time

from voiced.server.effort import Effort


def work(seconds: float) -> None:
    """Use so much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def handle_a_signal(loop: asyncio.AbstractEventLoop) -> None:
    """As the daemon's loop does: from then on signals wake it."""
    loop.add_signal_handler(signal.SIGUSR2, lambda: None)


def test_it_calls_while_the_process_works_whichever_thread_does() -> None:
    async def main() -> None:
        calls: list[float] = []
        came = asyncio.Event()

        def step() -> None:
            calls.append(time.process_time())
            came.set()

        effort = Effort(0.02, step)
        assert not effort.attach(asyncio.get_running_loop())  # nothing would wake it
        handle_a_signal(asyncio.get_running_loop())
        assert effort.attach(asyncio.get_running_loop())
        try:
            work(0.1)
            await asyncio.sleep(0)
            assert calls == []  # nobody counts yet
            effort.count(is_on=True)
            async with asyncio.timeout(10.0):
                worker = threading.Thread(target=work, args=(0.2,))
                worker.start()
                await came.wait()
            worker.join()
            effort.count(is_on=False)
            await asyncio.sleep(0)
            before = len(calls)
            work(0.1)
            await asyncio.sleep(0)
            assert len(calls) == before
        finally:
            effort.close()

    asyncio.run(main())


def test_it_outlasts_a_loop_that_was_closed_and_leaves_no_deadly_signal_behind() -> None:
    calls: list[int] = []
    loop = asyncio.new_event_loop()
    effort = Effort(0.01, lambda: calls.append(1))
    handle_a_signal(loop)
    assert effort.attach(loop)
    effort.count(is_on=True)
    loop.close()
    work(0.1)
    effort.close()
    signal.raise_signal(signal.SIGPROF)
    assert calls == []
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_another_thread_may_not_have_it() -> None:
    had: list[bool] = []

    def attach() -> None:
        loop = asyncio.new_event_loop()
        effort = Effort(0.01, lambda: None)
        had.append(effort.attach(loop))
        effort.count(is_on=True)
        effort.close()
        loop.close()

    thread = threading.Thread(target=attach)
    thread.start()
    thread.join()
    assert had == [False]
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
