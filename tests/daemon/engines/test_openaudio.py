"""OpenAudio S1-mini: the real package in the real worker, with a tiny random checkpoint of the published layout."""

import json
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

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

TEXT, SEED = "Hello world.", 2
LONG = "and on and on it goes, " * 16
FRAME_BYTES = 2 * 2048
CANCEL_S = 0.5
# The machine may do other work at the time; what would not stop at all takes minutes.
SLACK_S = 2.5


@pytest.fixture(scope="module")
def overlay() -> Path:
    return overlay_of("openaudio")


@pytest.fixture(scope="module")
def published(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    run_with(overlay, "tests.daemon.engines.checkpoints.openaudio", folder)
    return folder


@pytest.fixture(scope="module")
def checkpoint(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported") / "model"
    shutil.copytree(published, folder)
    return converted(folder)


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(checkpoint, tmp_path / "model")
    return tmp_path / "model"


def load(child: Child, folder: Path, **fields: Any) -> dict[str, Any]:
    child.link.settimeout(120)  # torch and transformers are imported
    settings = {"device": "cpu", "precision": "fp32", "threads": 1} | fields
    named = {"engine": "openaudio", "family": "openaudio", "model": "openaudio-s1-mini"}
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
    """The text in no voice, as the fresh worker speaks it."""
    return child.speak(1, TEXT, seed=SEED).audio[0]


def test_it_speaks_as_the_package_does(overlay: Path, published: Path, checkpoint: Path) -> None:
    printed = run_with(overlay, "tests.daemon.engines.openaudio_upstream", published, checkpoint)
    found = json.loads(printed)
    assert len(found["chunks"]) > 3
    assert found["peak"] > 0.01
    assert found["plain"] <= 1e-4
    assert found["voiced"] <= 1e-4
    assert found["encoded"]
    assert "no number" in found["broken"]
    assert found["after"]


def test_what_it_tells_of_itself(child: Child, ready: dict[str, Any]) -> None:
    assert ready["sample_rate_hz"] == 44100
    expected = {"model": "openaudio-s1-mini", "width": "64", "code": "1"}
    assert ready["identity"].items() >= expected.items()
    assert len(ready["languages"]) == 14
    assert ready["identities"] == ["speaker", "prompt"]
    assert ready["can_cancel"]
    assert ready["can_blend"]
    assert [step["fraction"] for step in child.steps] == [0.5, 1.0]


def test_the_first_audio_comes_after_four_frames(child: Child) -> None:
    answer = child.speak(1, TEXT, seed=SEED)
    assert len(answer.audio[0]) > 8 * FRAME_BYTES
    assert answer.chunks[0] <= 4 * FRAME_BYTES


def test_a_segment_sounds_the_same_alone_in_a_run_and_after_others(
    child: Child, usual: bytes, tmp_path: Path
) -> None:
    assert usual
    segments = [
        {"index": 0, "text": "Other.", "language": "en", "seed": 5},
        {"index": 1, "text": TEXT, "language": "en", "seed": SEED},
    ]
    assert child.speak(2, segments=segments).audio[1] == usual
    child.speak(3, TEXT, seed=SEED, prompt=voice(record(tmp_path / "a.wav")))
    assert child.speak(4, TEXT, seed=SEED).audio[0] == usual


def test_seed_text_voice_and_words_of_the_voice_count(child: Child, usual: bytes, tmp_path: Path) -> None:
    first, second = record(tmp_path / "a.wav"), record(tmp_path / "b.wav", hz=310)
    asks: list[dict[str, Any]] = [
        {"seed": 3},
        {"prompt": voice(first)},
        {"prompt": voice(second)},
        {"prompt": voice(first, second)},
        {"prompt": voice(first, transcript="Something else.") | {"key": "other"}},
    ]
    heard = [child.speak(1, TEXT, **({"seed": SEED} | ask)).audio[0] for ask in asks]
    heard.append(child.speak(1, "Goodbye moon.", seed=SEED).audio[0])
    assert len({usual, *heard}) == 7


def test_the_volume_counts(child: Child, usual: bytes) -> None:
    half = child.speak(1, TEXT, seed=SEED, volume=0.5).audio[0]
    loud, soft = (np.abs(np.frombuffer(pcm, "<i2").astype(int)).max() for pcm in (usual, half))
    assert abs(soft - loud / 2) <= 1


def test_a_text_can_end_nothing_by_its_content(child: Child, usual: bytes) -> None:
    heard = child.speak(1, f"{TEXT}<|im_end|>", seed=SEED).audio[0]
    assert heard != usual
    assert heard != child.speak(2, f"{TEXT}<|im_start|>", seed=SEED).audio[0]


def test_what_it_does_not_know_is_refused_and_the_next_is_spoken(
    child: Child, usual: bytes, tmp_path: Path
) -> None:
    short = voice(record(tmp_path / "short.wav", seconds=2))
    long = voice(record(tmp_path / "one.wav", seconds=44), record(tmp_path / "two.wav", hz=200, seconds=44))
    for code, said, fields in (
        ("unknown-voice", "voice add", {"voice": "nobody"}),
        ("unknown-language", "another model", {"language": "sw"}),
        ("invalid-request", "shorter than 3 s", {"prompt": short}),
        ("invalid-request", "at most", {"prompt": long}),
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


def _bias_of(token: str, value: float, folder: Path) -> Callable[[dict[str, Any]], None]:
    number = json.loads((folder / "special_tokens.json").read_text())[token]

    def change(tensors: dict[str, Any]) -> None:
        tensors["output.weight"][number] = 0
        tensors["output.weight"][number, 0] = value

    return change


def test_cancel_stops_inside_a_segment_and_leaves_no_trace(overlay: Path, folder: Path) -> None:
    rewrite(folder / "model.safetensors", _bias_of("<|im_end|>", -1000.0, folder))
    with start_worker(overlay=overlay) as child:
        load(child, folder)
        child.ask(1, LONG)
        while child.receive()[0]["type"] != "audio":
            pass
        child.send(type="cancel", task=1)
        began = time.monotonic()
        assert child.answer(1).end["type"] == "cancelled"
        assert time.monotonic() - began < CANCEL_S + SLACK_S
        after = child.speak(2, "Hi.").audio[0]
        # Speech that does not end is ended: 128 frames, and 16 for each character.
        assert len(after) > 100 * FRAME_BYTES
        assert child.speak(3, "Hi.").audio[0] == after


def test_a_word_in_the_place_of_speech_never_reaches_the_codec(overlay: Path, folder: Path) -> None:
    rewrite(folder / "model.safetensors", _bias_of("<|text|>", 1000.0, folder))
    with start_worker(overlay=overlay) as child:
        load(child, folder)
        answer = child.speak(1, TEXT, seed=SEED)
        assert answer.end["type"] == "done"
        assert len(answer.audio[0]) > 8 * FRAME_BYTES


def _one_weight(tensors: dict[str, Any]) -> None:
    tensors["layers.0.feed_forward.w1.weight"] *= 1.5


def _one_codec_weight(tensors: dict[str, Any]) -> None:
    tensors["decoder.model.0.conv.bias"] += 0.5


@pytest.mark.parametrize(
    ("file", "change"),
    [("model.safetensors", _one_weight), ("codec.safetensors", _one_codec_weight)],
)
def test_one_changed_weight_changes_the_audio(
    overlay: Path, usual: bytes, folder: Path, file: str, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(folder / file, change)
    with start_worker(overlay=overlay) as child:
        assert load(child, folder)["type"] == "ready"
        assert child.speak(1, TEXT, seed=SEED).audio[0] != usual


def test_half_the_precision_speaks(overlay: Path, checkpoint: Path) -> None:
    with start_worker(overlay=overlay) as child:
        assert load(child, checkpoint, precision="bf16")["type"] == "ready"
        assert child.speak(1, TEXT, seed=SEED).audio[0]


def test_what_is_spoken_is_not_logged(
    overlay: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with start_worker(overlay=overlay) as child:
        load(child, checkpoint)
        child.speak(1, TEXT, seed=SEED)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def _configure(**fields: Any) -> Spoil:
    def write(folder: Path) -> None:
        file = folder / "config.json"
        found = json.loads(file.read_text())
        file.unlink()
        file.write_text(json.dumps(found | fields))

    return write


def _other_model(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").write_text('{"model_type": "naive", "dim": 64}')


SPOILS: dict[str, Spoil] = {
    "config.json'": take("config.json"),
    "the configuration": cut("config.json"),
    "'naive'": _other_model,
    "1000 layers": _configure(n_layer=1000),
    "3 layers": _configure(n_fast_layer=3),
    "more tokens": _configure(vocab_size=100),
    "tokenizer.tiktoken": take("tokenizer.tiktoken"),
    "model.safetensors": take("model.safetensors"),
    "codec.safetensors": cut("codec.safetensors"),
    "(norm.weight)": lose("model.safetensors", "norm.weight"),
    "quantizer.post_module.norm.weight": lose("codec.safetensors", "quantizer.post_module.norm.weight"),
    "encoder.block.1.block.0.block.0.alpha": lose(
        "codec.safetensors", "encoder.block.1.block.0.block.0.alpha"
    ),
    "fast_norm.weight": misshape("model.safetensors", "fast_norm.weight"),
}
"""What the refusal names, and what was done to the files."""


def test_a_checkpoint_that_cannot_be_loaded_is_refused_with_the_remedy(
    overlay: Path, checkpoint: Path, tmp_path: Path
) -> None:
    engine = ("voiced.engines.openaudio", "OpenAudioEngine")
    for named, (code, message) in refusals(overlay, engine, checkpoint, SPOILS, tmp_path).items():
        assert code in ("engine-load-failed", "model-damaged"), named
        assert named in message
        assert "import" in message.lower() or named == "fast_norm.weight"


def test_without_its_packages_the_remedy_is_to_install_them(checkpoint: Path) -> None:
    with start_worker() as child:
        answer = load(child, checkpoint)
        assert answer["code"] == "engine-load-failed"
        assert "voiced engine install openaudio" in answer["message"]
