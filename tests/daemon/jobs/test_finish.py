"""The finisher: whatever step a crash comes after, doing it again makes one file; what fails is told."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.daemon.audio.readers import wav_says
from tests.daemon.jobs.made import make_job
from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.jobs import publish
from voiced.jobs.cancel import Cancellable
from voiced.jobs.finish import Finisher
from voiced.jobs.job import Job
from voiced.jobs.schema import open_database
from voiced.jobs.spool import PartFile
from voiced.jobs.store import Store
from voiced.segments import Break, Plan, Segment, pack_plan
from voiced.timeline import Placed, Span, TimelineFile
from voiced.workers.link import Fields
from voiced_ipc.errors import InternalError, JobCancelled, StorageFailed
from voiced_ipc.messages import Chapters, JobState, Subtitles

PCM = b"ab" * 500


class Bench:
    """A finisher, its store and a job that is all spoken."""

    def __init__(self, store: Store, root: Path, file_format: str) -> None:
        self.store = store
        self.root = root
        self.encoded = 0
        self.asked: list[Fields] = []
        self.is_encoder_lost = False
        self.finisher = Finisher(store, self._encode, root / "spool", 0o640)
        self.job = make_job(
            JobState.RUNNING,
            part=str(root / "Audio/.voiced/x.part"),
            audio_folder=str(root / "Audio"),
            format=file_format,
        )
        self.job = self.job.moved(JobState.RUNNING, data_bytes=len(PCM), sample_rate_hz=1000)
        part = PartFile(Path(self.job.order.part), 0)
        part.writer(0, [PCM])()
        part.close()
        (root / "spool" / self.job.job_id).mkdir(parents=True)

    async def _encode(self, fields: Fields) -> Fields:
        self.encoded += 1
        if self.is_encoder_lost:
            raise InternalError("the encoder ended")
        self.asked.append(fields)
        if fields["type"] == "level":
            return {"type": "finished", "gain_db": -2.5, "notes": ["More would clip."]}
        if fields["type"] == "subtitles":
            Path(str(fields["target"])).write_text("WEBVTT")
            return {"type": "finished"}
        source = Path(str(fields["source"])).read_bytes()[WAV_HEADER_BYTES:]
        Path(str(fields["target"])).write_bytes(b"fLaC" + source)
        return {"type": "finished", "notes": ["The cover was left out."]}

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.root / "Audio"))
            for path in (self.root / "Audio").rglob("*")
            if path.is_file()
        )

    async def known(self) -> Job:
        job = await self.store.find(self.job.job_id)
        assert job is not None
        return job


def at_bench(tmp_path: Path, play: Callable[[Bench], Awaitable[None]], file_format: str = "wav") -> None:
    async def main() -> None:
        store = Store(open_database(tmp_path / "jobs.sqlite")[0])
        store.start(asyncio.get_running_loop())
        try:
            bench = Bench(store, tmp_path, file_format)
            await store.insert(bench.job)
            await play(bench)
        finally:
            await asyncio.to_thread(store.close)

    asyncio.run(main())


def test_a_wav_is_its_part_with_a_header(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        done = await bench.finisher.finish(bench.job, Cancellable())
        assert (done.state, done.progress.path) == (JobState.DONE, str(tmp_path / "Audio/book.wav"))
        assert await bench.known() == done._replace(number=1)
        data = (tmp_path / "Audio/book.wav").read_bytes()
        assert wav_says(data) == (1000, 1, len(PCM))
        assert data[WAV_HEADER_BYTES:] == PCM
        assert bench.files() == ["book.wav"]
        assert list((tmp_path / "spool").iterdir()) == []
        assert bench.encoded == 0

    at_bench(tmp_path, play)


def test_a_wav_beyond_4_gib_is_rf64(tmp_path: Path) -> None:
    data_bytes = 5 << 30

    async def play(bench: Bench) -> None:
        os.truncate(bench.job.order.part, WAV_HEADER_BYTES + data_bytes)  # sparse
        job = bench.job.moved(JobState.RUNNING, data_bytes=data_bytes)
        done = await bench.finisher.finish(job, Cancellable())
        with Path(done.progress.path).open("rb") as file:
            start = file.read(WAV_HEADER_BYTES)
        assert start[:4] == b"RF64"
        assert wav_says(start).data_bytes == data_bytes

    at_bench(tmp_path, play)


def test_another_format_is_encoded(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        done = await bench.finisher.finish(bench.job, Cancellable())
        assert done.progress.notes == ("The cover was left out.",)
        assert bench.files() == ["book.flac"]
        assert (tmp_path / "Audio/book.flac").read_bytes() == b"fLaC" + PCM

    at_bench(tmp_path, play, "flac")


@pytest.mark.parametrize("file_format", ["wav", "flac", "chapters"])
def test_a_crash_between_any_two_commits_is_made_good(tmp_path: Path, file_format: str) -> None:
    """Each commit of the first attempt is a place where the next one begins."""
    is_folder = file_format == "chapters"
    for place in range(6):
        ledger: list[Job] = []

        async def play(bench: Bench, place: int = place, ledger: list[Job] = ledger) -> None:
            update = bench.store.update
            commits = 0

            def counting(job: Job, before: Callable[[], object] | None = None) -> "asyncio.Future[None]":
                nonlocal commits
                if commits == place:
                    raise KeyboardInterrupt
                commits += 1
                return update(job, before)

            job = with_chapters(bench) if is_folder else bench.job
            job = job._replace(order=job.order._replace(subtitles=Subtitles.VTT))
            bench.store.update = counting  # type: ignore[method-assign]
            try:
                await bench.finisher.finish(job, Cancellable())
            except KeyboardInterrupt:
                bench.store.update = update  # type: ignore[method-assign]
                await bench.finisher.finish((await bench.known())._replace(order=job.order), Cancellable())
            names = [f"01 Part 0.{kind}" for kind in ("flac", "vtt")]
            names += [f"02 Part 1.{kind}" for kind in ("flac", "vtt")]
            expected = (
                [f"book/{name}" for name in names] if is_folder else [f"book.{file_format}", "book.vtt"]
            )
            assert bench.files() == sorted(expected)
            ledger.append(await bench.known())

        root = tmp_path / str(place)
        root.mkdir()
        at_bench(root, play, "flac" if is_folder else file_format)
        assert ledger[0].state is JobState.DONE


def with_chapters(bench: Bench, count: int = 2) -> Job:
    """Give the job chapters, in a folder of files."""
    folder = bench.root / "spool" / bench.job.job_id
    segments = tuple(Segment(i, i + 1, i, i + 1, "en", Break.SENTENCE, i) for i in range(count))
    (folder / "plan").write_bytes(
        pack_plan(Plan(count, "en", segments, tuple(f"Part {n}" for n in range(count))))
    )
    timeline = TimelineFile(folder, 0)
    timeline.writer(0, [Placed(Span(i * 100, i * 100 + 90)) for i in range(count)])()
    timeline.close()
    return bench.job._replace(order=bench.job.order._replace(chapters=Chapters.FOLDER, format="flac"))


def test_a_folder_of_chapters_appears_whole(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        done = await bench.finisher.finish(with_chapters(bench), Cancellable())
        assert done.progress.path == str(tmp_path / "Audio/book")
        assert bench.files() == ["book/01 Part 0.flac", "book/02 Part 1.flac"]
        assert (tmp_path / "Audio/book").stat().st_mode & 0o777 == 0o750
        assert [path.name for path in (tmp_path / "Audio/.voiced").iterdir()] == []

    at_bench(tmp_path, play)


def test_chapters_are_measured_together(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        job = with_chapters(bench)
        job = job._replace(order=job.order._replace(loudness_lufs=-20.0))
        done = await bench.finisher.finish(job, Cancellable())
        measured, *made = bench.asked
        assert (measured["type"], measured["loudness_lufs"]) == ("level", -20.0)
        assert measured["samples"] == len(PCM) // 2
        assert [(one["loudness_lufs"], one["gain_db"]) for one in made] == [(None, -2.5)] * 2
        assert "More would clip." in done.progress.notes

    at_bench(tmp_path, play)


def test_a_cancelled_job_is_not_named_and_nothing_of_it_is_made_any_more(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        work = Cancellable()
        encode = bench.finisher._encode

        async def cancel_then_encode(fields: Fields) -> Fields:
            work.cancel()
            await asyncio.sleep(0)
            return await encode(fields)

        bench.finisher._encode = cancel_then_encode
        with pytest.raises(JobCancelled):
            await bench.finisher.finish(with_chapters(bench), work)
        assert bench.encoded == 0
        assert (await bench.known()).state is JobState.FINISHING
        assert (await bench.known()).progress.path == ""

    at_bench(tmp_path, play)


def test_what_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[str] = []

    async def play(bench: Bench) -> None:
        bench.finisher.on_left = lambda job: left.append(job.job_id)
        unlink = Path.unlink

        def refuse(path: Path, *, missing_ok: bool = False) -> None:
            if path.suffix == ".part":
                raise OSError(errno.EROFS, "read-only for a moment")
            unlink(path, missing_ok=missing_ok)

        with monkeypatch.context() as broken:
            broken.setattr(Path, "unlink", refuse)
            done = await bench.finisher.finish(bench.job, Cancellable())
        assert (done.state, left) == (JobState.DONE, [done.job_id])
        assert Path(bench.job.order.part).exists()

    at_bench(tmp_path, play, "flac")


def test_a_folder_of_that_name_is_left_alone(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        (tmp_path / "Audio/book").mkdir()
        done = await bench.finisher.finish(with_chapters(bench), Cancellable())
        assert done.progress.path == str(tmp_path / "Audio/book (2)")
        assert list((tmp_path / "Audio/book").iterdir()) == []

    at_bench(tmp_path, play)


def test_a_damaged_plan_is_told_and_keeps_everything(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        job = with_chapters(bench)
        (tmp_path / "spool" / job.job_id / "plan").write_bytes(b"no plan")
        with pytest.raises(StorageFailed, match="hand the text in again"):
            await bench.finisher.finish(job, Cancellable())
        assert Path(job.order.part).exists()

    at_bench(tmp_path, play)


def test_subtitles_get_the_name_of_the_audio(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        (tmp_path / "Audio/book.vtt").write_text("somebody's")
        job = bench.job._replace(order=bench.job.order._replace(subtitles=Subtitles.VTT))
        await bench.finisher.finish(job, Cancellable())
        assert bench.files() == ["book (2).vtt", "book (2).wav", "book.vtt"]

    at_bench(tmp_path, play)


def test_a_name_that_is_taken_after_it_was_committed(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        job = bench.job.moved(JobState.FINISHING, path=str(tmp_path / "Audio/book.wav"))
        Path(job.progress.path).write_text("another")
        done = await bench.finisher.finish(job, Cancellable())
        assert Path(done.progress.path).name == "book (2).wav"
        assert bench.files() == ["book (2).wav", "book.wav"]

    at_bench(tmp_path, play)


def test_an_encoder_that_fails_keeps_everything(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.is_encoder_lost = True
        with pytest.raises(InternalError):
            await bench.finisher.finish(bench.job, Cancellable())
        assert Path(bench.job.order.part).exists()
        assert (await bench.known()).state is JobState.FINISHING

    at_bench(tmp_path, play, "flac")


@pytest.mark.parametrize("what", ["folder", "part"])
def test_a_disk_that_refuses_is_an_error_of_ours_and_keeps_everything(tmp_path: Path, what: str) -> None:
    async def play(bench: Bench) -> None:
        job = bench.job
        if what == "folder":  # somebody made a file where the audio folder was
            (tmp_path / "blocked").write_text("")
            job = job._replace(order=job.order._replace(audio_folder=str(tmp_path / "blocked")))
        else:
            Path(job.order.part).unlink()
        with pytest.raises(StorageFailed, match="cannot be made"):
            await bench.finisher.finish(job, Cancellable())
        assert what == "part" or publish.finished_file(job).exists()

    at_bench(tmp_path, play)
