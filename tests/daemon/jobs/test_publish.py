"""The last step: every function twice, with and without the one before, and nothing is lost or doubled."""

import os
from pathlib import Path

import pytest

from tests.daemon.jobs.made import make_job
from voiced.drop.claim import claim_file
from voiced.jobs import publish
from voiced.jobs.job import Job
from voiced_ipc.messages import JobState

AUDIO = b"RIFF the audio"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job of a dropped text whose audio stands in its part."""
    drop = tmp_path / "Drop"
    (drop / "sub").mkdir(parents=True)
    (drop / "sub" / "book.txt").write_text("the text")
    claim = claim_file(drop, Path("sub/book.txt"))
    part = tmp_path / "Audio" / ".voiced" / f"{claim.job_id}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(AUDIO)
    made = make_job(
        JobState.FINISHING,
        job_id=claim.job_id,
        part=str(part),
        audio_folder=str(tmp_path / "Audio" / "sub"),
        relative="sub/book.txt",
        claim=str(claim.path),
        done_folder=str(tmp_path / "Done"),
        failed_folder=str(tmp_path / "Failed"),
    )
    return made.moved(JobState.FINISHING, sample_rate_hz=1000)


def files(folder: Path) -> dict[str, str]:
    """All files below a folder that a user sees."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and ".voiced" not in path.parts
    }


def test_a_job_is_published_once_however_often_it_is_done(job: Job, tmp_path: Path) -> None:
    for _ in range(3):
        path = publish.choose_path(job) if not job.progress.path else Path(job.progress.path)
        job = job.moved(JobState.FINISHING, path=str(path))
        publish.publish(publish.finished_file(job), path, 0o640)
        publish.put_away_source(job)
    assert files(tmp_path) == {"Audio/sub/book.wav": AUDIO.decode(), "Done/sub/book.txt": "the text"}
    assert (tmp_path / "Audio/sub/book.wav").stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "Drop/.voiced" / job.job_id).exists()


def test_a_name_that_is_taken_gets_a_number(job: Job, tmp_path: Path) -> None:
    (tmp_path / "Audio/sub").mkdir()
    (tmp_path / "Audio/sub/book.wav").write_text("another")
    (tmp_path / "Audio/sub/book (2).wav").symlink_to("nowhere")
    assert publish.choose_path(job).name == "book (3).wav"


def test_another_file_that_takes_the_committed_name_is_never_replaced(job: Job) -> None:
    path = publish.choose_path(job)
    path.write_text("another")
    with pytest.raises(FileExistsError):
        publish.publish(publish.finished_file(job), path, 0o600)
    assert path.read_text() == "another"
    second = publish.choose_path(job)
    publish.publish(publish.finished_file(job), second, 0o600)
    assert second.read_bytes() == AUDIO


def test_a_rename_cut_short_between_link_and_unlink_is_ended(job: Job) -> None:
    path, part = publish.choose_path(job), Path(job.order.part)
    os.link(part, path)
    publish.publish(part, path, 0o600)
    assert not part.exists()
    assert path.read_bytes() == AUDIO


def test_the_part_is_the_output_only_for_wav_at_the_engines_rate(job: Job) -> None:
    assert publish.finished_file(job) == Path(job.order.part)
    same = job._replace(order=job.order._replace(sample_rate_hz=1000))
    other = job._replace(order=job.order._replace(sample_rate_hz=8000))
    flac = job._replace(order=job.order._replace(format="flac"))
    assert publish.is_part_the_output(same)
    for encoded in (other, flac):
        assert publish.finished_file(encoded) == publish.encoded_file(encoded) != Path(job.order.part)
    assert publish.encoded_file(flac).suffix == ".flac"


def test_sidecars_follow_their_text_to_done_by_way_of_failed(job: Job, tmp_path: Path) -> None:
    claim = Path(job.order.claim)
    for name in ("book.txt.voiced.toml", "book.voiced.toml"):
        claim.with_name(name).write_text(name)
    source = publish.set_source_aside(job, "A fault.")
    assert {name for name in files(tmp_path / "Failed") if "error" not in name} == {
        "sub/book.txt",
        "sub/book.txt.voiced.toml",
        "sub/book.voiced.toml",
    }
    publish.put_away_source(job.moved(JobState.DONE, source=source))
    assert files(tmp_path / "Failed") == {}
    assert files(tmp_path / "Done") == {
        "sub/book.txt": "the text",
        "sub/book.txt.voiced.toml": "book.txt.voiced.toml",
        "sub/book.voiced.toml": "book.voiced.toml",
    }
    assert not (tmp_path / "Drop/.voiced" / job.job_id).exists()


def test_a_failed_job_hands_its_source_back_with_the_reason(job: Job, tmp_path: Path) -> None:
    for _ in range(2):
        source = publish.set_source_aside(job, "It hurts.")
        job = job.moved(JobState.FAILED, source=source)
    found = files(tmp_path)
    assert sorted(found) == ["Failed/sub/book.txt", "Failed/sub/book.txt.error.txt"]
    assert "It hurts." in found["Failed/sub/book.txt.error.txt"]
    assert source == str(tmp_path / "Failed/sub/book.txt")


def test_a_retry_that_ends_well_takes_the_source_and_its_reason_from_failed(job: Job, tmp_path: Path) -> None:
    job = job.moved(JobState.FAILED, source=publish.set_source_aside(job, "It hurts."))
    for _ in range(2):
        publish.put_away_source(job)
    assert files(tmp_path) == {"Done/sub/book.txt": "the text"}


def test_a_source_that_is_gone_is_no_error(job: Job) -> None:
    Path(job.order.claim).unlink()
    assert publish.put_away_source(job) == ""
    assert publish.set_source_aside(job, "why") == ""


def test_a_job_without_a_source_has_nothing_to_put_away(job: Job) -> None:
    job = job._replace(order=job.order._replace(claim="", relative=""))
    assert publish.put_away_source(job) == publish.set_source_aside(job, "why") == ""


def test_what_was_written_is_removed_and_may_be_gone(job: Job) -> None:
    publish.encoded_file(job).write_text("x")
    for _ in range(2):
        assert publish.remove_part(job)
    assert not list(Path(job.order.part).parent.iterdir())


@pytest.mark.parametrize(
    ("name", "made"), [("a.tar.gz", "a.tar.wav"), (".txt", ".txt.wav"), ("no dot", "no dot.wav")]
)
def test_names(job: Job, name: str, made: str) -> None:
    assert publish.choose_path(job._replace(order=job.order._replace(name=name))).name == made
