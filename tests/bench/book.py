"""A long text to one WAV, from the moment it is submitted, against one espeak-ng process with the same file."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator

import psutil

from tests.bench.figures import Peer, Row, compared, interleaved, timed_ms
from tests.bench.finished import audio_s, wait_for_file
from tests.bench.processes import NO_ESPEAK, espeak_command, floor_command, run
from tests.bench.session import Session
from tests.bench.texts import BOOK_BYTES, QUICK_BOOK_BYTES, prose
from tests.support import DaemonProcess, running_daemon, temporary_home
from voiced.engines.espeak import find_library

LIMIT = 0.7
_TIMEOUT_S = 300.0


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of the book."""
    size = session.rounds(BOOK_BYTES, QUICK_BOOK_BYTES)
    content = prose(size)
    names = itertools.count()
    lengths: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    with temporary_home() as home, running_daemon(home) as daemon, daemon.client() as client:
        text, wav = home.root / "book.txt", home.root / "book.wav"
        text.write_text(content)

        def ours() -> float:
            name = f"book-{next(names)}"
            made = home.audio / f"{name}.wav"

            def make() -> None:
                client.submit_text(content, name=f"{name}.txt", language="en")
                wait_for_file(made, _TIMEOUT_S)

            before = _family_cpu_s(daemon)
            took = timed_ms(make) / 1000
            cpu_s["ours"] = _family_cpu_s(daemon) - before
            lengths["ours"] = audio_s(made)
            made.unlink()
            return took

        def floor(command: list[str]) -> float:
            before = _children_cpu_s()
            took = timed_ms(lambda: run(command, home.environ)) / 1000
            cpu_s[command[0]] = _children_cpu_s() - before
            lengths[command[0]] = audio_s(wav, 44)
            wav.unlink()
            return took

        library = floor_command("espeak_library", *find_library(), str(text), str(wav))
        program = espeak_command(text, wav)
        measures: list[Callable[[], float]] = [ours, lambda: floor(library)]
        if program is not None:
            measures.append(lambda: floor(program))
        mine, same, *cli = interleaved(session.rounds(3, 1), *measures, warm_ups=0)
    what = f"{size // 1000} kB text to one WAV"
    note = (
        f"CPU {cpu_s['ours']:.1f} s against {cpu_s[library[0]]:.1f} s; "
        f"audio {lengths['ours']:.0f} s, theirs {lengths[library[0]]:.0f} s"
    )
    yield compared(what, mine, Peer("one process, same library", same), LIMIT, "s", note=note)
    peer = Peer("espeak-ng -w", cli[0]) if cli else Peer(NO_ESPEAK, None)
    yield compared(what, mine, peer, LIMIT, "s")


def _family_cpu_s(daemon: DaemonProcess) -> float:
    """Return the CPU time of the daemon, its children, and those of them that have ended."""
    used = 0.0
    for pid in (daemon.pid, *daemon.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(psutil.Process(pid).cpu_times()[:4])
    return used


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system
