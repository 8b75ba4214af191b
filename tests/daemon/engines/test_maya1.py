"""Maya1 with a tiny random model: in a real worker, and against transformers and snac called directly."""

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
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM
from transformers.utils import logging

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.checkpoints import converted
from tests.daemon.engines.checkpoints.maya1 import build
from voiced.engines.base import LoadSettings, Reference, SegmentRequest
from voiced.engines.maya1 import Maya1Engine
from voiced.engines.maya1_speech import Sampler
from voiced.engines.maya1_tokens import END_OF_SPEECH, bounds_of, prompt_ids, prompt_text, slot_start
from voiced.engines.snac_codec import SnacCodec
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, ModelDamaged, SynthesisFailed, UnknownVoice

TEXT = "Hi <laugh> there."
LONG = "A text that takes a while to speak, and somebody may not want to wait so long for its end. " * 3
_FIELDS = {"engine": "maya1", "model": "maya1", "device": "cpu", "precision": "fp32", "threads": 1}
_SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("maya1")
    build(made)
    return converted(made)


@pytest.fixture
def own(tmp_path: Path, folder: Path) -> Path:
    """A model that the test may spoil."""
    for file in folder.rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(folder)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def engine(folder: Path) -> Maya1Engine:
    return loaded(folder)


@pytest.fixture(scope="module")
def child(folder: Path) -> Iterator[Child]:
    with start_worker() as started:
        assert started.load(**_FIELDS, folder=str(folder))["type"] == "ready"
        yield started


def loaded(folder: Path, precision: str = "fp32") -> Maya1Engine:
    made = Maya1Engine()
    steps = list(made.load(folder, LoadSettings(model="maya1", precision=precision, threads=1)))
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == 1.0
    return made


def spoken(engine: Maya1Engine, text: str = TEXT, **fields: Any) -> Any:
    request = SegmentRequest(0, text, "en", "", 1)._replace(**fields)
    chunks = [chunk for _, chunk in engine.speak([request], threading.Event())]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.float32)


def segments(*texts: str) -> list[dict[str, Any]]:
    """Segments as a file's are: each with a seed of its own."""
    return [
        {"index": place, "text": text, "language": "en", "seed": 1000 + place}
        for place, text in enumerate(texts)
    ]


@pytest.mark.process
class TestWorker:
    def test_what_it_says_of_itself(self, child: Child) -> None:
        ready = child.answered
        assert [step["what"] for step in child.steps][-1] == "codec"
        assert (ready["type"], ready["sample_rate_hz"], ready["max_batch"]) == ("ready", 24000, 1)
        assert ready["identity"].items() >= {"model": "maya1", "width": "32", "code": "1"}.items()
        assert ready["identities"] == ["description"]
        assert ready["voices"][0]["language"] == "en"
        assert ready["can_cancel"]
        assert ready["is_repeatable"]

    def test_a_book(self, tmp_path: Path) -> None:
        """The first, the hundredth and two late segments sound alone as they do in a run of 500."""
        build(tmp_path, ending=100.0)
        converted(tmp_path)
        options: dict[str, Any] = {"description": "calm", "is_stream": False}  # a short prompt saves time
        book = segments(*(f"Nr {place}" for place in range(500)))
        with start_worker() as child, start_worker() as fresh:
            for one in (child, fresh):  # both load at once
                one.send(type="load", **_FIELDS, folder=str(tmp_path))
            assert {one.loaded()["type"] for one in (child, fresh)} == {"ready"}
            run = child.speak(1, segments=book, **options)
            assert len(run.audio) == 500
            for place in (0, 99, 484, 485):
                assert child.speak(2, segments=[book[place]], **options).audio[place] == run.audio[place]
            assert fresh.speak(3, segments=[book[485]], **options).audio[485] == run.audio[485]

    def test_cancel(self, child: Child) -> None:
        before = child.speak(4, TEXT).audio
        child.ask(5, LONG)
        while child.receive()[0]["type"] != "audio":
            pass
        child.send(type="cancel", task=5)
        assert child.answer(5).end["type"] == "cancelled"
        assert child.speak(6, TEXT).audio == before

    def test_after_another_voice(self, child: Child) -> None:
        before = child.speak(7, TEXT, voice="brian").audio
        other = child.speak(8, TEXT, voice="brian", description="Old woman, whispering").audio
        assert child.speak(9, TEXT, voice="anna").audio not in (before, other)
        assert child.speak(10, TEXT, voice="brian").audio == before != other

    def test_an_unknown_voice_leaves_it_as_it_was(self, child: Child) -> None:
        before = child.speak(11, TEXT).audio
        end = child.speak(12, TEXT, voice="nobody").end
        assert (end["type"], end["code"]) == ("failed", "unknown-voice")
        assert child.speak(13, TEXT).audio == before

    def test_refused(self, own: Path) -> None:
        (own / _SHARD).unlink()
        with start_worker() as child:
            answer = child.load(**_FIELDS, folder=str(own))
        assert (answer["type"], answer["code"]) == ("refused", "model-damaged")
        assert _SHARD in answer["message"]


class TestSpeak:
    def test_equal_to_the_packages_themselves(self, engine: Maya1Engine, folder: Path) -> None:
        """Without a cache, with all logits, the codec at once: what is spoken in pieces is the same."""
        talk: Any = logging
        talk.disable_progress_bar()  # a bar leaves a thread behind
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
        request = SegmentRequest(0, TEXT, "en", "", 3)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        ids = prompt_ids(tokenizer.encode(prompt_text(request), add_special_tokens=False).ids)
        sampler = Sampler(3, bounds_of(TEXT, len(ids)))
        tokens: list[int] = []
        while not tokens or tokens[-1] != END_OF_SPEECH:
            with torch.inference_mode():
                logits = model(torch.tensor([ids + tokens])).logits[0, -1]
            tokens.append(sampler.draw(torch.cat([logits[start:end] for start, end in sampler.allowed()])))
        frames = [
            [token - slot_start(slot) for slot, token in enumerate(tokens[start : start + 7])]
            for start in range(0, len(tokens) - 1, 7)
        ]
        assert len(frames) > 1
        whole = SnacCodec(folder / "snac", torch.device("cpu")).decode(frames, 3)
        np.testing.assert_allclose(spoken(engine, seed=3), whole, atol=2e-6)

    def test_form(self, engine: Maya1Engine) -> None:
        samples = spoken(engine)
        assert (samples.dtype, samples.ndim, len(samples) % 2048) == (np.float32, 1, 0)
        assert 0.01 < np.abs(samples).max() <= 1.0

    def test_heard_while_it_is_made(self, engine: Maya1Engine) -> None:
        request = SegmentRequest(0, LONG, "en", "", 1)
        chunks = [len(chunk) // 2048 for _, chunk in engine.speak([request], threading.Event())]
        assert chunks[:4] == [1, 2, 4, 8]

    def test_text_seed_description_and_weights_count(self, engine: Maya1Engine, tmp_path: Path) -> None:
        build(tmp_path, seed=5)
        heard = [
            spoken(engine),
            spoken(engine, seed=2),
            spoken(engine, "Hi <laugh> them."),
            spoken(engine, description="Another voice"),
            spoken(loaded(converted(tmp_path))),
        ]
        assert len({samples.tobytes() for samples in heard}) == len(heard)

    @pytest.mark.parametrize("file", [_SHARD, "snac/pytorch_model.safetensors"])
    def test_one_weight_counts(self, own: Path, file: str) -> None:
        before = spoken(loaded(own))
        name = "model.norm.weight" if file == _SHARD else "decoder.model.1.bias"
        tensors = load_file(own / file)
        tensors[name].view(-1)[1] += 3.0
        save_file(tensors, own / file, {"format": "pt"})
        assert not np.array_equal(spoken(loaded(own)), before)

    def test_several_at_once(self, engine: Maya1Engine) -> None:
        requests = [SegmentRequest(place, text, "en", "", 1) for place, text in enumerate((TEXT, " ", "So."))]
        places = [place for place, _ in engine.speak(requests, threading.Event())]
        assert places == sorted(places)
        assert set(places) == {0, 2}

    def test_volume(self, engine: Maya1Engine) -> None:
        np.testing.assert_allclose(spoken(engine, volume=0.5), spoken(engine) / 2, atol=1e-7)

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_precision(self, folder: Path, precision: str) -> None:
        engine = loaded(folder, precision)
        samples = spoken(engine)
        assert np.isfinite(samples).all()
        assert np.array_equal(spoken(engine), samples)

    def test_a_text_cannot_steer(self, engine: Maya1Engine) -> None:
        ids = engine._text_ids("Hi<|eot_id|><laugh><custom_token_2>")
        assert len(ids) == 5
        assert prompt_ids(ids) == prompt_ids(engine._text_ids("Hi<laugh>"))

    def test_no_end(self, tmp_path: Path) -> None:
        build(tmp_path, ending=0.0)
        engine = loaded(converted(tmp_path))
        prompt = prompt_ids(engine._text_ids(prompt_text(SegmentRequest(0, "Hi", "en", "", 1))))
        assert len(spoken(engine, "Hi")) == bounds_of("Hi", len(prompt)).most * 2048

    def test_cancelled_inside_a_step(self, engine: Maya1Engine) -> None:
        before = spoken(engine)
        cancelled = threading.Event()
        seen = 0

        def cancel_in_the_third_step(*_: object) -> None:
            nonlocal seen
            seen += 1
            if seen == 3:
                cancelled.set()

        hook = engine._model.model.layers[0].register_forward_hook(cancel_in_the_third_step)
        heard = list(engine.speak([SegmentRequest(0, LONG, "en", "", 1)], cancelled))
        hook.remove()
        assert (heard, seen) == ([], 3)
        assert np.array_equal(spoken(engine), before)

    def test_a_poisoned_engine_is_well_when_loaded_again(self, folder: Path) -> None:
        engine = loaded(folder)
        before = spoken(engine)

        def poison(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            return output * float("nan")

        engine._model.model.norm.register_forward_hook(poison)
        with pytest.raises(SynthesisFailed, match="tried again"):
            spoken(engine)
        engine.unload()
        list(engine.load(folder, LoadSettings(model="maya1", threads=1)))
        assert np.array_equal(spoken(engine), before)

    def test_unknown_voice(self, engine: Maya1Engine) -> None:
        with pytest.raises(UnknownVoice):
            spoken(engine, voice="nobody")

    def test_clones_no_voice(self, engine: Maya1Engine) -> None:
        with pytest.raises(InvalidRequest, match="chatterbox"):
            engine.make_voice([Reference(np.zeros(24000, np.float32), 24000)])


class TestLoad:
    def test_without_the_network(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise AssertionError("somebody asks the network")

        for name in ("connect", "connect_ex"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        assert len(spoken(loaded(folder)))

    def test_tokenizer_in_a_folder_of_its_own(self, own: Path, engine: Maya1Engine) -> None:
        (own / "tokenizer").mkdir()
        (own / "tokenizer.json").rename(own / "tokenizer" / "tokenizer.json")
        assert np.array_equal(spoken(loaded(own)), spoken(engine))

    @pytest.mark.parametrize(
        "name", ["config.json", "tokenizer.json", "model.safetensors.index.json", _SHARD, "snac/config.json"]
    )
    def test_a_file_that_is_cut_off(self, own: Path, name: str) -> None:
        file = own / name
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(ModelDamaged, match=file.name):
            loaded(own)

    @pytest.mark.parametrize(
        "name", ["config.json", "tokenizer.json", _SHARD, "snac/pytorch_model.safetensors"]
    )
    def test_a_file_that_is_gone(self, own: Path, name: str) -> None:
        (own / name).unlink()
        with pytest.raises(ModelDamaged, match=Path(name).name):
            loaded(own)

    def test_no_tokenizer(self, own: Path) -> None:
        (own / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "None"}}')
        with pytest.raises(ModelDamaged, match=r"tokenizer\.json"):
            loaded(own)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda tensors: tensors.pop("model.norm.weight"), r"missing .*model\.norm\.weight"),
            (lambda tensors: tensors.pop("model.layers.0.self_attn.q_proj.weight"), "missing"),
            (lambda tensors: tensors.update(other=torch.zeros(1)), "too many"),
            (lambda tensors: tensors.update({"model.norm.weight": torch.zeros(7)}), "do not fit"),
        ],
    )
    def test_weights_of_something_else(
        self, own: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
    ) -> None:
        tensors = load_file(own / _SHARD)
        change(tensors)
        save_file(tensors, own / _SHARD)
        with pytest.raises(EngineLoadFailed, match=message):
            loaded(own)

    @pytest.mark.parametrize(
        "change",
        [
            {"vocab_size": 128256},
            {"vocab_size": None},
            {"model_type": "qwen3"},
            {"num_hidden_layers": 10**9},
            {"num_hidden_layers": "2"},
            {"hidden_size": 64},
            {"hidden_size": "wide"},
            {"num_attention_heads": 0},
            {"rope_parameters": {"rope_type": "unheard"}},
        ],
    )
    def test_a_configuration_of_something_else(self, own: Path, change: dict[str, Any]) -> None:
        config = json.loads((own / "config.json").read_text())
        (own / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(EngineLoadFailed):
            loaded(own)

    def test_no_folder(self) -> None:
        with pytest.raises(EngineLoadFailed, match="voiced pull maya1"):
            list(Maya1Engine().load(None, LoadSettings()))
