"""Kokoro: the real package's network in the real worker, real widths, random weights."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.checkpoints import converted
from tests.overlays import overlay_of
from voiced.word_times import unpack_words

# The first test builds 324 MB and converts them.
pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

TEXT = "Hello."
LONG = "and on and on it goes, " * 16
BUILD_S = 100.0


class Checkpoint(NamedTuple):
    """The same weights twice."""

    published: Path
    converted: Path


@pytest.fixture(scope="session")
def overlay() -> Path:
    return overlay_of("kokoro")


@pytest.fixture(scope="session")
def checkpoint(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    root = tmp_path_factory.mktemp("kokoro")
    made = Checkpoint(root / "published", root / "converted")
    run_with(overlay, "-m", "tests.daemon.engines.checkpoints.kokoro", str(made.published))
    # Links: 324 MB are written once, and a conversion puts new files in the place of names.
    shutil.copytree(made.published, made.converted, copy_function=os.link)
    converted(made.converted)
    return made


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy to spoil: links, so a file is to be replaced and never written into."""
    shutil.copytree(checkpoint.converted, tmp_path / "kokoro", copy_function=os.link)
    return tmp_path / "kokoro"


def run_with(overlay: Path, *arguments: str) -> str:
    """Run Python with the overlay on its path; return what it printed."""
    environ = os.environ | {"PYTHONPATH": str(overlay), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environ,
        timeout=BUILD_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def load(child: Child, folder: Path, **fields: Any) -> dict[str, Any]:
    child.link.settimeout(60)  # torch and transformers are imported
    settings = {"device": "cpu", "precision": "fp32", "threads": 2} | fields
    return child.load(engine="kokoro", family="kokoro", model="kokoro", folder=str(folder), **settings)


@pytest.fixture(scope="module")
def ready() -> dict[str, Any]:
    """What the shared worker said when it was ready."""
    return {}


@pytest.fixture(scope="module")
def child(overlay: Path, checkpoint: Checkpoint, ready: dict[str, Any]) -> Iterator[Child]:
    with start_worker(overlay=overlay) as child:
        ready |= load(child, checkpoint.converted)
        assert ready["type"] == "ready", ready
        yield child


def test_what_it_tells_of_itself(child: Child, ready: dict[str, Any]) -> None:
    assert ready["sample_rate_hz"] == 24000
    assert ready["identity"].items() >= {"model": "kokoro", "width": "512", "code": "1"}.items()
    assert ready["is_repeatable"]
    assert ready["identities"] == ["speaker"]
    listed = {voice["voice"]: (voice["language"], voice["gender"]) for voice in ready["voices"]}
    assert listed["af_heart"] == ("en-US", "female")
    assert listed["am_adam"] == ("en-US", "male")
    assert listed["ff_siwis"] == ("fr-FR", "female")
    # Without a dictionary of Japanese, that voice would speak nonsense.
    assert "jf_alpha" not in listed
    assert set(ready["languages"]) == {"en-US", "en-GB", "fr-FR"}


def test_a_segment_sounds_the_same_alone_in_a_run_and_after_others(child: Child) -> None:
    alone = child.speak(1, TEXT).audio[0]
    assert alone
    assert child.speak(2, "Other.", TEXT).audio[1] == alone
    child.speak(3, "Bonjour.", language="fr", voice="ff_siwis", seed=5, speed=1.5)
    assert child.speak(4, TEXT).audio[0] == alone


def test_seed_voice_speed_and_text_count(child: Child) -> None:
    usual = child.speak(1, TEXT).audio[0]
    assert child.speak(2, TEXT, seed=2).audio[0] != usual
    assert child.speak(3, TEXT, voice="am_adam").audio[0] != usual
    assert child.speak(4, "Goodbye.").audio[0] != usual
    assert len(child.speak(5, TEXT, speed=2.0).audio[0]) < len(usual) * 0.75


def test_each_language_has_its_usual_voice(child: Child) -> None:
    def spoken(**fields: Any) -> bytes:
        return child.speak(1, "Anna.", **fields).audio[0]

    assert spoken(language="en") == spoken(language="en-US", voice="af_heart")
    assert spoken(language="en-gb") == spoken(language="en-GB", voice="bf_emma")
    assert spoken(language="fr") == spoken(language="fr-FR", voice="ff_siwis")
    assert spoken(language="", voice="bf_emma") == spoken(language="en", voice="bf_emma")


def test_what_it_does_not_know_is_refused_and_the_next_is_spoken(child: Child) -> None:
    before = child.speak(1, TEXT).audio
    for task, code, fields in (
        (2, "unknown-voice", {"voice": "zz_nobody"}),
        (3, "unknown-voice", {"voice": "jf_alpha", "language": "ja"}),
        (4, "unknown-language", {"language": "ja"}),
        (5, "unknown-language", {"language": "de", "voice": "af_heart"}),
        (6, "unknown-voice", {"language": "hi"}),
    ):
        end = child.speak(task, TEXT, **fields).end
        assert (end["type"], end["code"]) == ("failed", code)
        assert end["message"]
    assert child.speak(7, TEXT).audio == before


def test_cancel_stops_inside_the_network_and_leaves_no_trace(child: Child) -> None:
    before = child.speak(1, TEXT).audio
    child.ask(2, LONG)
    child.send(type="cancel", task=2)
    answer = child.answer(2)
    assert answer.end["type"] == "cancelled"
    assert not answer.audio
    assert child.speak(3, TEXT).audio == before


def test_nothing_to_say_is_no_failure(child: Child) -> None:
    answer = child.speak(1, "", "...")
    assert answer.end["type"] == "done"
    assert not answer.audio


def test_a_failure_inside_leaves_no_trace(child: Child) -> None:
    before = child.speak(1, TEXT).audio
    # So slow that the length of the audio is no number any more; the engine is loaded again.
    assert child.speak(2, TEXT, speed=1e-40).end["type"] == "failed"
    assert child.speak(3, TEXT).audio == before


def test_every_weight_is_where_upstream_puts_it_and_nobody_asks_the_network(
    overlay: Path, checkpoint: Checkpoint
) -> None:
    printed = run_with(overlay, "-m", "tests.daemon.engines.kokoro_upstream", *map(str, checkpoint))
    difference, peak = map(float, printed.split())
    assert peak > 0.01
    assert difference <= 1e-5 * peak


def test_when_words_are_heard_is_told_on_request(child: Child) -> None:
    text = "Hello boat, goodbye."
    told = child.speak(1, text, is_stream=False, tells_words=True)
    words = unpack_words(told.heard[0])
    assert [word.place for word in words] == [0, 6, 12]
    assert [word.sample for word in words] == sorted({word.sample for word in words})
    assert words[0].sample < words[-1].sample < told.spoken[0]["samples"]
    same = child.speak(2, text, is_stream=False)
    assert (same.heard, same.audio) == ({0: b""}, told.audio)
    pieces = child.speak(3, text, is_stream=False, tells_words=True, max_chars=12)
    assert pieces.heard == {0: b""}


def _rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "kokoro-v1_0.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(tensors)
    file.unlink()
    save_file(tensors, file)


def test_one_changed_weight_changes_the_audio(overlay: Path, child: Child, folder: Path) -> None:
    def change(tensors: dict[str, Any]) -> None:
        tensors["decoder.module.generator.conv_post.bias"][0] += 0.1

    before = child.speak(1, TEXT).audio
    _rewritten(folder, change)
    with start_worker(overlay=overlay) as other:
        assert load(other, folder)["type"] == "ready"
        assert other.speak(1, TEXT).audio != before


def test_a_precision_other_than_fp32_speaks(overlay: Path, checkpoint: Checkpoint) -> None:
    with start_worker(overlay=overlay) as child:
        assert load(child, checkpoint.converted, precision="bf16")["type"] == "ready"
        assert child.speak(1, TEXT).audio[0]


def test_what_is_spoken_is_not_logged(
    overlay: Path, checkpoint: Checkpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    with start_worker(overlay=overlay) as child:
        load(child, checkpoint.converted)
        child.speak(1, TEXT)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def _take_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _spoil_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").write_text('{"vocab": {"a": 1}}')


def _take_weights(folder: Path) -> None:
    (folder / "kokoro-v1_0.safetensors").unlink()


def _cut_weights(folder: Path) -> None:
    file = folder / "kokoro-v1_0.safetensors"
    with file.open("rb") as whole:
        start = whole.read(1 << 20)
    file.unlink()
    file.write_bytes(start)


def _take_voices(folder: Path) -> None:
    shutil.rmtree(folder / "voices")


def _misshape_a_voice(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file

    (folder / "voices" / "af_bella.safetensors").unlink()
    save_file({"tensor": torch.zeros(5, 1, 256)}, folder / "voices" / "af_bella.safetensors")


def _lose_a_weight(folder: Path) -> None:
    _rewritten(folder, lambda tensors: tensors.pop("predictor.module.F0_proj.weight"))


def _break_a_weight(folder: Path) -> None:
    _rewritten(folder, lambda tensors: tensors["text_encoder.module.embedding.weight"].fill_(float("nan")))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_take_config, "config.json"),
        (_spoil_config, "config.json"),
        (_take_weights, "kokoro-v"),
        (_cut_weights, "kokoro-v1_0.safetensors"),
        (_take_voices, "no voice"),
        (_misshape_a_voice, "af_bella"),
        (_lose_a_weight, "F0_proj"),
        (_break_a_weight, "text_encoder.embedding.weight"),
    ],
)
def test_a_checkpoint_that_cannot_be_loaded_is_refused_with_the_remedy(
    overlay: Path, folder: Path, spoil: Callable[[Path], None], named: str
) -> None:
    spoil(folder)
    with start_worker(overlay=overlay) as child:
        answer = load(child, folder)
        assert answer["type"] == "refused"
        assert answer["code"] in ("engine-load-failed", "model-damaged")
        assert named in answer["message"]
        assert "import" in answer["message"]


def test_without_its_packages_the_remedy_is_to_install_them(folder: Path) -> None:
    with start_worker() as child:
        answer = load(child, folder)
        assert answer["code"] == "engine-load-failed"
        assert "voiced engine install kokoro" in answer["message"]
