"""Qwen3-TTS with tiny random models of both sizes and all kinds: in a real worker, and from inside its packages."""

import json
import os
import shutil
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.daemon.child.helpers import Child, start_worker
from tests.overlays import overlay_of
from voiced.engines import qwen3_rules
from voiced.engines.base import EngineVoice, Prompt, SegmentRequest
from voiced.engines.qwen3_stubs import mel_filters
from voiced_ipc.errors import InvalidRequest, UnknownLanguage, UnknownVoice

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

TEXT = "Hello world."
LONG = "and on and on it goes, " * 8
BUILD_S = 280.0
FRAME_BYTES = 2 * 1920


@pytest.fixture(scope="session")
def overlay() -> Path:
    return overlay_of("qwen3-tts")


@pytest.fixture(scope="session")
def root(overlay: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every checkpoint."""
    made = tmp_path_factory.mktemp("qwen3")
    run_with(overlay, "tests.daemon.engines.checkpoints.qwen3_tts", str(made), "--all")
    return made


class Inside:
    """What the program inside tells, chapter by chapter, each when it is first asked for."""

    def __init__(self, overlay: Path, root: Path, work: Path) -> None:
        self._overlay, self._root, self._work = overlay, root, work
        self._found: dict[str, Any] = {}

    def __getitem__(self, chapter: str) -> Any:
        if chapter not in self._found:
            arguments = (chapter, str(self._root), str(self._work / chapter))
            self._found[chapter] = json.loads(
                run_with(self._overlay, "tests.daemon.engines.qwen3_inside", *arguments)
            )
        return self._found[chapter]


@pytest.fixture(scope="session")
def found(overlay: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Inside:
    return Inside(overlay, root, tmp_path_factory.mktemp("inside"))


def run_with(overlay: Path, module: str, *arguments: str) -> str:
    """Run a module with the overlay on its path; return what it printed."""
    # One thread: on a busy machine two wait for each other longer than they compute.
    environ = os.environ | {"PYTHONPATH": str(overlay), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
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
    settings = {"device": "cpu", "precision": "fp32", "threads": 1, "model": "qwen3-tts:0.6b"} | fields
    return child.load(engine="qwen3-tts", family="qwen3-tts", folder=str(folder), **settings)


@pytest.fixture(scope="module")
def speakers(overlay: Path, root: Path) -> Iterator[Child]:
    with start_worker(overlay=overlay) as child:
        assert load(child, root / "speakers-06")["type"] == "ready"
        yield child


@pytest.fixture(scope="module")
def base(overlay: Path, root: Path) -> Iterator[Child]:
    with start_worker(overlay=overlay) as child:
        assert load(child, root / "base-06")["type"] == "ready"
        yield child


@pytest.fixture(scope="module")
def endless(overlay: Path, root: Path) -> Iterator[Child]:
    """A model that never ends a segment by itself."""
    with start_worker(overlay=overlay) as child:
        assert load(child, root / "endless")["type"] == "ready"
        yield child


def recorded(path: Path, hz: float, seconds: float = 4.0) -> Path:
    time_s = np.arange(int(seconds * 24000)) / 24000
    samples = 3000 * np.sin(2 * np.pi * hz * time_s) + np.random.default_rng(0).normal(0, 300, len(time_s))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def voice_of(
    path: Path, key: str, transcript: str = "This is it.", file: Path | None = None
) -> dict[str, Any]:
    references = [{"path": str(path), "transcript": transcript}]
    return {"key": key, "file": str(file or ""), "references": references}


# -- in a worker ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "kind", "identities", "width"),
    [
        ("base-17", "qwen3-tts:1.7b", "base", ["prompt"], "64"),
        ("speakers-17", "qwen3-tts:1.7b", "custom_voice", ["speaker"], "64"),
        ("design-17", "qwen3-tts:1.7b", "voice_design", ["description"], "64"),
    ],
)
def test_a_folder_is_what_its_configuration_says(
    overlay: Path, root: Path, name: str, model: str, kind: str, identities: list[str], width: str
) -> None:
    with start_worker(overlay=overlay) as child:
        ready = load(child, root / name)  # asked for as the small model
        assert ready["type"] == "ready", ready
        assert (
            ready["identity"].items() >= {"model": model, "kind": kind, "width": width, "code": "1"}.items()
        )
        assert ready["identities"] == identities
        assert ready["sample_rate_hz"] == 24000
        assert ready["can_cancel"]
        assert ready["is_repeatable"]
        assert set(ready["languages"]) == {"en", "zh", "de"}
        assert "qwen3-tts:0.6b was asked for" in child.steps[-1]["what"]
        assert child.steps[-1]["fraction"] == 1.0
        child.send(type="test", task=1)
        assert child.answer(1).end["type"] == "done"


@pytest.mark.process
def test_without_its_packages_the_remedy_is_named(tmp_path: Path) -> None:
    with start_worker() as child:
        child.link.settimeout(60)
        answer = load(child, tmp_path)
        assert answer["type"] == "refused"
        assert "voiced engine install qwen3-tts" in answer["message"]


def test_a_segment_sounds_the_same_whatever_came_before(speakers: Child) -> None:
    alone = speakers.speak(1, TEXT).audio[0]
    assert alone
    assert speakers.speak(2, "Other.", TEXT).audio[1] == alone
    speakers.speak(3, "Hallo.", language="de", voice="vivian", seed=5)
    assert speakers.speak(4, TEXT).audio[0] == alone
    failed = speakers.speak(5, "A ~ here.", TEXT)
    assert failed.end["type"] == "failed"
    assert failed.end["code"] == "synthesis-failed"
    assert "are no numbers" in failed.end["message"]
    assert speakers.speak(6, TEXT).audio[0] == alone


def test_text_seed_speaker_and_language_count(speakers: Child) -> None:
    usual = speakers.speak(1, TEXT, voice="ryan").audio[0]
    assert speakers.speak(2, TEXT).audio[0] == usual  # the first whose own language it is
    others = [
        speakers.speak(3, "Hello there.").audio[0],
        speakers.speak(4, TEXT, seed=2).audio[0],
        speakers.speak(5, TEXT, voice="vivian").audio[0],
        speakers.speak(6, TEXT, language="de", voice="ryan").audio[0],
    ]
    assert len({usual, *others}) == 5


def test_the_first_chunk_comes_before_the_end(endless: Child) -> None:
    endless.ask(1, TEXT)
    frames = []
    while (got := endless.receive())[0]["type"] == "audio":
        frames.append((time.monotonic(), len(got[1])))
    assert frames[0][1] <= 4 * FRAME_BYTES
    assert sum(size for _, size in frames) > 40 * FRAME_BYTES
    began, ended = frames[0][0], frames[-1][0]
    assert ended - began > 0.1
    assert endless.answer(1).end["type"] == "done"


def test_a_cancel_ends_a_segment_and_the_next_is_as_ever(endless: Child) -> None:
    before = endless.speak(1, "Hi.").audio[0]
    endless.ask(2, LONG)
    assert endless.receive()[0]["type"] == "audio"
    endless.send(type="cancel", task=2)
    began = time.monotonic()
    assert endless.answer(2).end["type"] == "cancelled"
    assert time.monotonic() - began < 0.5
    assert endless.speak(3, "Hi.").audio[0] == before


def test_a_cloned_voice_is_its_own(base: Child, tmp_path: Path) -> None:
    low = recorded(tmp_path / "low.wav", 120)
    high = recorded(tmp_path / "high.wav", 300)
    usual = base.speak(1, TEXT, prompt=voice_of(low, "low")).audio[0]
    assert usual
    other = base.speak(2, TEXT, prompt=voice_of(high, "high")).audio[0]
    untold = base.speak(3, TEXT, prompt=voice_of(low, "untold", transcript="")).audio[0]
    assert len({usual, other, untold}) == 3
    assert base.speak(4, TEXT, prompt=voice_of(low, "low")).audio[0] == usual


def test_a_voice_prepared_for_one_size_is_prepared_anew_for_the_other(
    overlay: Path, root: Path, base: Child, tmp_path: Path
) -> None:
    recording = recorded(tmp_path / "low.wav", 120)
    prompt = voice_of(recording, "both", file=tmp_path / "both.prompt")
    base.speak(1, TEXT, prompt=prompt)
    assert (tmp_path / "both.prompt").exists()
    with start_worker(overlay=overlay) as big:
        assert load(big, root / "base-17", model="qwen3-tts:1.7b")["type"] == "ready"
        big.ask(1, TEXT, prompt=prompt)
        told, _ = big.receive()
        assert told["type"] == "prompt"
        assert told["source"] == "made"
        assert "other model: qwen3-tts:0.6b" in told["reason"]
        assert big.answer(1).end["type"] == "done"


def test_what_cannot_be_served_leaves_the_worker_as_it_was(base: Child, tmp_path: Path) -> None:
    prompt = voice_of(recorded(tmp_path / "low.wav", 120), "low")
    usual = base.speak(1, TEXT, prompt=prompt).audio[0]
    assert base.speak(2, TEXT).end["code"] == "invalid-request"
    assert base.speak(3, TEXT, prompt=prompt, language="nb").end["code"] == "unknown-language"
    short = voice_of(recorded(tmp_path / "short.wav", 120, seconds=1), "short")
    assert base.speak(4, TEXT, prompt=short).end["code"] == "reference-refused"
    steps = len(base.steps)
    assert base.speak(5, TEXT, prompt=prompt).audio[0] == usual
    assert len(base.steps) == steps  # it was not loaded again


def test_blank_text_is_silence(speakers: Child) -> None:
    answer = speakers.speak(1, "  \n", TEXT)
    assert answer.end["type"] == "done"
    assert answer.spoken[0]["samples"] == 0
    assert answer.audio[1] == speakers.speak(2, TEXT).audio[0]


def test_half_precision_speaks_too(overlay: Path, root: Path) -> None:
    with start_worker(overlay=overlay) as child:
        assert load(child, root / "speakers-06", precision="bf16")["type"] == "ready"
        first = child.speak(1, TEXT)
        assert first.end["type"] == "done"
        assert first.audio[0] == child.speak(2, TEXT).audio[0]


def test_a_folder_without_a_codec_is_refused(overlay: Path, root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(root / "base-06", tmp_path / "model")
    shutil.rmtree(folder / "speech_tokenizer")
    with start_worker(overlay=overlay) as child:
        answer = load(child, folder)
        assert answer["type"] == "refused"
        assert answer["code"] == "model-damaged"


# -- from inside ---------------------------------------------------------------------------------------


def test_it_loads_and_speaks_as_upstream_does(found: Inside) -> None:
    upstream = found["upstream"]
    for name in ("base-06", "base-17"):
        assert upstream[f"{name} codes"]
        assert upstream[f"{name} vector"] == 0.0
    for name in ("base-06", "base-17", "speakers-17", "design-17"):
        # Rounding alone: convolutions of other lengths add up in another order.
        assert upstream[f"{name} audio"] < 1e-3
        assert upstream[f"{name} peak"] > 0.1


def test_a_decoding_in_pieces_is_that_at_once(found: Inside) -> None:
    assert found["pieces"] < 1e-6


@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("no recording", "ReferenceRefused", "10 to 30 s"),
        ("short", "ReferenceRefused", "1.0 s long"),
        ("long", "ReferenceRefused", "61.0 s long"),
        ("silent", "ReferenceRefused", "louder"),
        ("no numbers", "ReferenceRefused", "no sound"),
        ("clone by speakers", "InvalidRequest", "take qwen3-tts:0.6b"),
        ("small voice on big", "InvalidRequest", "has 32 numbers and qwen3-tts:1.7b takes 64"),
        ("wild codes", "InvalidRequest", "add the voice again"),
        ("narrow codes", "InvalidRequest", "add the voice again"),
        ("no voice", "InvalidRequest", "voiced voice add"),
        ("speaker of base", "InvalidRequest", "take qwen3-tts:0.6b-speakers"),
        ("description of base", "InvalidRequest", "take qwen3-tts:1.7b-design"),
        ("unknown speaker", "UnknownVoice", "it has ryan, vivian, dylan"),
        ("voice by speakers", "InvalidRequest", "take qwen3-tts:0.6b"),
        ("manner of small", "InvalidRequest", "take qwen3-tts:1.7b-speakers"),
        ("speaker of design", "InvalidRequest", "take qwen3-tts:1.7b-speakers"),
        ("language", "UnknownLanguage", "it speaks en, zh, de"),
        ("numbers", "SynthesisFailed", "pull or import it again"),
    ],
)
def test_what_cannot_be_served_is_named_with_its_remedy(
    found: Inside, case: str, error: str, words: str
) -> None:
    name, message = found["refusals"][case]
    assert name == error
    assert words in message


@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("no codec encoder", "EngineLoadFailed", "encoder.encoder.layers.0.conv.weight"),
        ("no codebook", "EngineLoadFailed", "encoder.quantizer.acoustic"),
        ("no speaker encoder", "EngineLoadFailed", "speaker_encoder.fc.weight"),
        ("no layer", "EngineLoadFailed", "2 layers and the weights have 1"),
        ("cut off", "ModelDamaged", "model.safetensors"),
        ("no weights", "ModelDamaged", "import or pull"),
        ("no configuration", "ModelDamaged", "config.json"),
        ("other model", "EngineLoadFailed", "'llama'"),
        ("other kind", "EngineLoadFailed", "'singing'"),
        ("a million layers", "EngineLoadFailed", "1000000 layers"),
        ("wider", "EngineLoadFailed", "do not fit"),
        ("words as numbers", "EngineLoadFailed", "describes no model"),
        ("no tokenizer", "EngineLoadFailed", "tokenizer"),
        ("no extractor", "EngineLoadFailed", "preprocessor_config.json"),
        ("no folder", "EngineLoadFailed", "voiced pull"),
        ("int8 on a GPU", "EngineLoadFailed", "on a CPU only"),
    ],
)
def test_a_damaged_model_is_named_with_its_remedy(found: Inside, case: str, error: str, words: str) -> None:
    name, message = found["damage"][case]
    assert name == error
    assert words in message


def test_refusals_leave_the_engine_as_it_was(found: Inside) -> None:
    assert found["refusals"]["after them"][0] == "True"


def test_one_changed_weight_is_heard(found: Inside) -> None:
    for name, (is_voice_changed, is_audio_changed) in found["one weight"].items():
        is_of_voices = name.startswith(("encoder.", "speaker_encoder."))
        assert is_voice_changed == is_of_voices, name
        assert is_audio_changed != is_of_voices, name
    assert len(found["one weight"]) == 6


@pytest.mark.parametrize("case", ["whole", "cancelled", "left alone", "failed"])
def test_nothing_is_left_of_a_segment(found: Inside, case: str) -> None:
    hooks, threads, is_same = found["left behind"][case][-3:]
    assert (hooks, threads, is_same) == (0, 1, True)


def test_chunks_grow(found: Inside) -> None:
    assert found["left behind"]["sizes"] == [2, 2, 4, 8, 16]


def test_a_text_sets_nothing_by_the_models_own_marks(found: Inside) -> None:
    assert found["left behind"]["marks"]


def test_how_prompts_are_made(found: Inside) -> None:
    voices = found["voices"]
    assert voices["only"] == [["ref_spk_embedding"], "x-vector", ""]
    assert voices["told"] == [["ref_code", "ref_spk_embedding"], "icl", "Low."]
    assert voices["types"] == ["int64", "float32"]
    assert voices["shapes"] == [[50, 16], [32]]
    assert voices["mean"]
    assert voices["longest"] == ["High.", True]
    assert voices["differ"] == 4
    assert voices["volume"] == 0.0


def test_weights_in_8_bits_are_kept(found: Inside) -> None:
    eight = found["eight bits"]
    first, second, third = eight["steps"]
    assert "first use" in first
    assert "from the cache" in second
    assert "file damaged" in third
    assert eight["same"] == [True, True]
    assert eight["finite"]
    assert eight["rounded"]


# -- pure rules ----------------------------------------------------------------------------------------

_LANGUAGES = ("en", "zh", "de")
_VOICES = (EngineVoice("ryan", "Ryan", _LANGUAGES), EngineVoice("vivian", "Vivian", ("zh", "en", "de")))


def model(size: str = "1.7b", kind: str = qwen3_rules.CUSTOM_VOICE) -> qwen3_rules.Model:
    return qwen3_rules.Model(f"qwen3-tts:{size}", kind, _LANGUAGES, _VOICES)


def asked(**fields: Any) -> SegmentRequest:
    usual: dict[str, Any] = {"place": 0, "text": TEXT, "language": "en", "voice": "", "seed": 1}
    return SegmentRequest(**usual | fields)


@pytest.mark.parametrize(
    ("talker", "predictor", "size"), [(1024, 1024, "0.6b"), (2048, 1024, "1.7b"), (64, 32, "1.7b")]
)
def test_the_size_is_that_of_the_widths(talker: int, predictor: int, size: str) -> None:
    assert qwen3_rules.size_of(talker, predictor) == size


def test_languages_by_tag_and_by_name() -> None:
    languages = qwen3_rules.languages_of({"english": 1, "chinese": 2, "beijing_dialect": 3, "klingon": 4})
    assert languages == ("en", "zh")
    assert qwen3_rules.language_name("en-US", languages) == "english"
    assert qwen3_rules.language_name("zh_Hans_CN", languages) == "chinese"
    assert qwen3_rules.language_name("", languages) == "auto"
    with pytest.raises(UnknownLanguage, match="it speaks en, zh"):
        qwen3_rules.language_name("de", languages)


def test_speakers_speak_their_own_language_first() -> None:
    voices = qwen3_rules.voices_of({"Uncle_Fu": 1, "ryan": 2, "somebody": 3}, _LANGUAGES)
    assert voices[0] == EngineVoice("uncle_fu", "Uncle Fu", ("zh", "en", "de"), "male")
    assert voices[1].languages == ("en", "zh", "de")
    assert voices[2] == EngineVoice("somebody", "Somebody", _LANGUAGES, "")


@pytest.mark.parametrize(
    ("voice", "tag", "speaker"),
    [
        ("Ryan", "zh", "ryan"),
        ("", "zh-CN", "vivian"),
        ("", "en", "ryan"),
        ("", "de", "ryan"),
        ("", "", "ryan"),
    ],
)
def test_which_speaker_speaks(voice: str, tag: str, speaker: str) -> None:
    assert qwen3_rules.choose_speaker(voice, tag, _VOICES) == speaker


def test_a_speaker_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownVoice, match="it has ryan, vivian"):
        qwen3_rules.choose_speaker("bob", "en", _VOICES)


def test_how_a_request_is_spoken() -> None:
    prompt = Prompt({})
    design, base = model(kind=qwen3_rules.VOICE_DESIGN), model(kind=qwen3_rules.BASE)
    assert qwen3_rules.manner_of(model(), asked(description="Softly.")) == ("english", "ryan", "Softly.")
    assert qwen3_rules.manner_of(design, asked(description="Calm.")) == ("english", "", "Calm.")
    # The voice's name travels with its prompt.
    assert qwen3_rules.manner_of(base, asked(prompt=prompt, voice="me")) == ("english", "", "")
    for wrong, request in [
        (model("0.6b"), asked(description="Softly.")),
        (model(), asked(prompt=prompt)),
        (design, asked(voice="ryan")),
        (base, asked()),
        (base, asked(prompt=prompt, description="Calm.")),
    ]:
        with pytest.raises(InvalidRequest, match="take qwen3-tts"):
            qwen3_rules.manner_of(wrong, request)


def test_another_size_than_asked_for_is_told() -> None:
    assert model().compared("qwen3-tts:1.7b-speakers") == "qwen3-tts:1.7b is ready"
    assert "qwen3-tts:0.6b-speakers was asked for" in model().compared("qwen3-tts:0.6b-speakers")


@given(st.text(max_size=500), st.integers(1, 5000))
def test_a_text_has_room_and_a_bound(text: str, limit: int) -> None:
    frames = qwen3_rules.most_frames(text, limit)
    assert 1 <= frames <= limit
    # The quickest speakers need 0.05 s for a letter.
    assert frames == limit or frames * qwen3_rules.FRAME_S >= 0.05 * len(text)
    assert qwen3_rules.most_frames(text + "a", limit) >= frames


def test_scripts_of_syllables_and_digits_have_more_room() -> None:
    latin, chinese, digits = (qwen3_rules.most_frames(char * 40, 4000) for char in "a中7")
    assert latin < chinese
    assert latin < digits


def test_every_chunk_is_at_most_what_was_before_it() -> None:
    sizes = qwen3_rules.chunk_sizes()
    before = first = next(sizes)
    for _ in range(50):
        size = next(sizes)
        assert first <= size <= min(before, qwen3_rules.MOST_FRAMES)
        before += size
    assert size == qwen3_rules.MOST_FRAMES


@given(st.text(alphabet="<|im_end>ab ", max_size=60))
def test_no_mark_is_left_in_a_text(text: str) -> None:
    marks = qwen3_rules.marks_of(("<|im_end|>", "<tts_pad>", "assistant"))
    assert marks == ("<|im_end|>", "<tts_pad>")
    assert not any(mark in qwen3_rules.without_marks(text, marks) for mark in marks)


def test_filters_are_those_of_librosa() -> None:
    filters = mel_filters(sr=24000, n_fft=1024, n_mels=128, fmin=0, fmax=12000)
    assert filters.shape == (128, 513)
    assert filters.dtype == np.float32
    # Figures of librosa 0.11.
    assert filters.sum() == pytest.approx(5.4594154, abs=1e-5)
    assert filters[100, 236:242] == pytest.approx(
        [0.003819608, 0.004841361, 0.005863115, 0.006238921, 0.005244642, 0.004250362], rel=1e-6
    )
