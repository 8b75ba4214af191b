"""Streams of the real daemon: what a program hears, and what it is told."""

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from tests.daemon.text.languages import PARAGRAPHS
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import (
    InvalidRequest,
    JobCancelled,
    JobNotFound,
    NotServed,
    UnknownLanguage,
    UnknownModel,
    UnknownVoice,
)

TEXT = "The first sentence is here. The second one follows it, with a comma.\n\nAnd a paragraph."


@pytest.fixture
def client(shared_daemon: DaemonProcess) -> Iterator[Client]:
    with shared_daemon.client() as made:
        yield made


def test_speech_is_repeatable_and_complete(client: Client) -> None:
    first, accepted = client.synthesize(TEXT)
    assert accepted.sample_rate_hz == 22050
    assert accepted.channels == 1
    assert accepted.chars == len(TEXT)
    assert len(first) / 2 / 22050 == pytest.approx(7.0, abs=2.5)
    for _ in range(5):
        assert client.synthesize(TEXT)[0] == first


def test_the_end_counts_the_samples_and_the_words(client: Client) -> None:
    with client.speak(TEXT) as stream:
        audio = b"".join(stream)
        assert stream.done is not None
        assert stream.done.samples == len(audio) // 2
        job = stream.done.job
    assert job.state is m.JobState.DONE
    assert job.segments_done == job.segments
    assert job.words_spoken == len(TEXT.split())
    assert job.words_missed == 0
    assert job.first_audio_ms is not None
    assert 0 < job.first_audio_ms < 1000


def test_speed_and_voice_are_honoured(client: Client) -> None:
    normal = len(client.synthesize(TEXT)[0])
    assert len(client.synthesize(TEXT, speed=2.0)[0]) < 0.65 * normal
    assert client.synthesize(TEXT, voice="de")[0] != client.synthesize(TEXT, voice="fr")[0]
    assert client.synthesize(TEXT, voice="de")[1].language.startswith("de")


def test_the_language_is_found_out(client: Client) -> None:
    text = "Die Würde des Menschen ist unantastbar. Sie zu achten ist Verpflichtung aller staatlichen Gewalt."
    audio, accepted = client.synthesize(text)
    assert accepted.language == "de"
    assert audio == client.synthesize(text, language="de")[0]
    assert audio != client.synthesize(text, language="en")[0]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"voice": "nobody"}, UnknownVoice),
        ({"language": "tlh-x"}, UnknownLanguage),
        ({"model": "gpt"}, UnknownModel),
        ({"incoming": "x"}, InvalidRequest),
        ({"subtitles": m.Subtitles.VTT}, InvalidRequest),
        ({"sample_rate_hz": 8000}, InvalidRequest),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    client: Client, options: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        client.synthesize("hello", **options)


@pytest.mark.parametrize("text", ["", "   \n ", "a\0b"])
def test_no_text_is_refused(client: Client, text: str) -> None:
    with pytest.raises(InvalidRequest):
        client.synthesize(text)


def test_punctuation_alone_is_silence_and_no_failure(client: Client) -> None:
    audio, _ = client.synthesize("... !!! ---")
    assert len(audio) < 22050


def test_a_device_that_the_model_cannot_use_is_told(client: Client) -> None:
    _, accepted = client.synthesize("hello", device="cuda:0")
    assert accepted.device == "cpu"
    assert "CPU only" in accepted.notes[0]
    assert client.synthesize("hello")[1].notes == []
    with pytest.raises(InvalidRequest, match="toaster"):
        client.synthesize("hello", device="toaster")


def test_truncation_happens_only_when_asked_for_and_tells_all(client: Client) -> None:
    text = "word " * 2000
    assert client.synthesize(text)[1].is_truncated is False
    accepted = client.synthesize(text, on_long_text=m.OnLongText.TRUNCATE)[1]
    assert accepted.is_truncated is True
    assert accepted.original_chars == len(text)
    assert accepted.max_text_chars * 0.8 <= accepted.chars <= accepted.max_text_chars
    assert accepted.tier == client.status().system_info.tier


def test_a_reader_gets_no_more_than_it_granted(shared_daemon: DaemonProcess) -> None:
    granted = 20_000
    with shared_daemon.client(timeout_s=2.0) as client:
        request = m.Synthesize(request_id=m.new_id(), credit_bytes=granted)
        socket = client._send(request, (TEXT * 20).encode())
        got, deadline = 0, time.monotonic() + 1.0
        while time.monotonic() < deadline:
            reply, payload = client.receive(socket, request.request_id, 2.0)
            got += len(payload)
            assert not isinstance(reply, m.Done)
        assert got == granted
        grant = m.Credit(request_id=m.new_id(), job_id=request.request_id, credit_bytes=granted)
        client.transmit(socket, grant)
        wait_for(
            lambda: len(client.receive(socket, request.request_id, 2.0)[1]) > 0,
            2.0,
            "audio after more credit",
        )


def test_progress_comes_while_the_reader_waits(shared_daemon: DaemonProcess) -> None:
    with shared_daemon.client(timeout_s=2.0) as client:
        request = m.Synthesize(request_id=m.new_id(), credit_bytes=1000)
        socket = client._send(request, (TEXT * 20).encode())
        seen = [time.monotonic()]
        while len(seen) < 5:
            reply, _ = client.receive(socket, request.request_id, 2.0)
            if isinstance(reply, m.Progress):
                seen.append(time.monotonic())
        assert max(b - a for a, b in itertools.pairwise(seen)) < 0.6


def test_leaving_a_stream_cancels_it(shared_daemon: DaemonProcess) -> None:
    with shared_daemon.client() as client, shared_daemon.client() as other:
        with client.speak(TEXT * 500) as stream:
            next(iter(stream))
            job_id = stream.accepted.job_id
            assert job_id in [job.job_id for job in other.status().jobs]
        wait_for(lambda: job_id not in [job.job_id for job in other.status().jobs], 0.5, "the cancel")
        with pytest.raises(JobNotFound):
            other.job(job_id)


def test_anybody_may_cancel_and_the_reader_is_told(shared_daemon: DaemonProcess) -> None:
    with (
        shared_daemon.client() as client,
        shared_daemon.client() as other,
        client.speak(TEXT * 500) as stream,
    ):
        chunks = iter(stream)
        next(chunks)
        began = time.monotonic()
        assert other.cancel(stream.accepted.job_id) == "cancelled"
        with pytest.raises(JobCancelled):
            for _ in chunks:
                pass
        assert time.monotonic() - began < 0.5


def test_a_client_that_vanishes_frees_the_worker(shared_daemon: DaemonProcess) -> None:
    client = shared_daemon.client()
    stream = client.speak(TEXT * 500)
    next(iter(stream))
    job_id = stream.accepted.job_id
    client.close()
    with shared_daemon.client() as other:
        wait_for(
            lambda: job_id not in [job.job_id for job in other.status().jobs], 2.0, "the end of the stream"
        )


def test_many_at_once_are_all_served(shared_daemon: DaemonProcess) -> None:
    texts = [f"This is text number {i}, spoken for reader {i}." for i in range(24)]
    with shared_daemon.client() as client:
        expected = [client.synthesize(text)[0] for text in texts]
    heard: dict[int, bytes] = {}

    def read(i: int) -> None:
        with shared_daemon.client() as own:
            heard[i] = own.synthesize(texts[i])[0]

    threads = [threading.Thread(target=read, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [heard[i] for i in range(len(texts))] == expected


def test_a_load_elsewhere_than_asked_for_says_so(client: Client) -> None:
    said = client.control(m.LoadModel(request_id=m.new_id(), model="tone", device="cuda:0")).message
    assert "tone is loaded" in said
    assert "not on cuda:0" in said
    workers = {model.model: model.workers for model in client.models()}
    client.control(m.LoadModel(request_id=m.new_id(), model="tone"))
    assert {model.model: model.workers for model in client.models()} == workers


def test_a_model_that_cannot_be_preloaded_is_a_problem_and_no_more(home: Home) -> None:
    with running_daemon(home, "--set", "preload=nonsense tone") as daemon, daemon.client() as client:
        status = client.status()
        assert any("'nonsense'" in problem and "models --all" in problem for problem in status.problems)
        assert status.status is m.Health.DEGRADED
        assert client.synthesize("Hello.", model="tone", language="en")[0]


@pytest.mark.parametrize("language", PARAGRAPHS)
def test_each_language_is_found_out_and_spoken_whole(shared_daemon: DaemonProcess, language: str) -> None:
    text = "".join(PARAGRAPHS[language])
    with shared_daemon.client() as client:
        accepted = client.submit_text(text, name=f"{language}.txt")
    assert accepted.language.partition("-")[0] == language
    job = shared_daemon.wait_job(accepted.job_id, m.JobState.DONE)
    assert (job.chars, job.segments) == (len(text), accepted.segments)
    assert job.audio_s > len(text) / 40
    assert job.words_missed == 0


def test_tips_are_of_this_machine(client: Client) -> None:
    topics = {tip.topic for tip in client.tips()}
    assert topics == {"voices", "text", "emotion", "speed", "machine"}


def test_a_text_is_measured_before_it_is_spoken(client: Client) -> None:
    found = client.estimate_memory("tone", chars=100)
    assert (found.model, found.device, found.is_safe) == ("tone", "cpu", True)
    assert 0 < found.estimate_bytes < found.available_bytes
    assert found.recommendation == "it fits"
    assert client.estimate_memory("tone", chars=10**7).estimate_bytes < 10**9


@pytest.mark.parametrize(
    "request_",
    [
        m.GetMetrics(request_id=m.new_id()),
        m.OptimizeForHardware(request_id=m.new_id()),
    ],
    ids=lambda request: m.tag_of(type(request)),
)
def test_verbs_that_are_not_served_say_so(client: Client, request_: m.Request) -> None:
    with pytest.raises(NotServed, match=m.tag_of(type(request_))):
        client.control(request_)


def test_each_verb_belongs_to_its_socket(client: Client) -> None:
    socket = client._send(m.GetStatus(request_id=m.new_id()))
    request = m.Pause(request_id=m.new_id())
    client._open[request.request_id] = []
    client.transmit(socket, request)
    with pytest.raises(NotServed, match=r"belongs to control\.sock"):
        client.receive(socket, request.request_id, 2.0)
