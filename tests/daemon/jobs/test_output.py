"""What the scribe is asked to make of a job."""

from pathlib import Path
from typing import Any

from tests.daemon.jobs.made import make_job
from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.chapters import ChapterMark
from voiced.jobs.job import Job
from voiced.jobs.output import by_chapter, file_name, whole
from voiced_ipc.messages import Chapters, JobState, Subtitles

FOLDER = Path("/spool/job")
MARKS = (ChapterMark("The Beginning", 0), ChapterMark("The/End", 600))


def job(**order: Any) -> Job:
    made = make_job(JobState.FINISHING, part="/audio/.voiced/x.part", audio_folder="/audio", **order)
    return made.moved(JobState.FINISHING, data_bytes=2000, sample_rate_hz=1000)


def test_a_wav_needs_no_encoder_and_its_subtitles_stand_beside_it() -> None:
    assert list(whole(job(), FOLDER)) == []
    (asked,) = whole(job(subtitles=Subtitles.VTT), FOLDER)
    assert asked["type"] == "subtitles"
    assert asked["target"] == "/audio/.voiced/x.part.vtt"


def test_one_file_is_told_what_the_document_says() -> None:
    (asked,) = whole(job(format="m4b", title="Emma", author="Jane Austen", cover="cover.png"), FOLDER)
    assert (asked["type"], asked["title"], asked["author"]) == ("finish", "Emma", "Jane Austen")
    assert asked["cover"] == str(FOLDER / "cover.png")
    assert asked["folder"] == str(FOLDER)
    (plain,) = whole(job(format="flac"), FOLDER)
    assert (plain["title"], plain["cover"]) == ("book", "")


def test_each_chapter_is_a_file() -> None:
    asked = list(by_chapter(job(format="mp3", title="Emma", chapters=Chapters.FOLDER), FOLDER, MARKS))
    assert [Path(str(one["target"])).name for one in asked] == ["01 The Beginning.mp3", "02 The End.mp3"]
    assert [(one["data_offset"], one["samples"]) for one in asked] == [
        (WAV_HEADER_BYTES, 600),
        (WAV_HEADER_BYTES + 1200, 400),
    ]
    assert [(one["title"], one["album"], one["track"], one["tracks"]) for one in asked] == [
        ("The Beginning", "Emma", 1, 2),
        ("The/End", "Emma", 2, 2),
    ]


def test_each_chapter_has_its_subtitles() -> None:
    asked = list(by_chapter(job(chapters=Chapters.FOLDER, subtitles=Subtitles.SRT), FOLDER, MARKS))
    assert [one["type"] for one in asked] == ["finish", "subtitles"] * 2
    assert [(one["start"], one["end"]) for one in asked[1::2]] == [(0, 600), (600, 1000)]
    assert str(asked[3]["target"]).endswith("02 The End.srt")


def test_names_fit_any_file_system() -> None:
    assert file_name(1, 9, "") == "01"
    assert file_name(7, 120, "A: B?") == "007 A B"
    assert file_name(1, 2, "x" * 500) == "01 " + "x" * 80
    assert file_name(1, 2, "..") == "01"


def test_a_text_without_chapters_is_one_file() -> None:
    (asked,) = by_chapter(job(title="Emma", chapters=Chapters.FOLDER), FOLDER, ())
    assert (asked["samples"], asked["title"], asked["tracks"]) == (1000, "Emma 1", 1)
