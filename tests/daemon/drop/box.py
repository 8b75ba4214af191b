"""A drop folder with its receiver, for the tests of the intake and of the watcher."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from voiced.drop.claim import Claim
from voiced.drop.sidecar import Sidecars
from voiced.drop.terms import DropHooks, DropSettings
from voiced.drop.watch import DropWatcher


class Box:
    """The folders, what was claimed and refused, and how much room there is."""

    def __init__(self, base: Path, *, settle_s: float = 2.0, scan_interval_s: float = 30.0) -> None:
        self.drop, self.failed = base / "Drop", base / "Failed"
        self.settings = DropSettings(self.drop, self.failed, 1 << 20, settle_s, scan_interval_s)
        self.hooks = DropHooks(self._claimed, self._refused, lambda: self.room)
        self.room = 1_000_000
        self.claims: list[Claim] = []
        self.texts: list[str] = []
        self.sidecars: list[Sidecars] = []
        self.refusals: list[tuple[Path, str]] = []
        self.arrived = threading.Condition()

    def _claimed(self, claim: Claim, sidecars: Sidecars) -> None:
        text = claim.path.read_bytes().decode()
        with self.arrived:
            self.room -= 1
            self.claims.append(claim)
            self.texts.append(text)
            self.sidecars.append(sidecars)
            self.arrived.notify_all()

    def _refused(self, path: Path, message: str) -> None:
        with self.arrived:
            self.refusals.append((path, message))
            self.arrived.notify_all()

    @property
    def names(self) -> list[str]:
        """The relative paths claimed, in order."""
        return [str(claim.relative) for claim in self.claims]

    def write(self, relative: str, text: str = "text") -> Path:
        """Make a file in the drop folder."""
        path = self.drop / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def wait(self, is_so: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait until the receiver's state is so."""
        with self.arrived:
            assert self.arrived.wait_for(is_so, timeout_s), (self.names[-20:], self.refusals[-20:])


def wait_until(is_so: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until something that nobody tells has come about."""
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)


@contextlib.contextmanager
def watching(box: Box) -> Iterator[DropWatcher]:
    """A watcher that has made its first scan; it ends with all its threads."""
    before = set(threading.enumerate())
    watcher = DropWatcher(box.settings, box.hooks)
    watcher.start()
    try:
        wait_until(lambda: watcher.info().is_watched)
        yield watcher
    finally:
        assert watcher.stop(10)
        assert set(threading.enumerate()) <= before
