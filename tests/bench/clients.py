"""Many clients at once: utterances a second against the library called directly, and whether anybody starves."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import msgpack
import zmq

from tests.bench.figures import Peer, Row, absolute, compared, interleaved, percentile
from tests.bench.processes import floor_command, run_for_output
from tests.bench.session import Session
from tests.bench.texts import TWO_SENTENCES
from tests.bench.wire import NoAnswer, Wire, wires
from tests.support import Home, running_daemon, temporary_home
from voiced.engines.espeak import find_library
from voiced_ipc import codec
from voiced_ipc import messages as m

LIMIT = 0.5
STARVING_LIMIT = 2.0
_SILENCE_MS = 30_000
_EACH_FULL, _EACH_QUICK = 6, 4
"""Utterances of each of 64 clients; fewer clients speak more each."""


class Load(NamedTuple):
    """What a number of clients saw."""

    per_s: float
    first_ms: list[float]
    """From asking to the first audio."""
    own_fraction: float
    """Share of one core that these clients took themselves."""


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of many clients."""
    each = session.rounds(_EACH_FULL, _EACH_QUICK)
    with temporary_home() as home, running_daemon(home):
        loads: dict[int, list[Load]] = {8: [], 64: []}

        def many(clients: int) -> float:
            seen = speak_all(home, clients, each * 64)
            loads[clients].append(seen)
            return seen.per_s

        direct, eight, sixty_four = interleaved(
            session.rounds(3, 1), lambda: _direct(home, each * 32), lambda: many(8), lambda: many(64)
        )
    for clients, rates in ((8, eight), (64, sixty_four)):
        seen = loads[clients][1:]
        note = f"the measuring clients took {max(load.own_fraction for load in seen):.2f} of a core"
        peer = Peer("the library called directly, one thread", direct)
        what = f"{clients} clients, utterances/s"
        yield compared(what, rates, peer, LIMIT, "/s", is_least=True, note=note)
        ratios = [percentile(load.first_ms, 0.99) / percentile(load.first_ms, 0.5) for load in seen]
        firsts = [value for load in seen for value in load.first_ms]
        note = f"p50 {percentile(firsts, 0.5):.1f} ms, p99 {percentile(firsts, 0.99):.1f} ms"
        what = f"{clients} clients, p99 / p50 of the first audio"
        yield absolute(what, ratios, "x", STARVING_LIMIT, note)


def speak_all(home: Home, clients: int, utterances: int) -> Load:
    """Have so many clients, each on its own connection, speak again and again; all in this thread.

    Raises:
        NoAnswer: If the daemon answers an error, or nothing.
    """
    poller = zmq.Poller()
    asked: dict[zmq.Socket[bytes], float] = {}
    first_ms: list[float] = []
    left, done = utterances - clients, 0
    with wires() as connect:
        crowd = {wire.socket: wire for wire in (connect(home.endpoint.speech) for _ in range(clients))}
        began, own = time.perf_counter(), time.process_time()
        for socket, wire in crowd.items():
            poller.register(socket, zmq.POLLIN)
            asked[socket] = _ask(wire)
        while done < utterances:
            ready = poller.poll(_SILENCE_MS)
            if not ready:
                raise NoAnswer(f"no answer to any of {clients} clients for {_SILENCE_MS / 1000:g} s")
            for socket, _ in ready:
                kind = _kind(socket)
                if kind == "audio-chunk" and socket in asked:
                    first_ms.append((time.perf_counter() - asked.pop(socket)) * 1000)
                elif kind == "done":
                    done += 1
                    if left:
                        left -= 1
                        asked[socket] = _ask(crowd[socket])
        took = time.perf_counter() - began
        return Load(utterances / took, first_ms, (time.process_time() - own) / took)


def _ask(wire: Wire) -> float:
    request = m.Synthesize(request_id=m.new_id(), language="en")
    wire.socket.send_multipart(codec.encode(request, TWO_SENTENCES.encode()))
    return time.perf_counter()


def _kind(socket: "zmq.Socket[bytes]") -> str:
    """Read one message and return its type; nothing more is unpacked, so that it costs little."""
    fields = msgpack.unpackb(socket.recv_multipart()[1])
    if fields["type"] == "error":
        raise NoAnswer(f"a client was refused: {fields['message']}")
    return str(fields["type"])


def _direct(home: Home, times: int) -> float:
    text = home.root / "sentences.txt"
    text.write_text(TWO_SENTENCES)
    command = floor_command("espeak_library", *find_library(), str(text), "-", str(times))
    return float(run_for_output(command, home.environ))
