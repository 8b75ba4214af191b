"""A book through the real daemon: with what it says of itself, and with what others hear meanwhile."""

import re
from pathlib import Path
from typing import Any

import av
import psutil
import pytest

from tests.daemon.text.books import Book, build_epub, make_novel, make_picture
from tests.support import DaemonProcess, running_daemon, temporary_home, wait_for
from voiced_ipc import messages as m
from voiced_ipc.messages import JobState

MEMORY_BYTES = 200_000_000
"""Of daemon and scribe together (design 10)."""


class Read:
    """A file as another program's library reads it."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            self.tags: dict[str, str] = dict(container.metadata)
            self.chapters: list[Any] = list(container.chapters())
            assert container.duration is not None
            self.seconds = container.duration / av.time_base
            self.has_cover = bool(container.streams.video)

    @property
    def titles(self) -> list[str]:
        return [chapter["metadata"]["title"] for chapter in self.chapters]

    @property
    def starts_s(self) -> list[float]:
        return [float(chapter["start"] * chapter["time_base"]) for chapter in self.chapters]


def hand_in(daemon: DaemonProcess, path: Path, **fields: Any) -> m.JobInfo:
    """Have a document spoken, and wait for its end."""
    with daemon.client() as client:
        accepted = client.submit_file(path, Path(client.status().incoming_folder), **fields)
    return daemon.wait_job(accepted.job_id, JobState.DONE)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.epub"
    build_epub(path, Book(cover=make_picture()))
    return path


def test_a_book_becomes_one_file_with_chapters_cover_and_tags(
    shared_daemon: DaemonProcess, book: Path
) -> None:
    job = hand_in(shared_daemon, book, format="m4b", subtitles=m.Subtitles.VTT)
    read = Read(Path(job.path))
    assert read.titles == ["The Harbour", "The Hill"]
    assert read.tags["title"] == "The Lamp"
    assert read.tags["artist"] == "Ada Example"
    assert read.has_cover
    assert read.seconds == pytest.approx(job.audio_s, abs=0.1)
    assert job.notes == []
    cues = re.sub("<[0-9:.]+>", "", Path(job.path).with_suffix(".vtt").read_text())
    # The second chapter begins where the first cue of it stands.
    hours, minutes, seconds = re.findall(r"(?:(\d+):)?(\d+):([\d.]+) --> .*\nThe Hill", cues)[0]
    heard_s = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    assert read.starts_s[1] == pytest.approx(heard_s, abs=0.002)


@pytest.mark.parametrize("format_", ["mp3", "flac"])
def test_a_book_becomes_a_folder_of_chapters(shared_daemon: DaemonProcess, book: Path, format_: str) -> None:
    asked: dict[str, Any] = {"chapters": m.Chapters.FOLDER, "subtitles": m.Subtitles.SRT}
    job = hand_in(shared_daemon, book, name=f"{format_}.epub", format=format_, **asked)
    files = sorted(path.name for path in Path(job.path).iterdir())
    names = ("01 The Harbour", "02 The Hill")
    assert files == [f"{name}.{kind}" for name in names for kind in sorted((format_, "srt"))]
    reads = [Read(Path(job.path) / f"{name}.{format_}") for name in names]
    assert sum(read.seconds for read in reads) == pytest.approx(job.audio_s, abs=0.2)
    assert [(read.tags["title"], read.tags["album"]) for read in reads] == [
        ("The Harbour", "The Lamp"),
        ("The Hill", "The Lamp"),
    ]


def test_without_chapters_one_file_is_made_and_said(shared_daemon: DaemonProcess) -> None:
    with shared_daemon.client() as client:
        accepted = client.submit_text("No chapters here.", name="plain.txt", chapters=m.Chapters.FOLDER)
        assert accepted.notes == ["it has no chapters: one file is made"]
    assert shared_daemon.wait_job(accepted.job_id, JobState.DONE).path.endswith("plain.wav")


@pytest.mark.timeout(180)
def test_a_novel_while_others_are_answered_and_a_kill_in_its_midst(tmp_path: Path) -> None:
    novel = tmp_path / "novel.epub"
    build_epub(novel, make_novel(sections=22, chars=30_000)._replace(cover=make_picture()))
    with temporary_home() as home:
        home.paths.config.mkdir(parents=True, exist_ok=True)
        home.paths.config_file.write_text('[speech]\nformat = "flac"\n')
        with running_daemon(home) as daemon:
            home.put("novel.epub", novel.read_bytes())
            peak = 0

            def is_half_spoken() -> bool:
                nonlocal peak
                peak = max(peak, _held_bytes(daemon))
                with daemon.client() as client:
                    accepted = client.synthesize("Are you there?", language="en")[1]
                    assert accepted.segments == 1
                return any(job.segments_done > job.segments / 3 for job in daemon.jobs())

            wait_for(is_half_spoken, 120.0, "a third of the novel")
            daemon.kill()
            daemon.start()
            (job,) = daemon.wait_jobs(1, 120.0)
            assert job.state is JobState.DONE
            assert peak < MEMORY_BYTES
        read = Read(Path(job.path))
        assert len(read.chapters) == 22
        assert read.starts_s == sorted(set(read.starts_s))
        assert read.seconds == pytest.approx(job.audio_s, abs=0.01)
        assert (read.tags["title"], read.has_cover) == ("The Long Journey", True)


def _held_bytes(daemon: DaemonProcess) -> int:
    """What the daemon and its scribes hold, without what they share."""
    held = 0
    for pid in [daemon.pid, *daemon.children()]:
        try:
            process = psutil.Process(pid)
            command = " ".join(process.cmdline())
            if pid == daemon.pid or "scribe" in command:
                held += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return held
