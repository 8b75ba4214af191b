"""Row 6, hostile bytes: 100,000 connections and frames: random, ZMTP 1 and 2, HTTP, cut handshakes, wrong part counts.

Target: 0 crashes, 0 exceptions in a handler, at most 20 MB more memory, and throughout the status is answered within
50 ms (p99).
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle
from random import Random

import msgpack
import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.onlooker import Onlooker
from tests.scorecard.raw_peer import GREETING, OLD_GREETINGS, RawPeer, frame, message, ready
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc.messages import PROTOCOL_TAG

GROWTH_MB = 20
PING_S = 0.05
SLACK = 3.0
FRAMES = 20
"""Messages that one proper handshake carries."""
_HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
_VERBS = ("get-status", "synthesize", "cancel", "get-job", "credit", "sing")


def junk(source: Random, most: int = 4096) -> bytes:
    """Return some random bytes."""
    return source.randbytes(source.randint(1, most))


def wrong_message(source: Random) -> bytes:
    """Return a message with a proper frame and a wrong content: part counts, tags, headers."""
    tag = source.choice((PROTOCOL_TAG, b"voiced/9", b"", junk(source, 40)))
    packed = msgpack.packb({"type": source.choice(_VERBS), "request_id": "a" * source.randint(1, 90)})
    assert isinstance(packed, bytes)
    header = source.choice((packed, packed[: source.randrange(len(packed))], junk(source, 200)))
    more = [junk(source, 60) for _ in range(source.choice((0, 0, 1, 2, 9)))]
    return message(*source.choice(([tag], [tag, header, *more], [b""], [header, tag])))


def speak_wrongly(peer: RawPeer, source: Random) -> None:
    peer.shake()
    for _ in range(FRAMES):
        peer.sendall(wrong_message(source))


def end_in_junk(peer: RawPeer, source: Random) -> None:
    peer.shake()
    peer.sendall(junk(source))


def cut(peer: RawPeer, source: Random) -> None:
    whole = GREETING + ready(source.choice((b"DEALER", b"REQ", b"ROUTER", b"SUB", b"X" * 200)))
    peer.sendall(whole[: source.randrange(len(whole))])


ATTACKS: dict[str, Callable[[RawPeer, Random], None]] = {
    "nothing": lambda peer, source: None,
    "random": lambda peer, source: peer.sendall(junk(source)),
    "zmtp1": lambda peer, source: peer.sendall(OLD_GREETINGS["zmtp1"] + frame(b"ping") + junk(source)),
    "zmtp2": lambda peer, source: peer.sendall(OLD_GREETINGS["zmtp2"] + frame(b"ping") + junk(source)),
    "http": lambda peer, source: peer.sendall(_HTTP),
    "cut handshake": cut,
    "junk after the greeting": lambda peer, source: peer.sendall(GREETING + junk(source)),
    "junk after the handshake": end_in_junk,
    "wrong messages": speak_wrongly,
}
WEIGHT = {"wrong messages": FRAMES}


@pytest.fixture
def victim(home: Home) -> Iterator[DaemonProcess]:
    """A daemon that has done some work, so that it has all the memory that it needs."""
    with running_daemon(home) as daemon, daemon.client() as client:
        client.synthesize("hello")
        yield daemon


def test_hostile_bytes(card: Card, victim: DaemonProcess) -> None:
    wanted, made = card.count(30_000, 100_000), Counter[str]()
    process = psutil.Process(victim.pid)
    descriptors = process.num_fds()
    paths = cycle((victim.home.endpoint.speech, victim.home.endpoint.control, victim.home.endpoint.events))
    refused = 0
    began = time.monotonic()
    with Onlooker(victim) as onlooker:
        while made.total() < wanted:
            name = card.random.choice([*ATTACKS])
            made[name] += WEIGHT.get(name, 1)
            try:
                with RawPeer(next(paths)) as peer:
                    ATTACKS[name](peer, card.random)
            except OSError:  # hung up on while it spoke
                refused += 1
        took_s = time.monotonic() - began
        wait_for(lambda: process.num_fds() <= descriptors + 6, what="the end of all connections")
    with contextlib.closing(victim.client()) as client:
        assert client.status().pid == victim.pid
    log = victim.log()
    floods, trips = log.count("peers at"), log.count("the memory grew")
    card.tell(sent=made.total(), hung_up=refused, took_s=took_s, floods=floods, trips=trips, **made)
    card.tell(pings=len(onlooker.answered_s), p99_ms=onlooker.p99_s * 1000, worst_ms=onlooker.worst_s * 1000)
    card.tell(asked_again=onlooker.asked_again, grown_mb=onlooker.grown_mb)
    assert "Traceback" not in log
    assert onlooker.grown_mb <= GROWTH_MB
    assert onlooker.asked_again == 0
    assert (floods, trips) == (0, 0)
    assert onlooker.p99_s <= PING_S * (1 if card.is_full else SLACK)
