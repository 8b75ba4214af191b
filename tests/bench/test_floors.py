"""The floor programs do the work that they are compared with."""

import wave
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.bench.floors.weights import mapped
from tests.bench.processes import CommandFailed, floor_command, run, run_for_output
from tests.bench.texts import TWO_SENTENCES
from tests.bench.wire import echo, get_status, wires
from tests.support import Home, need
from voiced.engines.espeak import find_library
from voiced_ipc.errors import EngineLoadFailed


def library() -> tuple[str, str]:
    try:
        return find_library()
    except EngineLoadFailed as error:
        need("espeak", False, error.message)
        raise


def test_the_library_called_directly_makes_a_wav_of_the_whole_text(home: Home) -> None:
    text, wav = home.root / "text.txt", home.root / "text.wav"
    text.write_text(TWO_SENTENCES)
    run(floor_command("espeak_library", *library(), str(text), str(wav)), home.environ)
    with wave.open(str(wav)) as made:
        assert (made.getnchannels(), made.getsampwidth()) == (1, 2)
        assert 4 < made.getnframes() / made.getframerate() < 12
        assert any(made.readframes(made.getframerate()))


def test_the_library_called_directly_tells_utterances_a_second(home: Home) -> None:
    text = home.root / "text.txt"
    text.write_text(TWO_SENTENCES)
    printed = run_for_output(floor_command("espeak_library", *library(), str(text), "-", "2"), home.environ)
    assert float(printed) > 1


def test_the_echo_answers_every_request_with_the_given_bytes(home: Home) -> None:
    with echo(home, b"reply") as path, wires() as connect:
        wire = connect(path)
        assert wire.trip_us(get_status()) > 0
        assert wire.ask(get_status()) == [b"voiced/1", b"reply"]


def test_a_command_that_fails_says_what_it_said(home: Home) -> None:
    with pytest.raises(CommandFailed, match=r"nowhere\.so"):
        run(floor_command("espeak_library", "/nowhere.so", "", "/nowhere.txt", "/nowhere.wav"), home.environ)


def test_mapped_weights_are_those_of_the_file(tmp_path: Path) -> None:
    given = {
        "wide": torch.randn(3, 4, 5).to(torch.bfloat16),
        "flat": torch.arange(7),
        "scalar": torch.tensor(2.5),
    }
    save_file(given, tmp_path / "weights.safetensors", {"format": "pt"})
    found = mapped(tmp_path / "weights.safetensors")
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
