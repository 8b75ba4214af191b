"""Which segments come next, and what a run counts."""

import pytest

from tests.daemon.jobs.made import make_plan, make_run
from voiced.jobs.run import Batch, Run, Spoken, batch_size_of
from voiced.models.catalogue import ESPEAK, TONE
from voiced.segments import Break
from voiced.timeline import Span
from voiced.workers.spawn import RunAs
from voiced_ipc.messages import JobState

RATE = 1000


def take(run: Run, slots: int) -> Batch | None:
    """The next batch, begun."""
    batch = run.next_batch(slots)
    if batch is not None:
        run.begin(batch)
    return batch


def test_batches_are_aligned_and_cover_the_plan() -> None:
    run, _ = make_run(140, "espeak")
    assert [take(run, 4) for _ in range(6)] == [
        Batch(0, 32),
        Batch(32, 64),
        Batch(64, 96),
        Batch(96, 128),
        Batch(128, 140),
        None,
    ]


def test_batches_are_aligned_after_an_odd_restart() -> None:
    run, _ = make_run(140, "espeak", done=35)
    assert [take(run, 8) for _ in range(4)] == [
        Batch(35, 64),
        Batch(64, 96),
        Batch(96, 128),
        Batch(128, 140),
    ]


@pytest.mark.parametrize(("segments", "size"), [(1, 1), (7, 1), (8, 2), (63, 15), (128, 32), (5000, 32)])
def test_a_short_file_is_divided_among_the_cores_too(segments: int, size: int) -> None:
    assert batch_size_of(make_plan(segments), ESPEAK, is_durable=True) == size
    assert batch_size_of(make_plan(segments), TONE, is_durable=True) == 1
    assert batch_size_of(make_plan(segments), ESPEAK, is_durable=False) == ESPEAK.stream_batch


def test_it_runs_ahead_of_the_first_gap_only_so_far() -> None:
    run, _ = make_run(50, "tone")
    taken = []
    while (batch := run.next_batch(2)) is not None:
        run.begin(batch)
        taken.append(batch)
    assert len(taken) == 2 + 2  # the slots, and two more
    speak(run.take_audio, run.take_spoken, 0)
    assert run.next_batch(2) == Batch(4, 5)


def test_a_failed_batch_comes_again_first_and_in_order() -> None:
    run, _ = make_run(10, "tone")
    assert None not in [take(run, 4) for _ in range(4)]
    run.land(Batch(2, 3), is_redone=True)
    run.land(Batch(0, 1), is_redone=True)
    assert [take(run, 4) for _ in range(3)] == [Batch(0, 1), Batch(2, 3), Batch(4, 5)]


def test_a_batch_that_nobody_begins_stays_the_next() -> None:
    run, _ = make_run(4, "tone")
    assert run.next_batch(1) == run.next_batch(1) == Batch(0, 1)
    assert [take(run, 1) for _ in range(2)] == [Batch(0, 1), Batch(1, 2)]


def test_nothing_comes_while_it_is_held() -> None:
    run, sink = make_run(4)
    run.is_paused = True
    assert run.next_batch(1) is None
    run.is_paused = False
    sink.is_behind = True
    assert run.next_batch(1) is None
    sink.is_behind = False
    assert run.next_batch(1) == Batch(0, 1)
    run.is_over = True
    assert run.next_batch(1) is None


def test_a_redone_batch_comes_though_the_reader_is_behind() -> None:
    # What was begun must end: others may wait for it inside the assembly.
    run, sink = make_run(4)
    batch = run.next_batch(1)
    assert batch is not None
    run.begin(batch)
    run.land(batch, is_redone=True)
    sink.is_behind = True
    assert run.next_batch(1) == batch


def speak(audio: object, spoken: object, index: int, samples: int = 5) -> None:
    assert callable(audio)
    assert callable(spoken)
    audio(index, bytes([index + 1]) * samples * 2, RunAs())
    spoken(index, Spoken(words=3, missed=1), RATE)


def test_it_marks_whole_batches_and_the_end() -> None:
    run, sink = make_run(66, "espeak", after=Break.NONE)
    for index in range(66):
        speak(run.take_audio, run.take_spoken, index)
    marked = [(mark.segments_done, mark.data_bytes) for mark in sink.marks]
    assert marked == [(16, 160), (32, 320), (48, 480), (64, 640), (66, 660)]
    assert sink.last == [False] * 4 + [True]
    assert sink.marks[-1].words_spoken == 66 * 3
    assert sink.marks[-1].words_missed == 66
    assert sink.marks[-1].sample_rate_hz == RATE
    assert sink.marks[-1].device == "cpu"
    assert run.is_spoken


def test_words_are_placed_with_their_segment() -> None:
    run, sink = make_run(2, "tone", after=Break.NONE)
    for index in (1, 0):
        run.take_audio(index, b"ab" * 3, RunAs())
        run.take_spoken(index, Spoken(1, 0, heard=bytes([index]) * 8), RATE)
    assert sink.spans == [(0, Span(0, 3), b"\0" * 8), (1, Span(3, 6), b"\1" * 8)]


def test_segments_that_come_late_count_once() -> None:
    run, sink = make_run(3, "tone", after=Break.NONE)
    for index in (2, 1):
        speak(run.take_audio, run.take_spoken, index)
    assert sink.marks == []
    speak(run.take_audio, run.take_spoken, 0)
    assert [mark.words_spoken for mark in sink.marks] == [3, 6, 9]
    assert bytes(sink.pcm) == b"\1" * 10 + b"\2" * 10 + b"\3" * 10


def test_a_batch_spoken_twice_is_heard_and_counted_once() -> None:
    run, sink = make_run(64, "espeak", after=Break.NONE)
    batch = run.next_batch(1)
    assert batch == Batch(0, 16)
    for end in (9, 16):
        run.begin(batch)
        for index in range(end):
            speak(run.take_audio, run.take_spoken, index)
        run.land(batch, is_redone=end < 16)
    assert len(sink.pcm) == 160
    assert run.progress.words_spoken == 48
    assert run.assembly.waiting_bytes == 0


def test_what_comes_after_the_end_is_dropped() -> None:
    run, sink = make_run(2)
    run.close()
    speak(run.take_audio, run.take_spoken, 0)
    assert sink.pcm == b""
    assert sink.is_closed
    assert run.progress.segments_done == 0


def test_work_is_counted_while_something_is_spoken() -> None:
    run, _ = make_run(2)
    assert run.work_s == 0.0
    run.begin(Batch(0, 1))
    run.begin(Batch(1, 2))
    run.land(Batch(0, 1), is_redone=False)
    first = run.work_s
    assert first > 0.0
    run.land(Batch(1, 2), is_redone=False)
    assert run.work_s == run.work_s >= first


def test_what_a_client_sees() -> None:
    run, _ = make_run(4, "tone", after=Break.NONE)
    run.begin(Batch(0, 1))
    assert run.info().eta_s is None
    speak(run.take_audio, run.take_spoken, 0, samples=RATE)
    info = run.info()
    assert (info.segments_done, info.segments, info.audio_s) == (1, 4, 1.0)
    assert info.eta_s is not None
    assert info.eta_s > 0
    assert info.first_audio_ms is not None
    assert info.rtf is not None
    run.job = run.job.moved(JobState.DONE)
    assert run.info().eta_s is None


def test_notes_are_told_once_and_are_bounded() -> None:
    run, _ = make_run(1)
    for number in range(30):
        run.note(f"note {number}")
        run.note("the same")
    assert len(run.progress.notes) == 20
    assert run.progress.notes.count("the same") == 1


def test_faults_are_counted_and_told() -> None:
    run, _ = make_run(4, "tone")
    told = (
        Spoken(1, 0),
        Spoken(1, 0, faults=("is silent", "repeats itself")),
        Spoken(1, 0, redone=("is clipped",)),
        Spoken(1, 0, faults=("is silent",), redone=("is silent",)),
    )
    for index, spoken in enumerate(told):
        run.take_audio(index, b"ab", RunAs())
        run.take_spoken(index, spoken, RATE)
    assert run.info().faulty_segments == 2
    assert run.progress.notes == (
        "segment 2 is silent and repeats itself",
        "segment 3 was spoken again: its first take is clipped",
        "segment 4 is silent, in a second take too",
    )
