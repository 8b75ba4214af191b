"""VITS with a tiny random model: in a real worker, and against transformers called directly."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import VitsModel, VitsTokenizer
from transformers.utils import logging

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.checkpoints.vits import build
from voiced.engines.base import LoadSettings, Reference, SegmentRequest
from voiced.engines.vits import VitsEngine
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, ModelDamaged, SynthesisFailed, UnknownVoice

TEXT = "Hello world, it's me."
_FIELDS = {"engine": "vits", "model": "mms:eng", "device": "cpu", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("vits")
    build(made)
    return made


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model that the test may spoil."""
    build(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def engine(folder: Path) -> VitsEngine:
    return loaded(folder)


@pytest.fixture(scope="module")
def child(folder: Path) -> Iterator[Child]:
    with start_worker() as started:
        assert started.load(**_FIELDS, folder=str(folder))["type"] == "ready"
        yield started


def loaded(folder: Path, model: str = "mms:eng") -> VitsEngine:
    made = VitsEngine()
    steps = list(made.load(folder, LoadSettings(model=model, threads=1)))
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == 1.0
    return made


def spoken(engine: VitsEngine, text: str = TEXT, **fields: Any) -> Any:
    request = SegmentRequest(0, text, "en", "", 1)._replace(**fields)
    chunks = [chunk for _, chunk in engine.speak([request], threading.Event())]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)


@pytest.mark.process
class TestWorker:
    def test_what_it_says_of_itself(self, child: Child) -> None:
        ready = child.answered
        assert (ready["type"], ready["sample_rate_hz"], ready["max_batch"]) == ("ready", 16000, 1)
        assert ready["identity"].items() >= {"model": "mms:eng", "width": "32", "code": "1"}.items()
        assert [(voice["voice"], voice["language"]) for voice in ready["voices"]] == [("eng", "en")]
        assert ready["is_repeatable"]
        assert not ready["can_cancel"]

    def test_speaks(self, child: Child) -> None:
        answer = child.speak(1, TEXT, "Another one.")
        assert answer.end["type"] == "done"
        assert all(answer.spoken[place]["samples"] > 1000 for place in (0, 1))

    def test_alone_as_in_a_run(self, child: Child) -> None:
        texts = [f"Segment of a book, {'ab'[place % 2] * (place % 7)}." for place in range(30)]
        run = child.speak(2, *texts)
        for place in (0, 13, 29):
            assert child.speak(3, texts[place]).audio[0] == run.audio[place]

    def test_a_refused_text_leaves_it_as_it_was(self, child: Child) -> None:
        before = child.speak(4, TEXT).audio
        failed = child.speak(5, "Привет").end
        assert (failed["type"], failed["code"]) == ("failed", "invalid-request")
        assert "eng" in failed["message"]
        assert "Привет" not in failed["message"]
        assert child.speak(6, TEXT).audio == before

    def test_refused_without_weights(self, tmp_path: Path) -> None:
        build(tmp_path)
        (tmp_path / "model.safetensors").unlink()
        with start_worker() as child:
            answer = child.load(**_FIELDS, folder=str(tmp_path))
        assert (answer["type"], answer["code"]) == ("refused", "model-damaged")


class TestSpeak:
    def test_equal_to_the_package_itself(self, engine: VitsEngine, folder: Path) -> None:
        talk: Any = logging
        talk.disable_progress_bar()  # a bar leaves a thread behind
        model = VitsModel.from_pretrained(folder)  # set to inference by it
        inputs = VitsTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt")
        torch.manual_seed(1)
        with torch.inference_mode():
            direct = model(input_ids=inputs["input_ids"]).waveform[0].numpy()
        np.testing.assert_allclose(spoken(engine), direct, atol=1e-6)

    def test_form(self, engine: VitsEngine) -> None:
        samples = spoken(engine)
        assert (samples.dtype, samples.ndim) == (np.float32, 1)
        assert 0.01 < np.abs(samples).max() <= 1.0

    def test_seed_text_and_weights_count(self, engine: VitsEngine, tmp_path: Path) -> None:
        build(tmp_path, seed=5)
        heard = [
            spoken(engine),
            spoken(engine, seed=2),
            spoken(engine, "Hallo world, it's me."),
            spoken(loaded(tmp_path)),
        ]
        assert len({samples.tobytes() for samples in heard}) == 4

    def test_one_weight_counts(self, own: Path) -> None:
        before = spoken(loaded(own))
        tensors = load_file(own / "model.safetensors")
        tensors["decoder.conv_post.weight"][0, 0, 0] += 0.5
        save_file(tensors, own / "model.safetensors")
        assert not np.array_equal(spoken(loaded(own)), before)

    def test_after_other_segments_and_a_cancel(self, engine: VitsEngine) -> None:
        before = spoken(engine)
        spoken(engine, "Something else", seed=7)
        cancelled = threading.Event()
        cancelled.set()
        assert not list(engine.speak([SegmentRequest(0, TEXT, "en", "", 1)], cancelled))
        assert np.array_equal(spoken(engine), before)

    def test_speed_and_volume(self, engine: VitsEngine) -> None:
        assert len(spoken(engine, speed=2.0)) < len(spoken(engine)) < len(spoken(engine, speed=0.5))
        np.testing.assert_allclose(spoken(engine, volume=0.5), spoken(engine) / 2, atol=1e-7)

    @pytest.mark.parametrize("text", ["", " ", "***", "!?", "1984"])
    def test_nothing_to_speak(self, engine: VitsEngine, text: str) -> None:
        assert not len(spoken(engine, text))

    def test_unknown_letters_among_known_ones(self, engine: VitsEngine) -> None:
        assert np.array_equal(spoken(engine, "Hello мир"), spoken(engine, "Hello"))

    def test_no_letter_known(self, engine: VitsEngine) -> None:
        with pytest.raises(InvalidRequest, match="mms:eng speaks eng"):
            spoken(engine, "漢字")

    def test_unknown_voice(self, engine: VitsEngine) -> None:
        assert np.array_equal(spoken(engine, voice="eng"), spoken(engine))
        with pytest.raises(UnknownVoice, match="deu"):
            spoken(engine, voice="deu")

    def test_clones_no_voice(self, engine: VitsEngine) -> None:
        with pytest.raises(InvalidRequest, match="chatterbox"):
            engine.make_voice([Reference(np.zeros(16000, np.float32), 16000)])

    def test_no_numbers(self, own: Path) -> None:
        tensors = load_file(own / "model.safetensors")
        tensors["decoder.conv_post.weight"].fill_(float("nan"))
        save_file(tensors, own / "model.safetensors")
        with pytest.raises(SynthesisFailed, match="no numbers"):
            spoken(loaded(own))

    def test_a_poisoned_engine_is_well_when_loaded_again(self, folder: Path) -> None:
        engine = loaded(folder)
        before = spoken(engine)
        poison = engine._model.decoder.register_forward_hook(lambda *heard: heard[2] * float("nan"))
        with pytest.raises(SynthesisFailed):
            spoken(engine)
        poison.remove()
        engine.unload()
        list(engine.load(folder, LoadSettings(model="mms:eng", threads=1)))
        assert np.array_equal(spoken(engine), before)


class TestLoad:
    def test_the_language_is_that_of_the_files(self, tmp_path: Path) -> None:
        build(tmp_path, language="deu")
        engine = loaded(tmp_path, "mms:eng")
        assert engine.identity["model"] == "mms:deu"
        assert engine.capabilities.voices[0].languages == ("de",)

    def test_blanks_as_it_was_trained(self, tmp_path: Path) -> None:
        """In English's own vocabulary the padding character is a letter."""
        build(tmp_path, letters="k abcdefghij")
        engine = loaded(tmp_path)
        assert len(spoken(engine, "kk")) > 0
        assert not np.array_equal(spoken(engine, "akka"), spoken(engine, "aka"))

    def test_weight_norms_by_their_new_names(self, own: Path, engine: VitsEngine) -> None:
        tensors = load_file(own / "model.safetensors")
        for old, new in ((".weight_g", "original0"), (".weight_v", "original1")):
            for name in [name for name in tensors if name.endswith(old)]:
                tensors[name.removesuffix(old) + f".parametrizations.weight.{new}"] = tensors.pop(name)
        assert not any(name.endswith("_g") for name in tensors)
        save_file(tensors, own / "model.safetensors")
        assert np.array_equal(spoken(loaded(own)), spoken(engine))

    def test_without_the_network(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("somebody asks the network")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert len(spoken(loaded(folder)))

    def test_a_language_that_wants_a_romanizer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        build(tmp_path, language="kor", is_uroman=True)
        monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
        with pytest.raises(EngineLoadFailed, match="pip install uroman"):
            loaded(tmp_path)

    @pytest.mark.parametrize(
        "name", ["config.json", "vocab.json", "tokenizer_config.json", "model.safetensors"]
    )
    def test_a_file_that_is_cut_off(self, own: Path, name: str) -> None:
        file = own / name
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(ModelDamaged, match=name):
            loaded(own)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda tensors: tensors.pop("text_encoder.embed_tokens.weight"), "missing"),
            (lambda tensors: tensors.pop("flow.flows.0.wavenet.in_layers.0.weight_g"), "missing"),
            (lambda tensors: tensors.update(other=torch.zeros(1)), "too many"),
            (lambda tensors: tensors.update({"decoder.conv_post.weight": torch.zeros(2, 2)}), "do not fit"),
        ],
    )
    def test_weights_of_something_else(
        self, own: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
    ) -> None:
        tensors = load_file(own / "model.safetensors")
        change(tensors)
        save_file(tensors, own / "model.safetensors")
        with pytest.raises(EngineLoadFailed, match=message):
            loaded(own)

    @pytest.mark.parametrize(
        "change",
        [
            {"num_hidden_layers": 10**9},
            {"num_hidden_layers": None},
            {"hidden_size": "wide"},
            {"vocab_size": 7},
            {"vocab_size": None},
        ],
    )
    def test_a_configuration_of_something_else(self, own: Path, change: dict[str, Any]) -> None:
        config = json.loads((own / "config.json").read_text())
        (own / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(EngineLoadFailed):
            loaded(own)

    def test_phonemes(self, own: Path) -> None:
        config = json.loads((own / "tokenizer_config.json").read_text())
        (own / "tokenizer_config.json").write_text(json.dumps(config | {"phonemize": True}))
        with pytest.raises(EngineLoadFailed, match="phonemes"):
            loaded(own)

    def test_no_folder(self) -> None:
        with pytest.raises(EngineLoadFailed, match="voiced pull"):
            list(VitsEngine().load(None, LoadSettings()))
