"""Somebody who looks on while a daemon is attacked: a proper client that asks again and again, and its memory."""

import threading
import time
from types import TracebackType

import psutil

from tests.scorecard.card import quantile
from tests.support import DaemonProcess
from voiced_ipc import Client, Endpoint
from voiced_ipc.endpoint import CONTROL
from voiced_ipc.errors import VoicedError

JOIN_S = 30.0
CALL_S = 15.0


class _ControlAlone(Endpoint):
    """An endpoint where everything is asked over the control socket, also what the speech socket serves."""

    def socket(self, name: str) -> str:
        del name
        return super().socket(CONTROL)


def control_client(daemon: DaemonProcess) -> Client:
    """Return a client of the control socket alone."""
    return Client(_ControlAlone(daemon.home.endpoint.folder), timeout_s=CALL_S)


class Onlooker:
    """Asks for the status and, beside, looks at the daemon's memory; a context manager.

    Args:
        daemon: Of whom.
        every_s: Pause between two questions.
        rss_every_s: Pause between two looks at the memory.
        on_control: Ask over the control socket instead of the one for speech.
    """

    def __init__(
        self,
        daemon: DaemonProcess,
        every_s: float = 0.01,
        rss_every_s: float = 0.005,
        *,
        on_control: bool = False,
    ) -> None:
        self._daemon = daemon
        self._every_s = every_s
        self._rss_every_s = rss_every_s
        self._on_control = on_control
        self._process = psutil.Process(daemon.pid)
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, name="asks"),
            threading.Thread(target=self._weigh, name="weighs"),
        ]
        self.answered_s: list[float] = []
        """How long each answer took, from the first time that it was asked for."""
        self.asked_again = 0
        """How often a question had to be put again: the connection was dropped."""
        self.base_bytes = self.rss_bytes()
        self.peak_bytes = self.base_bytes

    def __enter__(self) -> "Onlooker":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(JOIN_S)

    def rss_bytes(self) -> int:
        """Return the daemon's resident memory at this moment."""
        return int(self._process.memory_info().rss)

    @property
    def grown_mb(self) -> float:
        """The peak above what it had at first."""
        return (self.peak_bytes - self.base_bytes) / (1 << 20)

    @property
    def worst_s(self) -> float:
        """The slowest answer."""
        return max(self.answered_s)

    @property
    def p99_s(self) -> float:
        """What 99 of 100 answers took at most."""
        return quantile(self.answered_s, 0.99)

    def _ask(self) -> None:
        with control_client(self._daemon) if self._on_control else self._daemon.client() as client:
            while True:  # once at least, however short the attack is
                began = time.monotonic()
                while True:
                    try:
                        client.status()
                        break
                    except VoicedError:
                        self.asked_again += 1
                        if self._is_over.is_set() or time.monotonic() - began > JOIN_S:
                            return
                self.answered_s.append(time.monotonic() - began)
                if self._is_over.wait(self._every_s):
                    return

    def _weigh(self) -> None:
        while not self._is_over.wait(self._rss_every_s):
            try:
                self.peak_bytes = max(self.peak_bytes, self.rss_bytes())
            except psutil.NoSuchProcess:
                return
