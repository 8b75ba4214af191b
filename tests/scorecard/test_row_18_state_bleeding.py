"""Row 18, state bleeding: the same text as the first and as the 500th job, with everything else in between.

Target: identical bytes for a seeded engine; the key of the caches covers model, revision, voice, dtype, device class.

Tiny Maya1 (draws tokens, keeps a cache of what it read) and MMS (draws noise), in torch workers of a real daemon;
Qwen3-TTS in both sizes where its packages are.
"""

import contextlib
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.scorecard.card import Card
from tests.scorecard.corpus import make_text
from tests.scorecard.leftovers import segments_in_ledger
from tests.scorecard.test_row_10_engine_hang_and_crash import samples_of
from tests.scorecard.torch_models import (
    BRIEF,
    LOAD_S,
    MAYA1,
    MMS,
    MMS_ENGLISH,
    MMS_GERMAN,
    Stock,
    load,
    the_worker,
    unload,
    workers,
)
from tests.support import DaemonProcess, Home, running_daemon, temporary_home, wait_for
from tests.system.installed import build, import_model, link_overlay, without_faults
from voiced.models.prompt_cache import prompt_key
from voiced_ipc import Client
from voiced_ipc.errors import InvalidRequest, JobCancelled
from voiced_ipc.messages import JobState

pytestmark = pytest.mark.timeout(300)
"""A torch worker loads for seconds, on a busy machine for many."""

SEED = 18
TEXT = "The same words as ever.\n\nAnd some more."
QWEN = ("qwen3-tts:0.6b", "qwen3-tts:1.7b")


class Stage(NamedTuple):
    """A daemon with both models."""

    daemon: DaemonProcess
    client: Client

    def speak(self, model: str, text: str = TEXT, **options: object) -> bytes:
        return self.client.synthesize(text, **{"model": model, "seed": SEED} | options)[0]


@pytest.fixture(scope="module")
def stage(stock: Stock) -> Iterator[Stage]:
    """One daemon for all tests: what one of them leaves behind must not be heard in the next."""
    with temporary_home() as home:
        stock.put(home, BRIEF, MMS_ENGLISH, MMS_GERMAN)
        with running_daemon(home, "--set", "keep_alive_s=-1") as daemon, daemon.client(60.0) as client:
            yield Stage(daemon, client)


@pytest.fixture(scope="module")
def first(stage: Stage) -> dict[str, bytes]:
    """What the text sounds like from a fresh worker."""
    return {model: stage.speak(model) for model in (MAYA1, MMS)}


@pytest.mark.parametrize("model", [MAYA1, MMS])
def test_after_many_other_texts(card: Card, stage: Stage, first: dict[str, bytes], model: str) -> None:
    jobs = card.count(40, 500)
    others = set()
    for i in range(jobs - 2):
        text = make_text(card.random, f"matter {i}", 1) if model == MMS else f"Thing {i}."
        others.add(stage.speak(model, text, seed=i))
    assert stage.speak(model) == first[model]
    assert len(others) == jobs - 2  # the seed and the text do decide
    card.tell(engine=model, jobs=jobs, identical=True, samples=len(first[model]) // 2)


def other_voice(stage: Stage, model: str) -> None:
    """A job in another voice, by name and by words, or at another speed where there is one voice alone."""
    changes = (
        [{"voice": "david"}, {"description": "A whisper, very old."}] if model == MAYA1 else [{"speed": 1.4}]
    )
    heard = [stage.speak(model, **change) for change in changes]
    assert len({stage.speak(model), *heard}) == len(heard) + 1


def cancelled_job(stage: Stage, model: str) -> None:
    """A job that is cancelled in the midst of its text."""
    with stage.daemon.client() as other, stage.client.speak(f"{TEXT} " * 20, model=model, seed=2) as stream:
        chunks = iter(stream)
        next(chunks)
        other.cancel(stream.accepted.job_id)
        with contextlib.suppress(JobCancelled):
            b"".join(chunks)


def other_model(stage: Stage, model: str) -> None:
    """The other model, which stays loaded beside it."""
    assert stage.speak(MMS if model == MAYA1 else MAYA1)


def same_engine_other_model(stage: Stage, model: str) -> None:
    """Another language of the same engine."""
    assert stage.speak("mms:deu", language="de") != stage.speak(MMS)


def loaded_again(stage: Stage, model: str) -> None:
    """A fresh worker."""
    unload(stage.client, model)
    load(stage.client, model)


def refused_text(stage: Stage, model: str) -> None:
    """A text that the engine looks at and refuses."""
    if model == MMS:
        with pytest.raises(InvalidRequest):
            stage.speak(model, "Только кириллица.")


def killed_worker(stage: Stage, model: str) -> None:
    """A worker that ends in the midst of a segment."""
    if model == MAYA1:
        unload(stage.client, MMS)
        unload(stage.client, "mms:deu")
        with stage.client.speak(f"{TEXT} " * 3, model=model, seed=3) as stream:
            next(iter(stream))
            the_worker(stage.daemon).kill()
            assert b"".join(stream)


BETWEEN: list[Callable[[Stage, str], None]] = [
    other_voice,
    cancelled_job,
    other_model,
    same_engine_other_model,
    refused_text,
    killed_worker,
    loaded_again,
]


@pytest.mark.parametrize("model", [MAYA1, MMS])
def test_after_everything_else(card: Card, stage: Stage, first: dict[str, bytes], model: str) -> None:
    for disturb in BETWEEN:
        disturb(stage, model)
        assert stage.speak(model) == first[model], disturb.__doc__
    for _ in range(card.count(3, 50)):
        order = card.random.sample(BETWEEN[:5], 3)
        for disturb in order:
            disturb(stage, model)
        assert stage.speak(model) == first[model], [disturb.__name__ for disturb in order]
    card.tell(engine=model, disturbances=len(BETWEEN), identical=True)


@pytest.mark.parametrize("model", [MAYA1, MMS])
def test_in_a_job_that_is_resumed(card: Card, stock: Stock, home: Home, model: str) -> None:
    parts = [f"Part {i}." for i in range(8)]
    if model == MMS:
        parts = [make_text(card.random, f"part {i}", 2) for i in range(30)]
    text = "\n\n".join(parts)
    kills = card.count(1, 8)
    stock.put(home, BRIEF if model == MAYA1 else MMS_ENGLISH)
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            whole = daemon.wait_job(submit(client, model, text, "whole.txt"))
        taken_up = []
        for i in range(kills):
            with daemon.client() as client:
                job_id = submit(client, model, text, f"resumed-{i}.txt")
                wait_for(lambda: is_under_way(home, client, job_id), LOAD_S, "some segments")  # noqa: B023
            daemon.kill()
            daemon.restart()
            with daemon.client() as client:
                taken_up.append(client.job(job_id).segments_done)
            job = daemon.wait_job(job_id)
            assert job.state is JobState.DONE, job.error
            assert samples_of(job.path) == samples_of(whole.path)
    assert any(0 < done < whole.segments for done in taken_up)
    card.tell(engine=model, kills=kills, segments=whole.segments, taken_up_at=taken_up, identical=True)


def submit(client: Client, model: str, text: str, name: str) -> str:
    return client.submit_text(text, model=model, seed=SEED, language="en", name=name).job_id


def is_under_way(home: Home, client: Client, job_id: str) -> bool:
    """Some of it stands in the ledger: a group is committed after a second."""
    assert not client.job(job_id).state.is_final, "it was spoken before the daemon could be killed"
    return segments_in_ledger(home, job_id) > 0


@pytest.mark.engines
def test_between_the_sizes_of_qwen(card: Card, home: Home, tmp_path: Path) -> None:
    overlay = link_overlay(home, "qwen3-tts")
    for model in QWEN:
        folder = tmp_path / model.partition(":")[2] / "files"
        build("qwen3_tts", folder, "--size", folder.parent.name, "--kind", "custom_voice", overlay=overlay)
        import_model(home, model, without_faults(folder))
    with running_daemon(home, "--set", "keep_alive_s=-1") as daemon, daemon.client(120.0) as client:
        stage = Stage(daemon, client)
        first = {model: stage.speak(model, "Hello there.", language="en") for model in QWEN}
        switches = card.count(6, 100)
        for i in range(switches):
            model = QWEN[i % 2]
            stage.speak(model, f"Another word {i}.", language="en", seed=i)
            assert stage.speak(model, "Hello there.", language="en") == first[model]
        assert len(workers(daemon)) == 2
    card.tell(engine="qwen3-tts", switches=switches, identical=True)


def test_the_key_of_a_voice_covers_what_makes_it(card: Card) -> None:
    """The worker's identity goes in whole; that it says all of this is tested with it."""
    told = {
        "model": "mms:eng",
        "width": "32",
        "code": "1",
        "precision": "fp32",
        "quantization": "none",
        "revision": "abc",
        "device": "cpu",
    }
    anna, bob = [("a" * 64, "Hello.")], [("b" * 64, "Hello.")]
    keys = [prompt_key(anna, told), prompt_key(bob, told)]
    keys += [prompt_key(anna, told | {name: "other"}) for name in told]
    for one, other in combinations(keys, 2):
        assert one != other
    card.tell(cache_key_parts=len(told) + 1)
