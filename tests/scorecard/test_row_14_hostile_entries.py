"""Row 14, hostile folder entries: symlink, FIFO, device, socket, directory, 50 GB sparse, hard link, foreign owner,
255-byte, newline, non-UTF-8 and `..`-like names, NUL, 10 MB single line.

Target: 0 reads outside the folder, 0 block > 1 s; each gets a reason; service goes on. Every open of a file outside is
seen by a watch of its folder. Names that are only odd are spoken; names that begin with a dot are hidden files, which
the drop folder leaves alone. Sidecars are entries too, and what they name is never opened.
"""

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileClosedNoWriteEvent, FileModifiedEvent, FileOpenedEvent, FileSystemEvent
from watchdog.observers import Observer

from tests.scorecard.card import Card
from tests.scorecard.leftovers import below
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc.messages import JobState

WAIT_S = 60.0
LONGEST_BLOCK_S = 1.0
NOBODY = 65534
TEXT = "This is a plain English text, as it should be."


class Outside:
    """A folder beside the home whose files nobody has any business to open; counts who does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.opened: list[str] = []
        self.secret = folder / "secret.txt"
        self.secret.write_text("This is a secret.")
        os.mkfifo(folder / "pipe")

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by the observer."""
        self.opened.append(f"{event.event_type} {os.fsdecode(event.src_path)}")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Count from here on; what we have done to it ourselves is not counted."""
        observer = Observer()
        kinds: list[type[FileSystemEvent]] = [FileOpenedEvent, FileModifiedEvent, FileClosedNoWriteEvent]
        observer.schedule(self, str(self.folder), recursive=True, event_filter=kinds)  # type: ignore[arg-type]
        observer.start()
        try:
            (self.folder / "probe").write_text("seen")
            wait_for(lambda: any("probe" in one for one in self.opened), what="the watch at work")
            time.sleep(0.1)
            self.opened.clear()
            yield
        finally:
            observer.stop()
            observer.join()


class Pulse:
    """Asks for the status all the time, and knows the longest wait."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.worst_s = 0.0
        self.count = 0
        self._daemon = daemon
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def _beat(self) -> None:
        with self._daemon.client(timeout_s=30.0) as client:
            while not self._is_over.wait(0.02):
                began = time.monotonic()
                client.status()
                self.worst_s = max(self.worst_s, time.monotonic() - began)
                self.count += 1

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def sparse(path: Path) -> None:
    with path.open("w") as file:
        file.truncate(50 << 30)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def foreign(path: Path) -> None:
    path.write_text(TEXT)
    os.chown(path, NOBODY, NOBODY)


def holding(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


def refused_kinds(outside: Outside) -> dict[str, tuple[Callable[[Path], None], str]]:
    """Return what is refused: how it is made, and a word of the reason."""
    kinds: dict[str, tuple[Callable[[Path], None], str]] = {
        "link": (lambda path: path.symlink_to(outside.secret), "symbolic link"),
        "link-to-pipe": (lambda path: path.symlink_to(outside.folder / "pipe"), "symbolic link"),
        "link-to-folder": (lambda path: path.symlink_to(outside.folder), "symbolic link"),
        "link-to-device": (lambda path: path.symlink_to("/dev/zero"), "symbolic link"),
        "broken-link": (lambda path: path.symlink_to("nowhere"), "symbolic link"),
        "loop": (lambda path: path.symlink_to(path.name), "symbolic link"),
        "pipe": (os.mkfifo, "named pipe"),
        "socket": (listening, "socket"),
        "sparse": (sparse, "too large"),
        "hard": (lambda path: path.hardlink_to(outside.secret), "hard link"),
        "empty": (Path.touch, "empty"),
        "nul": (holding(b"\0" * 5000 + TEXT.encode()), ""),
        "noise": (holding(bytes(range(256)) * 40), ""),
        "zip": (holding(b"PK\x03\x04" + bytes(3000)), ""),
    }
    if os.geteuid() == 0:
        kinds["zero"] = (lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5)), "device")
        kinds["block"] = (lambda path: os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(7, 200)), "device")
        kinds["foreign"] = (foreign, "another user")
    return kinds


ODD_NAMES = (
    *(
        "x" * 251 + ".txt",
        "語" * 83 + ".txt",
        "two\nlines.txt",
        "tab\t.txt",
        "\x1b[31mred.txt",
        " .txt",
        "-rf.txt",
    ),
    *(os.fsdecode(b"\xff\xfe.txt"), os.fsdecode(b"caf\xe9.txt"), "a..txt", "%2f..%2fetc.txt", "%2e%2e.txt"),
    *("$(id).txt", "a;b|c.txt", "con.txt", "\u202etxt.exe.txt", "x.voiced.toml.txt", "\\..\\..\\a.txt"),
)
HIDDEN_NAMES = ("...", "..txt", ".hidden.txt", ".. .txt", "..\\..\\etc.txt")


def put_entries(home: Home, outside: Outside, rounds: int) -> tuple[dict[Path, str], list[Path], list[Path]]:
    """Fill the drop folder; return what is refused with a word of its reason, what is spoken, what is left alone."""
    refused: dict[Path, str] = {}
    spoken: list[Path] = []
    hidden: list[Path] = []
    for n in range(rounds):
        folder = home.drop / f"round {n}"
        (folder / "a folder.txt").mkdir(parents=True)
        for name, (make, word) in refused_kinds(outside).items():
            make(folder / f"{name}.txt")
            refused[folder / f"{name}.txt"] = word
        for name in (*ODD_NAMES, "a folder.txt/in it.txt"):
            (folder / name).write_text(TEXT)
            spoken.append(folder / name)
        for name in HIDDEN_NAMES:
            (folder / name).write_text(TEXT)
            hidden.append(folder / name)
    return refused, spoken, hidden


def reason_of(home: Home, entry: Path) -> str:
    failed = home.paths.home / "Failed" / entry.relative_to(home.drop)
    note = failed.with_name(f"{failed.name}.error.txt")
    return note.read_text("utf-8") if note.is_file() else ""


@pytest.fixture
def outside(home: Home) -> Outside:
    return Outside(home.root / "outside")


def test_hostile_entries(card: Card, home: Home, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = card.count(1, 10)
    monkeypatch.chdir(home.root)  # a socket's path is short
    with running_daemon(home) as daemon:
        wait_for(home.drop.exists, what="the drop folder")
        refused, spoken, hidden = put_entries(home, outside, rounds)
        began = time.monotonic()
        with outside.watched(), Pulse(daemon) as pulse:
            jobs = daemon.wait_jobs(len(spoken), WAIT_S * rounds)
            wait_for(lambda: all(reason_of(home, entry) for entry in refused), WAIT_S, "a reason for each")
            took_s = time.monotonic() - began
            home.put("last.txt", TEXT)
            last = daemon.wait_jobs(len(spoken) + 1, WAIT_S)[-1]
        silent = [str(entry) for entry, word in refused.items() if word not in reason_of(home, entry)]
        left = [path for path in below(home.drop) if not path.is_dir() and path not in hidden]
        log = daemon.log()
    card.tell(
        entries=len(refused) + len(spoken) + len(hidden),
        refused=len(refused),
        spoken=len(spoken),
        opened_outside=len(outside.opened),
        longest_block_ms=pulse.worst_s * 1000,
        asked=pulse.count,
        seconds=took_s,
    )
    assert outside.opened == []
    assert outside.secret.read_text() == "This is a secret."
    assert silent == []
    assert {job.state for job in jobs} == {JobState.DONE}
    assert last.state is JobState.DONE
    assert left == []
    assert all(entry.read_text() == TEXT for entry in hidden)
    assert pulse.worst_s <= LONGEST_BLOCK_S
    assert "Traceback" not in log


def test_hostile_sidecars(card: Card, home: Home, outside: Outside) -> None:
    (outside.folder / "voiced.toml").write_text('voice = "de"')
    rounds = card.count(2, 50)
    with running_daemon(home) as daemon:
        wait_for(home.drop.exists, what="the drop folder")
        with outside.watched(), Pulse(daemon) as pulse:
            for n in range(rounds):
                folder = home.drop / f"round {n}"
                folder.mkdir()
                (folder / "voiced.toml").symlink_to(outside.folder / "voiced.toml")
                (folder / "a.txt.voiced.toml").symlink_to(outside.folder / "pipe")
                os.mkfifo(folder / "b.txt.voiced.toml")
                (folder / "c.txt.voiced.toml").write_bytes(b"model = " + b"[" * 60_000)
                paths = f'model = "{outside.secret}"\nvoice = "../../outside/secret.txt"\ndevice = "cuda"'
                (folder / "d.txt.voiced.toml").write_text(paths)
                for name in "abcd":
                    home.put(f"round {n}/{name}.txt", TEXT)
            jobs = daemon.wait_jobs(4 * rounds, WAIT_S)
        log = daemon.log()
    card.tell(
        texts=len(jobs),
        opened_outside=len(outside.opened),
        notes=sum(len(job.notes) for job in jobs),
        longest_block_ms=pulse.worst_s * 1000,
    )
    assert outside.opened == []
    assert {(job.state, job.model, job.voice) for job in jobs} == {(JobState.DONE, "espeak", "")}
    assert all(any("symbolic link" in note for note in job.notes) for job in jobs)
    assert all(len(job.notes) >= 2 for job in jobs)
    assert pulse.worst_s <= LONGEST_BLOCK_S
    assert "Traceback" not in log


def test_a_single_line_of_ten_megabytes(card: Card, home: Home) -> None:
    size = card.count(2 << 20, 10 << 20)
    words = "word " * (size // 10) + "x" * (size // 2)
    with running_daemon(home) as daemon, daemon.client(timeout_s=30.0) as client:
        client.pause()
        wait_for(home.drop.exists, what="the drop folder")
        with Pulse(daemon) as pulse:
            began = time.monotonic()
            home.put("line.txt", words)
            (job,) = wait_for(daemon.jobs, WAIT_S, "the job")
            planned_s = time.monotonic() - began
            client.cancel(job.job_id)
            client.resume()
            home.put("last.txt", TEXT)
            daemon.wait_jobs(2, WAIT_S)
    card.tell(
        chars=len(words), segments=job.segments, planned_s=planned_s, longest_block_ms=pulse.worst_s * 1000
    )
    assert job.chars >= size - 10
    assert (home.paths.home / "Failed" / "line.txt").stat().st_size == len(words)
    assert "cancelled" in reason_of(home, home.drop / "line.txt")
    assert pulse.worst_s <= LONGEST_BLOCK_S
