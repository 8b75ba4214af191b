"""Voices of recordings in a worker: where they come from, and what a bad file, recording or model does."""

import hashlib
import json
import os
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.child.helpers import Answer, Child, start_worker
from voiced.child.mailbox import PromptAsk, Recorded
from voiced.child.prompts import Prompts, dump_prompt, load_prompt, read_reference
from voiced.engines.base import Prompt, Reference
from voiced.models.prompt_file import PromptFacts
from voiced_ipc.errors import InvalidRequest, ReferenceRefused, SynthesisFailed

TEXT = "A text of forty characters, and no more."
IDENTITY = {"model": "small", "width": "1"}
RATE_HZ = 8000


def record(path: Path, level: float = 0.5, seconds: float = 1.0, channels: int = 1) -> Recorded:
    """A recording as the scribe writes it."""
    samples = np.full(int(seconds * RATE_HZ) * channels, level * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return Recorded(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), "Hello.")


class Maker:
    """An engine that counts how often it makes a voice."""

    def __init__(self, **tensors: Any) -> None:
        self.calls: list[list[Reference]] = []
        self.tensors = tensors

    def __call__(self, references: Sequence[Reference]) -> Prompt:
        self.calls.append(list(references))
        loud = np.array([float(np.abs(reference.samples).max()) for reference in references], np.float32)
        return Prompt({"loud": loud, **self.tensors}, {"words": references[0].transcript})


@pytest.fixture
def ask(tmp_path: Path) -> PromptAsk:
    recorded = record(tmp_path / "ref-1.wav")
    return PromptAsk("k" * 64, str(tmp_path / "prompts" / "k.prompt"), "first use", "anna", "r", (recorded,))


class TestSources:
    def test_made_then_memory_then_file(self, ask: PromptAsk) -> None:
        make = Maker(codes=np.arange(6, dtype=np.int64).reshape(2, 3))
        prompts = Prompts(IDENTITY, make)
        made, again = prompts.get(ask), prompts.get(ask)
        other = Prompts(IDENTITY, make).get(ask._replace(reason=""))
        assert [made.source, again.source, other.source] == ["made", "memory", "file"]
        assert [made.reason, again.reason, other.reason] == ["first use", "", ""]
        assert len(make.calls) == 1
        assert make.calls[0][0].transcript == "Hello."
        assert make.calls[0][0].sample_rate_hz == RATE_HZ
        for found in (made, again, other):
            assert found.prompt.values == {"words": "Hello."}
            assert found.size_bytes == made.size_bytes > 48
            assert found.prompt.tensors["codes"].tolist() == [[0, 1, 2], [3, 4, 5]]
            assert found.prompt.tensors["loud"] == pytest.approx([0.5], abs=1e-4)

    def test_the_file_is_private_and_the_only_one(self, ask: PromptAsk) -> None:
        Prompts(IDENTITY, Maker()).get(ask)
        path = Path(ask.file)
        assert path.stat().st_mode & 0o777 == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_what_an_engine_does_to_a_prompt_stays_with_it(self, ask: PromptAsk) -> None:
        prompts = Prompts(IDENTITY, Maker())
        for _ in range(2):
            found = prompts.get(ask).prompt.tensors["loud"]
            assert found == pytest.approx([0.5], abs=1e-4)
            found[:] = 99

    def test_emptying_the_cache_empties_the_memory_too(self, ask: PromptAsk) -> None:
        make = Maker()
        prompts = Prompts(IDENTITY, make)
        prompts.get(ask)
        Path(ask.file).unlink()
        found = prompts.get(ask._replace(reason=""))
        assert (found.source, found.reason, len(make.calls)) == ("made", "cleared", 2)

    def test_where_nothing_can_be_written_memory_serves(self, ask: PromptAsk, tmp_path: Path) -> None:
        (tmp_path / "prompts").write_text("a file in the way")
        make = Maker()
        prompts = Prompts(IDENTITY, make)
        found = prompts.get(ask)
        assert found.source == "made"
        assert "not kept" in found.reason
        assert prompts.get(ask).source == "memory"
        assert len(make.calls) == 1

    def test_no_cache(self, ask: PromptAsk, tmp_path: Path) -> None:
        prompts = Prompts(IDENTITY, Maker())
        assert prompts.get(ask._replace(file="")).source == "made"
        assert prompts.get(ask._replace(file="")).source == "memory"
        assert not (tmp_path / "prompts").exists()

    def test_memory_is_bounded_and_keeps_the_last_used(self, ask: PromptAsk) -> None:
        make = Maker(codes=np.zeros(1000, np.float32))
        prompts = Prompts(IDENTITY, make, memory_bytes=9000)
        asks = [ask._replace(key=letter * 64, file="") for letter in "abc"]
        for wanted in (asks[0], asks[1], asks[0], asks[2], asks[0]):
            prompts.get(wanted)
        assert len(make.calls) == 3
        assert prompts.get(asks[1]).source == "made"

    def test_one_that_is_greater_than_the_memory_serves_its_job(self, ask: PromptAsk) -> None:
        prompts = Prompts(IDENTITY, Maker(codes=np.zeros(1000)), memory_bytes=10)
        assert [prompts.get(ask._replace(file="")).source for _ in range(2)] == ["made", "memory"]


class TestOtherModels:
    def test_a_prompt_of_another_model_never_reaches_the_engine(self, ask: PromptAsk) -> None:
        Prompts({"model": "large", "width": "2"}, Maker(big=np.zeros(2048, np.float32))).get(ask)
        found = Prompts(IDENTITY, Maker()).get(ask._replace(reason=""))
        assert (found.source, found.reason) == ("made", "other model: large")
        assert set(found.prompt.tensors) == {"loud"}
        assert load_prompt(Path(ask.file))[1].identity == IDENTITY

    def test_nor_one_under_another_key(self, ask: PromptAsk) -> None:
        Prompts(IDENTITY, Maker()).get(ask)
        assert Prompts(IDENTITY, Maker()).get(ask._replace(key="z" * 64)).source == "made"


FACTS = PromptFacts("k" * 64, IDENTITY, "anna", "r", "", {})


class TestFiles:
    @given(st.integers(0, 4000), st.integers(1, 255))
    def test_one_changed_byte_is_never_a_prompt(self, place: int, change: int) -> None:
        prompt = Prompt(
            {"loud": np.arange(700, dtype=np.float32), "codes": np.zeros((2, 0), np.int64)}, {"a": "b"}
        )
        content = bytearray(dump_prompt(prompt, FACTS))
        content[place % len(content)] ^= change
        path = Path(os.environ.get("TMPDIR", "/tmp")) / f"voiced-test-{os.getpid()}.prompt"
        path.write_bytes(content)
        try:
            found, facts = load_prompt(path)
        except ValueError:
            return
        finally:
            path.unlink()
        # What the checksum does not cover are words for people, and blanks.
        for name, tensor in found.tensors.items():
            assert sorted(tensor.ravel()) in (list(range(700)), [])
            assert len(name) in (4, 5)
        assert facts.sha256 == hashlib.sha256(prompt.tensors["loud"].tobytes()).hexdigest()

    @pytest.mark.parametrize("cut", [0, 7, 8, 100, -1])
    def test_a_file_that_is_cut_off_is_made_anew(self, ask: PromptAsk, cut: int) -> None:
        Prompts(IDENTITY, Maker()).get(ask)
        path = Path(ask.file)
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        make = Maker()
        found = Prompts(IDENTITY, make).get(ask._replace(reason=""))
        assert (found.source, found.reason, len(make.calls)) == ("made", "file damaged", 1)
        assert path.read_bytes() == whole

    @pytest.mark.parametrize(
        "change",
        [
            {"dtype": "F8_E4M3"},
            {"shape": [3]},
            {"shape": [-1, -2]},
            {"shape": [1 << 62, 4]},
            {"shape": [1] * 9},
            {"shape": "2"},
            {"data_offsets": [4, 12]},
            {"data_offsets": [0]},
            {"data_offsets": [0, 1.5]},
            {"data_offsets": None},
        ],
    )
    def test_a_hostile_header_is_refused(self, tmp_path: Path, change: dict[str, Any]) -> None:
        content = dump_prompt(Prompt({"loud": np.zeros(2, np.float32)}), FACTS)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header["loud"] |= change
        packed = json.dumps(header).encode()
        path = tmp_path / "k.prompt"
        path.write_bytes(len(packed).to_bytes(8, "little") + packed + content[8 + length :])
        with pytest.raises(ValueError, match="tensor"):
            load_prompt(path)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_no_numbers_are_refused(self, ask: PromptAsk, value: float) -> None:
        with pytest.raises(SynthesisFailed):
            Prompts(IDENTITY, Maker(bad=np.array([value], np.float32))).get(ask)
        assert not Path(ask.file).exists()

    def test_types_that_no_file_holds_become_such(self, ask: PromptAsk) -> None:
        tensors = {
            "d": np.array([0.5]),
            "b": np.array([True]),
            "big": np.array([7], ">i8"),
            "s": np.float32(3),
        }
        found = Prompts(IDENTITY, Maker(**tensors)).get(ask).prompt.tensors
        kept = load_prompt(Path(ask.file))[0].tensors
        for tensors_ in (found, kept):
            kinds = {name: tensor.dtype.str[1:] for name, tensor in tensors_.items()}
            assert kinds == {"loud": "f4", "d": "f4", "b": "i8", "big": "i8", "s": "f4"}
        assert (int(kept["big"][0]), float(kept["s"]), kept["s"].shape) == (7, 3.0, ())

    def test_the_usual_library_reads_it(self, ask: PromptAsk) -> None:
        safetensors = pytest.importorskip("safetensors.numpy")
        Prompts(IDENTITY, Maker(codes=np.arange(5, dtype=np.int64))).get(ask)
        assert safetensors.load_file(ask.file)["codes"].tolist() == [0, 1, 2, 3, 4]


class TestRecordings:
    def test_level_and_rate(self, tmp_path: Path) -> None:
        reference = read_reference(record(tmp_path / "a.wav", -0.25))
        assert reference.samples.dtype == np.float32
        assert reference.samples.min() == pytest.approx(-0.25, abs=1e-4)
        assert len(reference.samples) == reference.sample_rate_hz == RATE_HZ

    def test_a_recording_that_was_changed_is_refused(self, tmp_path: Path) -> None:
        recorded = record(tmp_path / "a.wav")
        record(tmp_path / "a.wav", 0.1)
        with pytest.raises(ReferenceRefused, match="add the voice again"):
            read_reference(recorded)

    @pytest.mark.parametrize("content", [None, b"", b"RIFF", b"not audio at all" * 20])
    def test_what_is_no_recording(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "a.wav"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ReferenceRefused):
            read_reference(Recorded(str(path), "", ""))

    def test_two_channels_are_not_what_the_scribe_writes(self, tmp_path: Path) -> None:
        with pytest.raises(ReferenceRefused, match="mono"):
            read_reference(record(tmp_path / "a.wav", channels=2))


# -- the real worker ----------------------------------------------------------------------------------


def prompt_fields(folder: Path, level: float, **changes: Any) -> dict[str, Any]:
    recorded = record(folder / f"{level}.wav", level)
    reference = {"path": recorded.path, "sha256": recorded.sha256, "transcript": "Hello."}
    fields = {
        "key": hashlib.sha256(str(level).encode()).hexdigest(),
        "file": str(folder / f"{level}.prompt"),
        "reason": "first use",
        "voice": "anna",
        "recordings": "r",
        "references": [reference],
    }
    return fields | changes


def speak(child: Child, task: int, prompt: dict[str, Any] | None) -> tuple[Answer, dict[str, Any]]:
    """Speak with a voice; return the answer and the `prompt` frame."""
    child.ask(task, TEXT, TEXT + " Again.", **({} if prompt is None else {"prompt": prompt}))
    told: dict[str, Any] = {}
    if prompt is not None:
        told, _ = child.receive()
        if told["type"] == "failed":
            return Answer(told, {}, {}, [], {}), told
        assert (told["type"], told["task"], told["key"]) == ("prompt", task, prompt["key"])
    return child.answer(task), told


@pytest.mark.process
class TestWorker:
    def test_another_voice_is_heard_and_the_same_one_is_the_same(self, tmp_path: Path) -> None:
        loud, soft = prompt_fields(tmp_path, 0.5), prompt_fields(tmp_path, 0.1)
        with start_worker() as child:
            child.load(engine="tone", model="tone")
            heard = [speak(child, task, prompt) for task, prompt in enumerate((loud, soft, loud, None, loud))]
        assert [told.get("source") for _, told in heard] == ["made", "made", "memory", None, "memory"]
        assert heard[0][0].audio == heard[2][0].audio == heard[4][0].audio
        assert len({answer.audio[0] for answer, _ in heard}) == 3
        with start_worker() as child:
            child.load(engine="tone", model="tone")
            answer, told = speak(child, 9, loud)
        assert told["source"] == "file"
        assert told["took_ms"] >= 0
        assert answer.audio == heard[0][0].audio

    def test_what_was_really_loaded_decides(self, tmp_path: Path) -> None:
        prompt = prompt_fields(tmp_path, 0.5)
        settings: list[dict[str, Any]] = [
            {"precision": "fp32"},
            {"precision": "bf16"},
            {"precision": "bf16", "revision": "abc"},
            {"precision": "bf16", "revision": "abc"},
        ]
        told, identities = [], []
        for load in settings:
            with start_worker() as child:
                identities.append(child.load(engine="tone", model="tone", **load)["identity"])
                told.append(speak(child, 1, prompt | {"reason": ""})[1])
        assert [(one["source"], one["reason"]) for one in told] == [
            ("made", "cleared"),
            ("made", "other model: tone"),
            ("made", "other model: tone"),
            ("file", ""),
        ]
        assert identities[2] == {
            "model": "tone",
            "width": "1",
            "code": "1",
            "device": "cpu",
            "precision": "bf16",
            "revision": "abc",
        }

    def test_a_bad_recording_fails_its_task_alone(self, tmp_path: Path) -> None:
        good, bad = prompt_fields(tmp_path, 0.5), prompt_fields(tmp_path, 0.1)
        Path(bad["references"][0]["path"]).write_bytes(b"changed")
        with start_worker() as child:
            child.load(engine="tone", model="tone")
            pid = child.process.pid
            assert speak(child, 1, bad)[0].end["code"] == "reference-refused"
            assert speak(child, 2, bad | {"references": [], "key": "0"})[0].end["code"] == "invalid-request"
            assert speak(child, 3, good)[0].end["type"] == "done"
            assert child.process.pid == pid

    def test_two_workers_at_once_make_one_file(self, tmp_path: Path) -> None:
        prompt = prompt_fields(tmp_path, 0.5)
        with start_worker() as one, start_worker() as other:
            for child in (one, other):
                child.send(type="load", engine="tone", model="tone")
            for child in (one, other):
                assert child.receive()[0]["type"] == "loading"
                assert child.receive()[0]["type"] == "ready"
                child.ask(1, TEXT, prompt=prompt)
            heard = [child.answer(1) for child in (one, other)]
        assert heard[0].audio == heard[1].audio
        assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".prompt", ".wav"]
        load_prompt(Path(prompt["file"]))

    def test_the_test_of_a_worker_passes_and_leaves_no_trace(self) -> None:
        with start_worker() as child:
            child.load(engine="tone", model="tone")
            before = child.speak(1, TEXT).audio
            child.send(type="test", task=2)
            assert child.receive()[0] == {"type": "done", "task": 2}
            assert child.speak(3, TEXT).audio == before


def test_the_engines_own_words_are_kept(ask: PromptAsk) -> None:
    def refuse(references: Sequence[Reference]) -> Prompt:
        raise InvalidRequest("too short for this model")

    with pytest.raises(InvalidRequest, match="too short"):
        Prompts(IDENTITY, refuse).get(ask)
