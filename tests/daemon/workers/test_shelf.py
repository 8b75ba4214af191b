"""What lies on the disk for a model, before anything of it is started."""

from pathlib import Path

import pytest

from tests.daemon.workers.tiny import shelf_in
from voiced_ipc.errors import ModelMissing, UnknownModel


def test_what_is_embedded_needs_nothing(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path)
    assert shelf.spec("espeak").model == "espeak"
    assert shelf.install(shelf.spec("espeak")) == ""
    assert shelf.open(shelf.spec("espeak")).folder is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["gpt", "piper:nonsense", ""])
def test_what_there_is_not(tmp_path: Path, model: str) -> None:
    with pytest.raises(UnknownModel, match="models --all"):
        shelf_in(tmp_path).spec(model)


@pytest.mark.parametrize(("is_apple", "named"), [(False, "qwen3-tts:1.7b`"), (True, "qwen3-tts:1.7b-mlx`")])
def test_whoever_asks_gets_the_model_of_this_machine(tmp_path: Path, is_apple: bool, named: str) -> None:
    shelf = shelf_in(tmp_path)
    shelf.is_apple = is_apple
    with pytest.raises(ModelMissing, match=f"voiced pull {named}"):
        shelf.spec("qwen3-tts")
