"""What an earlier end left behind is put in order."""

import os
import time
from pathlib import Path

from voiced.jobs.intake import SOURCE
from voiced.jobs.spool import PARTS_FOLDER
from voiced.jobs.sweep import keep_spool, sweep
from voiced.paths import Paths, find_paths


def folders(tmp_path: Path) -> Paths:
    paths = find_paths({"VOICED_ROOT": str(tmp_path)})
    for folder in (paths.spool, paths.incoming, tmp_path / "Audio" / PARTS_FOLDER):
        folder.mkdir(parents=True)
    return paths


def test_only_what_belongs_to_a_job_stays(tmp_path: Path) -> None:
    paths = folders(tmp_path)
    for job_id in ("kept", "lost"):
        (paths.spool / job_id).mkdir()
        (paths.spool / job_id / "text").write_text("text")
        (paths.spool / job_id / SOURCE).write_text(job_id)
        for ending in (".part", ".part.flac"):
            (tmp_path / "Audio" / PARTS_FOLDER / f"{job_id}{ending}").touch()
    for _ in range(2):
        sweep(paths, tmp_path / "Audio", {"kept"})
        assert [folder.name for folder in paths.spool.iterdir()] == ["kept"]
        assert {part.name for part in (tmp_path / "Audio" / PARTS_FOLDER).iterdir()} == {
            "kept.part",
            "kept.part.flac",
        }
        assert (paths.incoming / "lost").read_text() == "lost"
        assert (paths.spool / "kept" / "text").exists()


def test_texts_whose_jobs_are_not_known_any_more_are_kept(tmp_path: Path) -> None:
    paths = folders(tmp_path)
    assert keep_spool(paths) == ""
    for number in (1, 2):
        (paths.spool / "job").mkdir()
        (paths.spool / "job" / "text").write_text(str(number))
        aside = paths.spool.with_name(f"spool.kept-{number}")
        assert str(aside) in keep_spool(paths)
        assert (aside / "job" / "text").read_text() == str(number)
        assert list(paths.spool.iterdir()) == []


def test_documents_that_nobody_asked_for_go_after_a_day(tmp_path: Path) -> None:
    paths = folders(tmp_path)
    for name, age_s in (("old", 25 * 3600), ("young", 3600)):
        (paths.incoming / name).touch()
        then = time.time() - age_s
        os.utime(paths.incoming / name, (then, then))
    sweep(paths, tmp_path / "Audio", set())
    assert [file.name for file in paths.incoming.iterdir()] == ["young"]


def test_a_document_from_the_future_ages_from_now_on(tmp_path: Path) -> None:
    """It came while the clock was ahead; else it would lie here for years."""
    paths = folders(tmp_path)
    document, now_s = paths.incoming / "future", time.time()
    document.touch()
    os.utime(document, (now_s + 1e8, now_s + 1e8))
    sweep(paths, tmp_path / "Audio", set())
    assert abs(document.stat().st_mtime - now_s) < 60


def test_a_document_that_is_given_back_outlasts_the_start(tmp_path: Path) -> None:
    """Whatever the clock says of its age: who handed it in may just now be asking again."""
    paths = folders(tmp_path)
    (paths.spool / "lost").mkdir()
    source = paths.spool / "lost" / SOURCE
    source.write_text("text")
    os.utime(source, (0, 0))
    sweep(paths, tmp_path / "Audio", set())
    assert (paths.incoming / "lost").read_text() == "text"
    sweep(paths, tmp_path / "Audio", set())
    assert not (paths.incoming / "lost").exists()


def test_folders_that_are_not_there_are_no_error(tmp_path: Path) -> None:
    sweep(find_paths({"VOICED_ROOT": str(tmp_path)}), tmp_path / "Audio", set())
