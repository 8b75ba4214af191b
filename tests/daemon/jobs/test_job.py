"""Orders and progress as JSON, digests, seeds, ranks."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.jobs.made import make_job, make_order
from voiced.jobs.job import (
    Progress,
    Speech,
    digest_of,
    dump_order,
    dump_progress,
    load_order,
    load_progress,
    segment_seed,
)
from voiced.jobs.run import describe_job
from voiced_ipc import codec
from voiced_ipc import messages as m
from voiced_ipc.messages import Lane, Output, Subtitles

# A file name may be any bytes: what is no UTF-8 comes as surrogates.
NAMES = st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
REQUEST = m.Synthesize(request_id="a" * 22, model="tone", voice="v")


@given(name=NAMES, relative=NAMES, lane=st.sampled_from(list(Lane)), keep=st.none() | st.floats(-1, 100))
def test_an_order_comes_back(name: str, relative: str, lane: Lane, keep: float | None) -> None:
    speech = Speech("m", "v", 0.5, 1.5, 2.0, 2**32 - 1, "cpu", keep)
    order = make_order(
        name=name,
        relative=relative,
        claim=name,
        lane=lane,
        speech=speech,
        output=Output.STREAM,
        subtitles=Subtitles.SRT,
        sidecars=(name, "b"),
    )
    assert load_order(dump_order(order)) == order
    assert dump_order(order).isascii()


@given(source=NAMES, notes=st.lists(NAMES, max_size=3), first=st.none() | st.floats(0, 1e6))
def test_progress_comes_back(source: str, notes: list[str], first: float | None) -> None:
    progress = Progress(
        segments_done=3,
        data_bytes=2**40,
        sample_rate_hz=22050,
        device="cpu",
        work_s=0.25,
        first_audio_ms=first,
        source=source,
        path=source,
        error=source,
        notes=tuple(notes),
    )
    assert load_progress(dump_progress(progress)) == progress


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"speech": 1}', '{"speech": {"x": 1}}'])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        load_order(text)


@given(name=NAMES)
def test_a_job_of_any_name_can_be_told(name: str) -> None:
    reply = m.JobReply(request_id="x", job=describe_job(make_job(relative=name)))
    frames = [bytes(frame) for frame in codec.encode(reply)]
    told, _ = codec.decode_reply(frames)
    assert isinstance(told, m.JobReply)
    told.job.name.encode()


def test_an_order_of_before_there_were_sidecars_comes_back() -> None:
    order = make_order()
    fields = json.loads(dump_order(order))
    del fields["sidecars"]
    assert load_order(json.dumps(fields)) == order


def test_the_digest_is_over_everything_but_the_credit() -> None:
    digest = digest_of(REQUEST, b"text")
    assert digest == digest_of(REQUEST, b"text")
    again = m.Synthesize(request_id="a" * 22, model="tone", voice="v", credit_bytes=7)
    assert digest == digest_of(again, b"text")
    assert digest != digest_of(REQUEST, b"texts")
    for other in (
        m.Synthesize(request_id="a" * 22, model="tone", voice="w"),
        m.Synthesize(request_id="a" * 22, model="tonev", voice=""),
        m.Synthesize(request_id="a" * 22, model="tone", voice="v", seed=0),
        m.Synthesize(request_id="a" * 22, model="tone", voice="v", lane=Lane.BATCH),
    ):
        assert digest_of(other, b"text") != digest


def test_every_segment_has_its_own_seed() -> None:
    seeds = {segment_seed(seed, index) for seed in range(20) for index in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert segment_seed(7, 3) == segment_seed(7, 3)


def test_jobs_rank_by_lane_then_by_arrival() -> None:
    jobs = [
        make_job(number=3, lane=Lane.INTERACTIVE),
        make_job(number=1, lane=Lane.NORMAL),
        make_job(number=2, lane=Lane.NORMAL),
        make_job(number=0, lane=Lane.BATCH),
    ]
    mixed = jobs[::-1]
    assert sorted(mixed, key=lambda job: job.rank) == jobs


def test_seconds_of_audio_need_a_rate() -> None:
    job = make_job()
    assert job.audio_s == 0.0
    assert job.moved(job.state, data_bytes=4000, sample_rate_hz=1000).audio_s == 2.0
