"""Short requests while a book is spoken: a novel with its cover, and a book on an engine 20 times too slow."""

import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil

from tests.bench.figures import Peer, Row, absolute, compared, percentile
from tests.bench.first_audio import first_audio_ms
from tests.bench.session import Session
from tests.bench.texts import TWO_WORDS
from tests.daemon.text.books import build_epub, make_novel, make_picture
from tests.support import DaemonProcess, running_daemon, temporary_home, wait_for
from voiced_ipc import Client
from voiced_ipc.messages import JobState

MEMORY_LIMIT_MB = 200.0
SAY_LIMIT_MS = 3000.0
NOVEL_CHARS, QUICK_NOVEL_CHARS = 500_000, 30_000
_TIMEOUT_S = 900.0
_EVERY_S = 0.25
"""Between two requests of one who listens."""
_SLOW_SEGMENT = "A sentence [[slow:4]] that takes half a minute, all in all."
"""The tone engine waits 4 s before each quarter of a second: 20 s for a segment of 1.2 s."""


class _Peaks:
    """The greatest memory of the daemon, of its scribes and of its worker, looked at again and again."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.own_mb = self.scribe_mb = self.together_mb = 0.0
        self._daemon = daemon
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "_Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.1):
            own, scribes = _rss_mb(self._daemon.pid), 0.0
            for pid in self._daemon.children():
                with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                    if "child.scribe" in " ".join(psutil.Process(pid).cmdline()):
                        scribes += _rss_mb(pid)
            self.own_mb = max(self.own_mb, own)
            self.scribe_mb = max(self.scribe_mb, scribes)
            self.together_mb = max(self.together_mb, own + scribes)


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of a novel, and of the slow engine."""
    yield from _novel(session)
    if not session.is_quick:
        yield _slow_engine()


def _novel(session: Session) -> Iterator[Row]:
    book = make_novel(chars=session.rounds(NOVEL_CHARS, QUICK_NOVEL_CHARS))._replace(cover=make_picture())
    with temporary_home() as home, running_daemon(home) as daemon, daemon.client() as client:
        novel = home.root / "novel.epub"
        build_epub(novel, book)
        alone = [first_audio_ms(client, TWO_WORDS, language="en") for _ in range(20)]
        incoming = Path(client.status().incoming_folder)
        with _Peaks(daemon) as peaks:
            job = client.submit_file(novel, incoming, format="m4b")
            meanwhile = list(_heard_until_done(daemon, client, job.job_id))
        done = daemon.wait_job(job.job_id, JobState.DONE)
    speech = f"{done.chars} characters, {done.audio_s / 3600:.1f} h of speech"
    yield absolute(
        "a novel as EPUB to M4B: peak RSS of daemon and scribe",
        [peaks.together_mb],
        "MB",
        MEMORY_LIMIT_MB,
        f"{speech}; at most daemon {peaks.own_mb:.1f}, scribe {peaks.scribe_mb:.1f} MB",
    )
    times = min(len(meanwhile), len(alone))
    yield compared(
        "first audio while a novel is spoken, espeak, p50",
        meanwhile[:times],
        Peer("the same without the novel", alone[:times]),
        None,
        note=f"{len(meanwhile)} requests, p99 {percentile(meanwhile, 0.99):.1f} ms, most {max(meanwhile):.1f} ms",
    )
    yield absolute("first audio while a novel is spoken, espeak, most", [max(meanwhile)], "ms", SAY_LIMIT_MS)


def _heard_until_done(daemon: DaemonProcess, client: Client, job_id: str) -> Iterator[float]:
    end = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < end:
        yield first_audio_ms(client, TWO_WORDS, language="en")
        if client.job(job_id).state.is_final:
            return
        time.sleep(_EVERY_S)
    raise TimeoutError(f"the novel was not spoken within {_TIMEOUT_S:.0f} s")


def _slow_engine() -> Row:
    heard: list[float] = []
    with temporary_home() as home:
        home.paths.config.mkdir(parents=True, exist_ok=True)
        home.paths.config_file.write_text('[speech]\nmodel = "tone"\nlanguage = "en"\n')
        with running_daemon(home) as daemon, daemon.client() as client:
            first_audio_ms(client, TWO_WORDS, language="en")  # loads it
            book = client.submit_text("\n\n".join([_SLOW_SEGMENT] * 8), name="slow.txt", language="en")
            for segment in range(2):
                wait_for(partial(_has_spoken, client, book.job_id, segment), 120.0, "the next segment")
                time.sleep(_EVERY_S)  # it has begun by then
                heard.append(first_audio_ms(client, TWO_WORDS, language="en"))
    note = f"{len(heard)} requests, each in the midst of a segment"
    return absolute("say during a book on an engine 20x too slow", heard, "ms", SAY_LIMIT_MS, note)


def _has_spoken(client: Client, job_id: str, segments: int) -> bool:
    return client.job(job_id).segments_done >= segments


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6
