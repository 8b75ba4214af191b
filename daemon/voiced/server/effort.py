"""Calls back whenever this process has worked for so long: nothing while it rests, at once when it is made to work.

A clock that looks often wakes a resting computer; one that looks seldom comes late. Who fills our memory makes us
work: the system's timer of processor time (setitimer(2), ITIMER_PROF) counts that, in all threads, libzmq's too.
"""

import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Effort:
    """The timer of the whole process: there is one, and it belongs to the loop of the main thread.

    Args:
        step_s: Processor time between two calls, in seconds.
        on_step: Called in the loop.
    """

    def __init__(self, step_s: float, on_step: Callable[[], None]) -> None:
        self._step_s = step_s
        self._on_step = on_step
        self._is_on = False

    def attach(self, loop: "AbstractEventLoop") -> bool:
        """Get ready; return whether the system has such a timer, and the loop is woken by signals already.

        The signal comes to whichever thread works; a loop that handles no other signal would sleep on.
        """
        if not hasattr(signal, "setitimer") or not _wakes_by_signals():
            return False
        # Not the loop's own way: a loop that closes gives the signal its default back, which ends the process.
        signal.signal(signal.SIGPROF, lambda *_: self._step(loop))
        signal.siginterrupt(signal.SIGPROF, False)
        self._is_on = True
        return True

    def _step(self, loop: "AbstractEventLoop") -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._on_step)

    def count(self, *, is_on: bool) -> None:
        """Begin or cease to count."""
        if self._is_on:
            step_s = self._step_s if is_on else 0.0
            signal.setitimer(signal.ITIMER_PROF, step_s, step_s)

    def close(self) -> None:
        """Count no more."""
        if self._is_on:
            self.count(is_on=False)
            self._is_on = False
            signal.signal(signal.SIGPROF, signal.SIG_IGN)  # one may be on its way


def _wakes_by_signals() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    wakeup = signal.set_wakeup_fd(-1)  # it can only be asked for by setting it
    signal.set_wakeup_fd(wakeup)
    return wakeup >= 0
