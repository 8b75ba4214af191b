"""Maya1 through llama.cpp, with a tiny random GGUF file in a real worker.

llama.cpp is compiled when it is installed, which takes minutes: the tests run where VOICED_TEST_ENGINES names a
folder with the family's packages in `maya1-gguf`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.checkpoints import converted
from tests.daemon.engines.checkpoints.maya1_gguf import build
from tests.overlays import overlay_of

FAMILY, GROUP = "maya1-gguf", "llama"
"""It is compiled for minutes, so it is not required where the others are."""
TEXT = "Hi <laugh> there."
LONG = "A text that takes a while to speak, and somebody may not want to wait so long for its end. " * 3
_FIELDS = {
    "engine": "maya1-gguf",
    "family": "maya1-gguf",
    "model": "maya1:gguf",
    "device": "cpu",
    "threads": 1,
}


@pytest.fixture(autouse=True, scope="module")
def overlay() -> Path:
    return overlay_of(FAMILY, GROUP)


@pytest.fixture(scope="module")
def folder(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gguf")
    build(made)
    return converted(made)


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A model that the test may spoil."""
    (tmp_path / "snac").symlink_to(folder / "snac")
    (tmp_path / "model.gguf").write_bytes((folder / "maya1-f32.gguf").read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def child(folder: Path, overlay: Path) -> Iterator[Child]:
    with start_worker(overlay=overlay) as started:
        ready = started.load(**_FIELDS, folder=str(folder))
        assert ready["type"] == "ready", ready
        assert (ready["sample_rate_hz"], ready["max_batch"], ready["can_cancel"]) == (24000, 1, True)
        assert ready["identity"].items() >= {"model": "maya1:gguf", "width": "32", "code": "1"}.items()
        assert ready["identities"] == ["description"]
        yield started


def refusal(folder: Path) -> dict[str, Any]:
    with start_worker(overlay=overlay_of(FAMILY, GROUP)) as child:
        answer = child.load(**_FIELDS, folder=str(folder))
    assert answer["type"] == "refused"
    return answer


def test_speaks(child: Child) -> None:
    answer = child.speak(1, TEXT, "Another one.")
    assert answer.end["type"] == "done"
    for place in (0, 1):
        samples = np.frombuffer(answer.audio[place], "<i2")
        assert len(samples) > 1000
        assert np.abs(samples).max() > 100


def test_alone_as_in_a_run(child: Child) -> None:
    texts = [f"Nr {place}" for place in range(40)]
    run = child.speak(2, *texts, description="calm")
    for place in (0, 17, 39):
        assert child.speak(3, texts[place], description="calm").audio[0] == run.audio[place]


def test_cancel(child: Child) -> None:
    before = child.speak(4, TEXT).audio
    child.ask(5, LONG)
    while child.receive()[0]["type"] != "audio":
        pass
    child.send(type="cancel", task=5)
    assert child.answer(5).end["type"] == "cancelled"
    assert child.speak(6, TEXT).audio == before


def test_voice_seed_and_text_count(child: Child) -> None:
    heard = [
        child.speak(7, TEXT).audio[0],
        child.speak(8, TEXT, seed=2).audio[0],
        child.speak(9, TEXT, description="Old woman").audio[0],
        child.speak(10, TEXT + " So.").audio[0],
    ]
    assert len(set(heard)) == 4
    assert child.speak(11, TEXT).audio[0] == heard[0]


def test_an_unknown_voice_leaves_it_as_it_was(child: Child) -> None:
    before = child.speak(12, TEXT).audio
    assert child.speak(13, TEXT, voice="nobody").end["code"] == "unknown-voice"
    assert child.speak(14, TEXT).audio == before


def test_in_a_fresh_worker(child: Child, folder: Path) -> None:
    before = child.speak(15, TEXT).audio
    with start_worker(overlay=overlay_of(FAMILY, GROUP)) as fresh:
        fresh.load(**_FIELDS, folder=str(folder))
        assert fresh.speak(1, TEXT).audio == before


def test_cut_off(own: Path) -> None:
    file = own / "model.gguf"
    file.write_bytes(file.read_bytes()[:-1000])
    answer = refusal(own)
    assert answer["code"] == "engine-load-failed"
    assert "model.gguf" in answer["message"]


def test_no_gguf(own: Path) -> None:
    (own / "model.gguf").write_bytes(b"something else")
    assert refusal(own)["code"] == "engine-load-failed"


def test_none(own: Path) -> None:
    (own / "model.gguf").unlink()
    assert refusal(own)["code"] == "model-damaged"


def test_several(own: Path) -> None:
    (own / "other.gguf").touch()
    assert "2 GGUF files" in refusal(own)["message"]


def test_without_the_codec(own: Path) -> None:
    (own / "snac").unlink()
    assert refusal(own)["code"] == "model-damaged"
