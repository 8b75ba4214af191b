"""Spools to audio files, through the real process; and how it ends."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile

from tests.daemon.audio.test_loudness import measured, speech_like
from tests.daemon.child_scribe.support import TIMEOUT_S, RunningScribe, running_scribe
from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.segments import Break, Edit, Plan, Segment, pack_plan
from voiced.timeline import Placed, Span, TimelineFile
from voiced.word_times import WordTime, pack_words

_RATE_HZ = 24_000
_LONG_S = 1200


@pytest.fixture
def scribe() -> Iterator[RunningScribe]:
    with running_scribe() as running:
        yield running


def task_for(place: Path, seconds: int = 2, **changes: object) -> dict[str, Any]:
    """Return the fields of a task, with its spool in a folder."""
    source = place / "spool"
    with source.open("wb") as file:
        file.truncate(WAV_HEADER_BYTES + 2 * seconds * _RATE_HZ)
    fields: dict[str, Any] = {
        "task": 7,
        "source": str(source),
        "data_offset": WAV_HEADER_BYTES,
        "samples": seconds * _RATE_HZ,
        "sample_rate_hz": _RATE_HZ,
        "target": str(place / "out"),
        "format": "wav",
    }
    return fields | changes


@pytest.mark.parametrize(("format_", "rate_hz"), [("wav", 0), ("wav", 16_000), ("flac", 0), ("flac", 48_000)])
def test_a_spool_becomes_a_file(scribe: RunningScribe, tmp_path: Path, format_: str, rate_hz: int) -> None:
    task = task_for(tmp_path, format=format_, target_rate_hz=rate_hz, title="Ein Tag")
    answer, _ = scribe.ask("finish", **task)
    target = tmp_path / "out"
    rate_hz = rate_hz or _RATE_HZ
    assert answer == {
        "type": "finished",
        "task": 7,
        "bytes": target.stat().st_size,
        "samples": 2 * rate_hz,
        "sample_rate_hz": rate_hz,
        "notes": [],
    }
    with soundfile.SoundFile(target) as file:
        assert (file.samplerate, file.frames, file.title) == (rate_hz, 2 * rate_hz, "Ein Tag")


def job_folder(folder: Path) -> Path:
    """A job of two chapters, a second each, with half a second of pause."""
    made = folder / "job"
    made.mkdir()
    (made / "text").write_text("Guten Tag. Bis morgen.")
    segments = (Segment(0, 11, 0, 11, "de", Break.CHAPTER, 0), Segment(11, 22, 11, 22, "de", Break.END, 1))
    (made / "plan").write_bytes(pack_plan(Plan(22, "de", segments, ("Eins", "Zwei"))))
    timeline = TimelineFile(made, 0)
    timeline.writer(0, [Placed(Span(0, _RATE_HZ // 2)), Placed(Span(_RATE_HZ, 2 * _RATE_HZ))])()
    timeline.close()
    return made


@pytest.mark.parametrize("kind", ["vtt", "srt"])
def test_subtitles_of_a_job_and_of_a_chapter(scribe: RunningScribe, tmp_path: Path, kind: str) -> None:
    task: dict[str, Any] = {"task": 8, "folder": str(job_folder(tmp_path))}
    task |= {"format": kind, "sample_rate_hz": _RATE_HZ}
    answer, _ = scribe.ask("subtitles", **task, target=str(tmp_path / "all"))
    assert answer == {"type": "finished", "task": 8, "cues": 2}
    written = (tmp_path / "all").read_text()
    assert written.startswith("WEBVTT" if kind == "vtt" else "1\n")
    assert written.index("Guten Tag.") < written.index("Bis morgen.")
    answer, _ = scribe.ask(
        "subtitles", **task, target=str(tmp_path / "two"), start=_RATE_HZ, end=2 * _RATE_HZ
    )
    assert answer["cues"] == 1
    chapter = (tmp_path / "two").read_text()
    assert "00:00.000" in chapter or "00:00:00,000" in chapter
    assert "Guten" not in chapter


def test_words_of_a_segment_that_is_spoken_otherwise(scribe: RunningScribe, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "text").write_text("Grüße, \n SQL ist  alt.")
    written, spoken = 22, " \n ess ku ell ist  alt."
    segments = (
        Segment(0, 7, 0, 9, "de", Break.CLAUSE),
        Segment(7, written, 9, 24, "de", Break.END, 0, spoken, (Edit(2, 3, 10),)),
    )
    (folder / "plan").write_bytes(pack_plan(Plan(written, "de", segments)))
    words = [WordTime(0, 0), WordTime(4, 1000), WordTime(11, 6000), WordTime(16, 12_000)]
    timeline = TimelineFile(folder, 0, has_words=True)
    timeline.writer(0, [Placed(Span(0, _RATE_HZ)), Placed(Span(_RATE_HZ, 2 * _RATE_HZ), pack_words(words))])()
    timeline.close()
    task: dict[str, Any] = {"task": 8, "folder": str(folder), "format": "vtt", "sample_rate_hz": _RATE_HZ}
    scribe.ask("subtitles", **task, target=str(tmp_path / "all"))
    shown = "SQL <{}.250>ist <{}.500>alt."
    assert (tmp_path / "all").read_text().split("\n\n")[1:] == [
        "00:00:00.000 --> 00:00:01.000\nGrüße,",
        f"00:00:01.000 --> 00:00:02.000\n{shown.format(*['00:00:01'] * 2)}\n",
    ]
    scribe.ask("subtitles", **task, target=str(tmp_path / "end"), start=_RATE_HZ, end=2 * _RATE_HZ)
    assert shown.format(*["00:00:00"] * 2) in (tmp_path / "end").read_text()


@pytest.mark.parametrize("lost", ["plan", "text", "timeline"])
def test_subtitles_of_a_damaged_job(scribe: RunningScribe, tmp_path: Path, lost: str) -> None:
    folder = job_folder(tmp_path)
    if lost == "plan":
        (folder / "plan").write_bytes(b"no plan")
    else:
        (folder / lost).unlink()
    task: dict[str, Any] = {"task": 8, "folder": str(folder), "format": "vtt", "sample_rate_hz": _RATE_HZ}
    answer, _ = scribe.ask("subtitles", **task, target=str(tmp_path / "all"))
    if lost == "timeline":
        assert answer["cues"] == 0
    else:
        assert (answer["type"], answer["code"]) == ("failed", "storage-failed")


def test_a_book_with_all_that_is_known_of_it(scribe: RunningScribe, tmp_path: Path) -> None:
    (tmp_path / "cover").write_bytes(b"no picture")
    task = task_for(
        tmp_path,
        format="m4b",
        target_rate_hz=44_000,
        title="Ein Tag",
        author="A. Autorin",
        album="Tage",
        language="de-AT",
        comment="Spoken by voiced",
        cover=str(tmp_path / "cover"),
        folder=str(job_folder(tmp_path)),
        track=3,
        tracks=9,
        loudness_lufs=-19.0,
    )
    answer, _ = scribe.ask("finish", **task)
    assert answer == {
        "type": "finished",
        "task": 7,
        "bytes": (tmp_path / "out").stat().st_size,
        "samples": 2 * 44_100,
        "sample_rate_hz": 44_100,
        "notes": [
            "The cover was left out: it is no JPEG and no PNG.",
            "The sound is too short or too soft to be levelled; its loudness stays.",
        ],
    }
    with av.open(str(tmp_path / "out")) as container:
        found = container.metadata
        chapters = [(chapter["metadata"]["title"], chapter["start"]) for chapter in container.chapters()]
        assert container.streams.audio[0].language == "deu"
    assert (found["title"], found["artist"], found["album"]) == ("Ein Tag", "A. Autorin", "Tage")
    assert found["comment"] == "Spoken by voiced"
    assert found["track"] == "3/9"
    assert [title for title, _ in chapters] == ["Eins", "Zwei"]


@pytest.mark.parametrize(
    ("format_", "why"), [("flac", {"samples": 0}), ("m4b", {"loudness_lufs": 3.0}), ("mp5", {})]
)
def test_what_cannot_be_made_is_refused(
    scribe: RunningScribe, tmp_path: Path, format_: str, why: dict[str, Any]
) -> None:
    answer, _ = scribe.ask("finish", **task_for(tmp_path, format=format_, **why))
    assert (answer["type"], answer["code"]) == ("failed", "invalid-request")
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


@pytest.mark.parametrize("format_", ["opus", "m4b"])
def test_a_book_is_cancelled_while_it_is_measured_or_encoded(
    scribe: RunningScribe, tmp_path: Path, format_: str
) -> None:
    scribe.send("finish", **task_for(tmp_path, _LONG_S, format=format_, loudness_lufs=-19.0))
    assert scribe.receive()[0]["type"] == "progress"
    scribe.send("cancel", task=7)
    while (answer := scribe.receive()[0])["type"] == "progress":
        pass
    assert (answer["type"], answer["code"]) == ("failed", "job-cancelled")
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]
    answer, _ = scribe.ask("finish", **task_for(tmp_path, format=format_))
    assert answer["type"] == "finished"


def test_chapters_get_the_gain_of_the_whole_and_stay_as_even(scribe: RunningScribe, tmp_path: Path) -> None:
    loud, soft = (speech_like(3, level=level) for level in (0.05, 0.01))
    samples = len(loud) // 2
    task = task_for(tmp_path)
    Path(task["source"]).write_bytes(bytes(WAV_HEADER_BYTES) + loud + soft)
    whole = {name: task[name] for name in ("task", "source", "data_offset", "sample_rate_hz")}
    answer, _ = scribe.ask("level", **whole, samples=2 * samples, loudness_lufs=-20.0)
    assert (answer["type"], answer["notes"]) == ("finished", [])
    made = []
    for number in range(2):
        offset = WAV_HEADER_BYTES + number * len(loud)
        changes = {"data_offset": offset, "samples": samples, "target": str(tmp_path / f"{number}")}
        assert scribe.ask("finish", **task | changes | {"gain_db": answer["gain_db"]})[0]["notes"] == []
        made.append(soundfile.read(tmp_path / f"{number}", dtype="int16")[0].tobytes())
    assert measured_loudness(b"".join(made)) == pytest.approx(-20.0, abs=0.1)
    between = measured_loudness(made[0]) - measured_loudness(made[1])
    assert between == pytest.approx(measured_loudness(loud) - measured_loudness(soft), abs=0.1)
    assert between > 10


def measured_loudness(pcm: bytes) -> float:
    """Integrated, in LUFS."""
    return measured(pcm, _RATE_HZ).integrated_lufs


def test_measuring_can_be_cancelled_and_refused(scribe: RunningScribe, tmp_path: Path) -> None:
    task = task_for(tmp_path, _LONG_S)
    fields = {name: task[name] for name in ("task", "source", "data_offset", "samples", "sample_rate_hz")}
    refused, _ = scribe.ask("level", **fields, loudness_lufs=7.0)
    assert refused["code"] == "invalid-request"
    scribe.send("level", **fields, loudness_lufs=-20.0)
    assert scribe.receive()[0]["type"] == "progress"
    scribe.send("cancel", task=7)
    while (answer := scribe.receive()[0])["type"] == "progress":
        pass
    assert (answer["type"], answer["code"]) == ("failed", "job-cancelled")


def test_failures_are_answered_and_leave_no_file(scribe: RunningScribe, tmp_path: Path) -> None:
    short, _ = scribe.ask("finish", **task_for(tmp_path, samples=10 * _RATE_HZ))
    assert short["code"] == "storage-failed"
    missing, _ = scribe.ask("finish", **task_for(tmp_path, source=str(tmp_path / "none")))
    assert missing["code"] == "storage-failed"
    unknown, _ = scribe.ask("finish", **task_for(tmp_path, format="mp5"))
    assert unknown["code"] == "invalid-request"
    nowhere, _ = scribe.ask("finish", **task_for(tmp_path, target=str(tmp_path / "none" / "out")))
    assert nowhere["code"] == "storage-failed"
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_a_long_file_tells_its_progress_answers_and_can_be_cancelled(
    scribe: RunningScribe, tmp_path: Path
) -> None:
    task = task_for(tmp_path, _LONG_S, format="flac", target_rate_hz=48_000)
    scribe.send("finish", **task)
    answer, _ = scribe.receive()
    assert answer["type"] == "progress"
    assert answer["task"] == 7
    fraction = answer["fraction"]
    assert isinstance(fraction, float)
    assert 0 < fraction < 1
    scribe.send("ping", n=7)
    while (answer := scribe.receive()[0])["type"] == "progress":
        pass
    assert (answer["type"], answer["n"]) == ("pong", 7)
    scribe.send("cancel", task=8)
    scribe.send("cancel", task=7)
    while (answer := scribe.receive()[0])["type"] == "progress":
        pass
    assert (answer["type"], answer["code"]) == ("failed", "job-cancelled")
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_ping(scribe: RunningScribe) -> None:
    answer, _ = scribe.ask("ping", n=1)
    assert (answer["type"], answer["n"]) == ("pong", 1)
    rss_bytes = answer["rss_bytes"]
    assert isinstance(rss_bytes, int)
    assert 1 << 20 < rss_bytes < 100 << 20


def test_end(scribe: RunningScribe) -> None:
    scribe.send("end")
    assert scribe.process.wait(TIMEOUT_S) == 0


def test_it_goes_with_the_daemon(scribe: RunningScribe) -> None:
    scribe.hang_up()
    assert scribe.process.wait(TIMEOUT_S) == 0


def test_it_goes_with_the_daemon_in_the_middle_of_a_file(scribe: RunningScribe, tmp_path: Path) -> None:
    scribe.send("finish", **task_for(tmp_path, _LONG_S, format="flac", target_rate_hz=48_000))
    assert scribe.receive()[0]["type"] == "progress"
    scribe.hang_up()
    assert scribe.process.wait(TIMEOUT_S) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["spool"]


def test_sigterm_ends_it(scribe: RunningScribe) -> None:
    scribe.process.send_signal(signal.SIGTERM)
    assert scribe.process.wait(TIMEOUT_S) == -signal.SIGTERM
