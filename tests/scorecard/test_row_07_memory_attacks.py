"""Row 7, memory attacks: endless multipart of 1 GB, a frame that declares 8 GiB, 50 peers that never read, slow drip.

Target: the peak is at most 128 MB above what it was, others are answered within 250 ms, and the memory is back to
32 MB above within 5 s. A frame is bounded by libzmq, a message is not: that is the guard's part.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from tests.scorecard.card import Card
from tests.scorecard.onlooker import Onlooker
from tests.scorecard.raw_peer import RawPeer, close_all, frame, frame_head, message
from tests.support import DaemonProcess, Home, running_daemon
from voiced_ipc import codec
from voiced_ipc import messages as m

PEAK_MB = 128
AFTER_MB = 32
BACK_S = 5.0
ANSWER_S = 0.25
SLACK = 3.0
PEERS = 50
_PART = frame(bytes(64 << 10), has_more=True)
_DECLARED = (8 << 30, 1 << 62, (1 << 63) - 1)
_LONG_TEXT = "A sentence that is said again and again to somebody who does not listen. " * 400


@pytest.fixture
def victim(home: Home) -> Iterator[DaemonProcess]:
    """A daemon that has done some work, so that it has all the memory that it needs."""
    with running_daemon(home) as daemon, daemon.client() as client:
        client.synthesize("hello")
        list(client.voices())
        yield daemon


def ask(request: m.Request, payload: bytes | None = None) -> bytes:
    """Return a request as it goes over the wire."""
    return message(*(bytes(part) for part in codec.encode(request, payload)))


@contextlib.contextmanager
def watched(card: Card, daemon: DaemonProcess, attack: str) -> Iterator[dict[str, object]]:
    """Look on while the block attacks; what it adds to the mapping is told too."""
    told: dict[str, object] = {}
    with Onlooker(daemon) as onlooker:
        began = time.monotonic()
        yield told
        took_s = time.monotonic() - began
        end = time.monotonic() + BACK_S
        while (
            after_mb := mb(onlooker.rss_bytes() - onlooker.base_bytes)
        ) > AFTER_MB and time.monotonic() < end:
            time.sleep(0.05)
    card.tell(attack=attack, took_s=took_s, **told)
    card.tell(attack=attack, peak_mb=onlooker.grown_mb, after_mb=after_mb, asked_again=onlooker.asked_again)
    card.tell(attack=attack, answers=len(onlooker.answered_s), worst_ms=onlooker.worst_s * 1000)
    assert daemon.process is not None
    assert daemon.process.poll() is None
    assert onlooker.grown_mb <= PEAK_MB
    assert after_mb <= AFTER_MB
    assert onlooker.worst_s <= ANSWER_S * (1 if card.is_full else SLACK)
    assert "Traceback" not in daemon.log()


def mb(count_bytes: int) -> float:
    return count_bytes / (1 << 20)


@pytest.mark.parametrize("calm_s", [0.0, 1.5])
def test_a_message_without_an_end(card: Card, victim: DaemonProcess, calm_s: float) -> None:
    """Who attacks at once, as the row says; and who has been harmless for a while, and looked at less often."""
    wanted, sent, drops = card.count(128 if calm_s else 256, 1024) << 20, 0, 0
    path = victim.home.endpoint.speech
    with watched(card, victim, f"endless multipart after {calm_s:g} s") as told:
        while sent < wanted:
            with contextlib.suppress(OSError), RawPeer(path) as peer:  # dropped, and there again
                peer.shake()
                time.sleep(calm_s)
                while sent < wanted:
                    peer.sendall(_PART)
                    sent += len(_PART)
                time.sleep(1.0)  # what it has sent lies there while it holds on
            drops += 1
        told |= {"sent_mb": sent >> 20, "drops": drops}


def test_frames_that_declare_more_than_there_is(card: Card, victim: DaemonProcess) -> None:
    count, closed = card.count(60, 600), 0
    path = victim.home.endpoint.speech
    with watched(card, victim, "declared sizes") as told:
        for i in range(count):
            with RawPeer(path) as peer:
                peer.shake()
                peer.sendall(frame_head(_DECLARED[i % len(_DECLARED)]) + bytes(1024))
                with contextlib.suppress(ConnectionError):
                    closed += peer.recv(1) == b""
                    continue
                closed += 1
        told |= {"peers": count, "closed": closed}
    assert closed == count


NEVER_READ: dict[str, Callable[[int], bytes]] = {
    "voices": lambda _: ask(m.ListVoices(request_id=m.new_id(), limit=200)) * 200,
    "status": lambda _: ask(m.GetStatus(request_id=m.new_id())) * 400,
    "streams": lambda i: ask(
        m.Synthesize(request_id=m.new_id(), output=m.Output.STREAM, credit_bytes=1 << 30),
        f"Number {i}. {_LONG_TEXT}".encode(),
    ),
}


@pytest.mark.parametrize("kind", NEVER_READ)
def test_peers_that_never_read(card: Card, victim: DaemonProcess, kind: str) -> None:
    path, peers = victim.home.endpoint.speech, []
    with watched(card, victim, f"never reads {kind}") as told:
        try:
            for i in range(PEERS):
                peers.append(RawPeer(path))
                with contextlib.suppress(OSError):  # dropped with all others
                    peers[-1].shake()
                    peers[-1].settimeout(0.05)
                    peers[-1].sendall(NEVER_READ[kind](i))
            time.sleep(card.count(2, 30))
        finally:
            close_all(peers)
        told |= {"peers": len(peers)}


def test_peers_that_send_a_byte_now_and_then(card: Card, victim: DaemonProcess) -> None:
    path, peers = victim.home.endpoint.speech, []
    head = frame_head(1 << 20)
    with watched(card, victim, "slow drip") as told:
        try:
            for _ in range(PEERS):
                peers.append(RawPeer(path))
                peers[-1].shake()
                peers[-1].sendall(head)
            end = time.monotonic() + card.count(2, 20)
            while time.monotonic() < end:
                for peer in peers:
                    with contextlib.suppress(OSError):  # who does not answer a heartbeat is dropped
                        peer.sendall(b"x")
                time.sleep(0.01)
        finally:
            close_all(peers)
        told |= {"peers": len(peers)}
