"""Row 5, descriptor flood: NOFILE + 100 peers that finish the handshake, at limits of 256, 1,024 and 8,192.

Target: the process lives and is the same; a proper client is answered within 2 s after the release; at most 20 % of a
CPU while it is full. libzmq ends a process that has no descriptor left for a peer, so the guard must stay ahead of it.

Beside: what peers that never greet do, what a flood does that begins before the daemon is there, and that whoever
commands the daemon is answered all the while.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.onlooker import Onlooker, control_client
from tests.scorecard.raw_peer import RawPeer, close_all, many_descriptors
from tests.support import DaemonProcess, Home, need, running_daemon, temporary_home, wait_for
from voiced.server.guard import PEER_SHARE
from voiced_ipc.errors import DaemonUnavailable, RequestTimeout

LIMITS = (256, 1024, 8192)
MORE = 100
RELEASE_S = 2.0
CPU_FRACTION = 0.2
CONTROL_S = 0.25
"""Nothing in the row: what somebody at the tray does not notice."""
SLACK = 3.0
_LOOK_S = 1.0


@contextlib.contextmanager
def limited_daemon(limit: int) -> Iterator[DaemonProcess]:
    """A daemon that may hold so many descriptors, and not more by its own doing."""
    with temporary_home() as home, running_daemon(home, prelude=f"ulimit -n {limit}") as daemon:
        assert psutil.Process(daemon.pid).rlimit(psutil.RLIMIT_NOFILE) == (limit, limit)
        yield daemon


def flood(path: Path, count: int, limit_s: float, *, is_greeting: bool) -> list[RawPeer]:
    """Connect so often, or for so long; return all, also those that were dropped meanwhile."""
    peers: list[RawPeer] = []
    end = time.monotonic() + limit_s
    while len(peers) < count and (left_s := end - time.monotonic()) > 0:
        with contextlib.suppress(OSError):  # the backlog stays full, or it was dropped already
            peers.append(RawPeer(path, connect_s=left_s))
            if is_greeting:
                peers[-1].push()
    return peers


def cpu_fraction(daemon: DaemonProcess, over_s: float = _LOOK_S) -> float:
    """Return the share of one CPU that the daemon takes from now on."""
    process = psutil.Process(daemon.pid)
    process.cpu_percent()
    time.sleep(over_s)
    return process.cpu_percent() / 100


def answered_after(daemon: DaemonProcess) -> float:
    """Return how long a proper client waits for its answer."""
    began = time.monotonic()
    with daemon.client() as client:
        assert client.status().pid == daemon.pid
    return time.monotonic() - began


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", ["handshaken", "silent"])
def test_more_peers_than_descriptors(card: Card, limit: int, kind: str) -> None:
    count, flood_s = limit + MORE, card.count(2, 120)
    with many_descriptors(count) as is_allowed:
        need("descriptors", is_allowed, f"needs {count} descriptors of its own")
        with limited_daemon(limit) as daemon:
            with daemon.client() as client:
                client.synthesize("hello")  # everything of its own is open from now on
            before = psutil.Process(daemon.pid).num_fds()
            with Onlooker(daemon, on_control=True) as onlooker:
                path = daemon.home.endpoint.speech
                peers = flood(path, count, flood_s, is_greeting=kind == "handshaken")
                cpu = cpu_fraction(daemon)
                close_all(peers)
                released_s = answered_after(daemon)
            wait_for(lambda: psutil.Process(daemon.pid).num_fds() <= before + 4, what="the descriptors' end")
            assert daemon.process is not None
            assert daemon.process.poll() is None
    card.tell(limit=limit, kind=kind, peers=len(peers), cpu=cpu)
    card.tell(limit=limit, released_ms=released_s * 1000, control_worst_ms=onlooker.worst_s * 1000)
    assert len(peers) == count or not card.is_full
    assert released_s <= RELEASE_S
    assert cpu <= CPU_FRACTION
    assert onlooker.asked_again == 0
    assert onlooker.worst_s <= CONTROL_S * (1 if card.is_full else SLACK)


class Crowd(threading.Thread):
    """Peers that come as fast as they can, from before there is a daemon until they are told to go."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(name="crowd")
        self._path = path
        self._count = count
        self.is_over = threading.Event()
        self.connected = 0

    def run(self) -> None:
        peers: list[RawPeer] = []
        while not self.is_over.is_set():
            try:
                peers.append(RawPeer(self._path, connect_s=0))
            except OSError:  # nobody listens yet, or the backlog is full
                time.sleep(0.001)
                continue
            self.connected += 1
            if len(peers) >= self._count:
                close_all(peers)
                peers.clear()
        close_all(peers)


def answers(daemon: DaemonProcess) -> bool:
    """Whether it answers over the control socket; fails where it has ended."""
    assert daemon.process is not None
    assert daemon.process.poll() is None, daemon.log()
    with contextlib.suppress(DaemonUnavailable, RequestTimeout), control_client(daemon) as client:
        return client.status().pid == daemon.pid
    return False


@pytest.mark.parametrize("limit", [4096, 8192])
def test_a_flood_that_was_there_before_the_daemon(card: Card, home: Home, limit: int) -> None:
    """Who connects while the daemon starts waits in the backlog, and all come in at once."""
    crowd = Crowd(home.endpoint.speech, limit + MORE)
    # Not at the small limits: while the parts of the daemon start, its loop stands for tens of milliseconds.
    starts, answered_s = card.count(1, 10), []
    with many_descriptors(limit + MORE) as is_allowed:
        need("descriptors", is_allowed, "needs descriptors of its own")
        crowd.start()
        try:
            for _ in range(starts):
                began = time.monotonic()
                daemon = DaemonProcess(home, prelude=f"ulimit -n {limit}").start(is_ready=False)
                try:
                    wait_for(lambda: answers(daemon), what="an answer")  # noqa: B023 - within this turn
                    answered_s.append(time.monotonic() - began)
                    time.sleep(_LOOK_S)
                    assert answers(daemon)
                finally:
                    daemon.kill()
        finally:
            crowd.is_over.set()
            crowd.join(20.0)
    worst_s = max(answered_s)
    card.tell(
        limit=limit, kind="before the start", starts=starts, connected=crowd.connected, answered_s=worst_s
    )
    assert crowd.connected > limit // PEER_SHARE // 3  # more than one socket takes
