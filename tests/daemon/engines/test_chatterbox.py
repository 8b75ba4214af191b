"""Chatterbox: the real package in the real worker; its decoder as wide as published and as shallow as it can be."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.checkpoints import converted
from tests.daemon.engines.cloning import (
    Spoil,
    cut,
    lose,
    misshape,
    record,
    refusals,
    rewrite,
    run_with,
    take,
    voice,
)
from tests.overlays import overlay_of

# The first test builds 350 MB.
pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

TEXT, SEED = "Hello world.", 2
TOKENS = 12
SAMPLES = TOKENS * 960
CANCEL_S = 0.5
# The machine may do other work at the time; 1000 tokens and their sound take half a minute at least.
SLACK_S = 2.5


@pytest.fixture(scope="module")
def overlay() -> Path:
    return overlay_of("chatterbox")


@pytest.fixture(scope="module")
def published(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    run_with(overlay, "tests.daemon.engines.checkpoints.chatterbox", folder, TOKENS)
    return folder


@pytest.fixture(scope="module")
def checkpoint(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported") / "model"
    # Links: the decoder is written once, and a conversion puts new files in the place of names.
    shutil.copytree(published, folder, copy_function=os.link)
    return converted(folder)


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to spoil: links, so a file is to be replaced and never written into."""
    shutil.copytree(checkpoint, tmp_path / "model", copy_function=os.link)
    return tmp_path / "model"


def load(child: Child, folder: Path, **fields: Any) -> dict[str, Any]:
    child.link.settimeout(120)  # torch, transformers, diffusers and numba are imported
    settings = {"device": "cpu", "precision": "fp32", "threads": 1} | fields
    named = {"engine": "chatterbox", "family": "chatterbox", "model": "chatterbox"}
    return child.load(**named, folder=str(folder), **settings)


@pytest.fixture(scope="module")
def ready() -> dict[str, Any]:
    """What the shared worker said when it was ready."""
    return {}


@pytest.fixture(scope="module")
def child(overlay: Path, checkpoint: Path, ready: dict[str, Any]) -> Iterator[Child]:
    """A worker for all tests that only speak: none must leave a trace."""
    with start_worker(overlay=overlay) as child:
        ready |= load(child, checkpoint)
        assert ready["type"] == "ready", ready
        yield child


@pytest.fixture(scope="module")
def usual(child: Child) -> bytes:
    """The text in the published voice, as the fresh worker speaks it."""
    return child.speak(1, TEXT, seed=SEED).audio[0]


def test_it_speaks_as_the_package_does(
    overlay: Path, published: Path, checkpoint: Path, tmp_path: Path
) -> None:
    module = "tests.daemon.engines.chatterbox_upstream"
    found = json.loads(
        run_with(overlay, module, published, checkpoint, record(tmp_path / "a.wav")).splitlines()[-1]
    )
    assert found["samples"] == SAMPLES
    assert found["plain"] <= 1e-5
    assert found["voiced"] <= 1e-5
    assert found["voices"] > 1e-3
    assert "no number" in found["broken"]
    assert found["after"]
    assert "shorter than 5 s" in found["short"]
    assert "no voice" in found["silent"]
    assert found["marked"]


def test_what_it_tells_of_itself(child: Child, ready: dict[str, Any]) -> None:
    assert ready["sample_rate_hz"] == 24000
    assert ready["identity"].items() >= {"model": "chatterbox", "width": "64", "code": "1"}.items()
    assert ready["languages"] == ["en"]
    assert [one["voice"] for one in ready["voices"]] == ["chatterbox"]
    assert ready["identities"] == ["speaker", "prompt"]
    assert ready["max_segment_chars"] == 300
    assert ready["can_cancel"]
    assert ready["can_blend"]
    fractions = [step["fraction"] for step in child.steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_voice_is_gone_after_its_segment(child: Child, usual: bytes, tmp_path: Path) -> None:
    assert len(usual) > SAMPLES  # two bytes each, the edges trimmed
    other = child.speak(2, TEXT, seed=SEED, prompt=voice(record(tmp_path / "a.wav"))).audio[0]
    assert other != usual
    assert child.speak(3, TEXT, seed=SEED).audio[0] == usual
    third = child.speak(4, TEXT, seed=SEED, prompt=voice(record(tmp_path / "b.wav", hz=310))).audio[0]
    assert third not in (usual, other)
    assert child.speak(5, TEXT, seed=SEED, prompt=voice(tmp_path / "a.wav")).audio[0] == other
    both = voice(tmp_path / "a.wav", tmp_path / "b.wav")
    assert child.speak(6, TEXT, seed=SEED, prompt=both).audio[0] not in (usual, other, third)


def test_a_segment_sounds_the_same_alone_and_in_a_run(child: Child, usual: bytes) -> None:
    segments = [
        {"index": 0, "text": "Other.", "language": "en", "seed": 5},
        {"index": 1, "text": TEXT, "language": "en", "seed": SEED},
    ]
    assert child.speak(1, segments=segments).audio[1] == usual


def _peak(pcm: bytes) -> int:
    return int(np.abs(np.frombuffer(pcm, "<i2").astype(int)).max())


def test_seed_text_and_volume_count(child: Child, usual: bytes) -> None:
    assert child.speak(1, TEXT, seed=3).audio[0] != usual
    assert child.speak(2, "Goodbye moon.", seed=SEED).audio[0] != usual
    half = child.speak(3, TEXT, seed=SEED, volume=0.5).audio[0]
    # The quiet edges of a segment are cut off, more of them where all is quieter.
    assert abs(_peak(half) - _peak(usual) / 2) <= 1


def test_a_text_can_end_nothing_by_its_content(child: Child) -> None:
    spoken = [child.speak(1, f"Hello {token} world.").audio[0] for token in ("[STOP]", "stop")]
    assert spoken[0] == spoken[1]


def test_what_it_does_not_know_is_refused_and_the_next_is_spoken(
    child: Child, usual: bytes, tmp_path: Path
) -> None:
    short = voice(record(tmp_path / "short.wav", seconds=2))
    for code, said, fields in (
        ("unknown-voice", "voice add", {"voice": "nobody"}),
        ("unknown-language", "another model", {"language": "de"}),
        ("invalid-request", "shorter than 5 s", {"prompt": short}),
    ):
        end = child.speak(1, TEXT, **fields).end
        assert (end["type"], end["code"]) == ("failed", code)
        assert said in end["message"]
    assert child.speak(2, TEXT, seed=SEED).audio[0] == usual


def test_nothing_to_say_is_no_failure(child: Child) -> None:
    answer = child.speak(1, " ")
    assert answer.end["type"] == "done"
    assert not answer.audio


def test_a_broken_segment_fails_and_leaves_no_trace(child: Child, usual: bytes) -> None:
    end = child.speak(1, "He#llo.", seed=SEED).end
    assert (end["type"], end["code"]) == ("failed", "synthesis-failed")
    assert "no number" in end["message"]
    assert child.speak(2, TEXT, seed=SEED).audio[0] == usual


def test_cancel_in_the_decoder_leaves_no_trace(child: Child, usual: bytes) -> None:
    child.ask(1, TEXT, TEXT, TEXT, TEXT)
    while child.receive()[0]["type"] != "spoken":
        pass
    # The second segment is under way.
    child.send(type="cancel", task=1)
    began = time.monotonic()
    assert child.answer(1).end["type"] == "cancelled"
    assert time.monotonic() - began < CANCEL_S + SLACK_S
    assert child.speak(2, TEXT, seed=SEED).audio[0] == usual


def _never_end(tensors: dict[str, Any]) -> None:
    tensors["speech_pos_emb.emb.weight"][:, 0] = 0


def test_cancel_stops_a_language_model_that_does_not_end(overlay: Path, folder: Path) -> None:
    rewrite(folder / "t3_cfg.safetensors", _never_end)
    with start_worker(overlay=overlay) as child:
        load(child, folder)
        child.ask(1, TEXT)
        child.send(type="ping", n=1)
        while child.receive()[0]["type"] != "pong":
            pass
        child.send(type="cancel", task=1)
        began = time.monotonic()
        assert child.answer(1).end["type"] == "cancelled"
        assert time.monotonic() - began < CANCEL_S + SLACK_S


def _no_tokens(tensors: dict[str, Any]) -> None:
    tensors["speech_pos_emb.emb.weight"][:, 0] = 100


def _one_token(tensors: dict[str, Any]) -> None:
    tensors["speech_pos_emb.emb.weight"][1:, 0] = 100


@pytest.mark.parametrize(("change", "least"), [(_no_tokens, 0), (_one_token, 1)])
def test_a_language_model_that_ends_at_once(
    overlay: Path, folder: Path, change: Callable[[dict[str, Any]], None], least: int
) -> None:
    rewrite(folder / "t3_cfg.safetensors", change)
    with start_worker(overlay=overlay) as child:
        load(child, folder)
        answer = child.speak(1, TEXT)
        assert answer.end["type"] == "done"
        assert len(answer.audio.get(0, b"")) >= least


def _one_weight(tensors: dict[str, Any]) -> None:
    tensors["tfmr.layers.0.mlp.up_proj.weight"] *= 1.5


def _one_decoder_weight(tensors: dict[str, Any]) -> None:
    tensors["mel2wav.conv_post.bias"] += 0.5


@pytest.mark.parametrize(
    ("file", "change"),
    [("t3_cfg.safetensors", _one_weight), ("s3gen.safetensors", _one_decoder_weight)],
)
def test_one_changed_weight_changes_the_audio(
    overlay: Path, usual: bytes, folder: Path, file: str, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(folder / file, change)
    with start_worker(overlay=overlay) as child:
        assert load(child, folder)["type"] == "ready"
        assert child.speak(1, TEXT, seed=SEED).audio[0] != usual


def test_without_the_published_voice_one_must_be_added(
    overlay: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "conds.safetensors").unlink()
    with start_worker(overlay=overlay) as child:
        answer = load(child, folder)
        assert answer["voices"] == []
        assert answer["identities"] == ["prompt"]
        end = child.speak(1, TEXT).end
        assert (end["type"], end["code"]) == ("failed", "invalid-request")
        assert "voice add" in end["message"]
        assert child.speak(2, TEXT, prompt=voice(record(tmp_path / "a.wav"))).audio[0]
    # Neither the text nor the package's bars, greetings and warnings.
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


SPOILS: dict[str, Spoil] = {
    "ve.safetensors": take("ve.safetensors"),
    "t3_cfg.safetensors": cut("t3_cfg.safetensors"),
    "s3gen.safetensors": take("s3gen.safetensors"),
    "tokenizer.json": cut("tokenizer.json"),
    "text_emb.weight": lose("t3_cfg.safetensors", "text_emb.weight"),
    "tfmr.layers.1.input_layernorm.weight": lose(
        "t3_cfg.safetensors", "tfmr.layers.1.input_layernorm.weight"
    ),
    "mel2wav.conv_pre.bias": lose("s3gen.safetensors", "mel2wav.conv_pre.bias"),
    "speech_head.weight": misshape("t3_cfg.safetensors", "speech_head.weight"),
}
"""What the refusal names, and what was done to the files."""


def test_a_checkpoint_that_cannot_be_loaded_is_refused_with_the_remedy(
    overlay: Path, checkpoint: Path, tmp_path: Path
) -> None:
    engine = ("voiced.engines.chatterbox", "ChatterboxEngine")
    for named, (code, message) in refusals(overlay, engine, checkpoint, SPOILS, tmp_path).items():
        assert code in ("engine-load-failed", "model-damaged"), named
        assert named in message
        assert "import" in message.lower() or named == "speech_head.weight"


def test_without_its_packages_the_remedy_is_to_install_them(checkpoint: Path) -> None:
    with start_worker() as child:
        answer = load(child, checkpoint)
        assert answer["code"] == "engine-load-failed"
        assert "voiced engine install chatterbox" in answer["message"]
