"""Piper: the real package in the real worker, with a toy voice whose graph is real."""

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.checkpoints.piper import SAMPLE_RATE_HZ, SAMPLES_PER_ID, VOICE, build
from tests.overlays import overlay_of
from tests.support import need

pytestmark = [pytest.mark.engines, pytest.mark.process]

MODEL = f"piper:{VOICE}"
FIRST, SECOND = "Hello world.", "This is a second sentence."
TWO = f"{FIRST} {SECOND}"
LONG = "a sentence that goes on and on and never comes to an end " * 3
SLOW_WORK = 60


@pytest.fixture(scope="module")
def overlay() -> Path:
    return overlay_of("piper")


@contextlib.contextmanager
def loaded(overlay: Path, folder: Path, **fields: Any) -> Iterator[tuple[Child, dict[str, Any]]]:
    with start_worker(overlay=overlay) as child:
        answer = child.load(
            engine="piper", family="piper", model=MODEL, folder=str(folder), threads=2, **fields
        )
        yield child, answer


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a voice that draws noise."""
    folder = tmp_path_factory.mktemp("voice")
    build(folder, has_noise=True)
    return folder


@pytest.fixture(scope="module")
def child(overlay: Path, voice: Path) -> Iterator[Child]:
    """A worker for all tests that only speak: none must leave a trace."""
    with loaded(overlay, voice) as (child, answer):
        assert answer["type"] == "ready", answer
        yield child


def test_what_a_voice_tells_of_itself(overlay: Path, tmp_path: Path) -> None:
    build(tmp_path)
    with loaded(overlay, tmp_path) as (child, answer):
        assert answer["sample_rate_hz"] == SAMPLE_RATE_HZ
        assert [(voice["voice"], voice["languages"]) for voice in answer["voices"]] == [(VOICE, ["en-US"])]
        assert answer["identities"] == ["speaker"]
        assert answer["identity"]["model"] == MODEL
        assert answer["is_repeatable"]
        assert answer["can_cancel"]
        fractions = [step["fraction"] for step in child.steps]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


def test_it_needs_no_torch(overlay: Path, tmp_path: Path) -> None:
    build(tmp_path)
    with loaded(overlay, tmp_path) as (child, _):
        libraries = Path(f"/proc/{child.process.pid}/maps")
        need("linux", libraries.exists(), "the libraries of a process are read in /proc")
        mapped = libraries.read_text()
        assert "onnxruntime" in mapped
        assert "libtorch" not in mapped


def test_a_sentence_is_a_chunk_and_the_first_is_sent_before_the_second_is_made(
    overlay: Path, tmp_path: Path
) -> None:
    build(tmp_path, work=SLOW_WORK)
    with loaded(overlay, tmp_path) as (child, _):
        child.ask(1, f"Yes. {LONG.capitalize()}")
        fields, payload = child.receive()
        assert fields["type"] == "audio"
        assert payload
        # The long sentence takes seconds: a cancel that still finds something to stop proves that it was not made.
        child.send(type="cancel", task=1)
        answer = child.answer(1)
        assert answer.end["type"] == "cancelled"
        assert not answer.spoken


def test_cancel_stops_inside_a_sentence_and_leaves_no_trace(overlay: Path, tmp_path: Path) -> None:
    build(tmp_path, has_noise=True, work=SLOW_WORK)
    with loaded(overlay, tmp_path) as (child, _):
        before = child.speak(1, TWO)
        child.ask(2, LONG * 10)
        child.send(type="cancel", task=2)
        answer = child.answer(2)
        assert answer.end["type"] == "cancelled"
        assert not answer.audio
        assert child.speak(3, TWO).audio == before.audio


def test_a_segment_sounds_the_same_alone_in_a_run_and_after_others(child: Child) -> None:
    alone = child.speak(1, TWO).audio[0]
    assert alone
    run = child.speak(2, "Something else.", TWO, "And more of it.", TWO).audio
    assert run[1] == alone
    assert run[3] == alone
    child.speak(3, "Another one, faster.", seed=77, speed=1.7)
    assert child.speak(4, TWO).audio[0] == alone


def test_a_fresh_worker_speaks_the_same(child: Child, overlay: Path, voice: Path) -> None:
    with loaded(overlay, voice) as (fresh, _):
        fresh.speak(1, "Something else.")
        assert fresh.speak(2, TWO).audio == child.speak(1, TWO).audio


def test_another_seed_draws_other_noise(child: Child) -> None:
    audio = {child.speak(seed, TWO, seed=seed).audio[0] for seed in range(1, 4)}
    assert len(audio) == 3
    assert len({len(samples) for samples in audio}) == 1


def test_speed_and_volume(child: Child) -> None:
    usual, fast = (child.speak(task, FIRST, speed=speed).audio[0] for task, speed in ((1, 1.0), (2, 2.0)))
    # Edges are trimmed: about half, to a phoneme.
    assert abs(len(fast) * 2 - len(usual)) <= SAMPLES_PER_ID * 4
    quiet = child.speak(3, FIRST, volume=0.5).audio[0]
    assert _peak(quiet) == pytest.approx(_peak(usual) / 2, rel=0.02)


def test_the_text_counts(child: Child) -> None:
    assert child.speak(1, FIRST).audio != child.speak(2, "Goodbye, moon.").audio


@pytest.mark.parametrize(
    "text", ["a [[b", "[[", "[[helo]] you", "]] [[ ]]", "one\ntwo", "\x00\x07hi", "€ 𝄞 你好"]
)
def test_no_text_is_a_command_or_a_failure(child: Child, text: str) -> None:
    answer = child.speak(1, text, FIRST)
    assert answer.end["type"] == "done"
    assert answer.audio[1] == child.speak(2, FIRST).audio[0]


def test_brackets_are_not_raw_phonemes(child: Child) -> None:
    # As raw phonemes the last two letters would be lost.
    assert child.speak(1, "[[hello").audio[0] == child.speak(2, "[ [hello").audio[0]
    assert child.speak(3, "[[[hello]]").audio[0] == child.speak(4, "[ [ [hello]]").audio[0]


@pytest.mark.parametrize("text", ["", "   ", "..."])
def test_nothing_to_say_is_no_failure(child: Child, text: str) -> None:
    answer = child.speak(1, text)
    assert answer.end["type"] == "done"
    assert answer.spoken[0]["words"] == 0


def test_speakers(overlay: Path, tmp_path: Path) -> None:
    build(tmp_path, speakers=("anna", "bert", "carl"))
    with loaded(overlay, tmp_path) as (child, answer):
        assert [voice["voice"] for voice in answer["voices"]] == ["anna", "bert", "carl"]
        spoken = {name: child.speak(1, FIRST, voice=name).audio[0] for name in ("anna", "bert", "carl")}
        assert len(set(spoken.values())) == 3
        assert child.speak(2, FIRST).audio[0] == spoken["anna"]
        assert child.speak(3, FIRST, voice="bert").audio[0] == spoken["bert"]


def test_an_unknown_speaker_is_refused_and_the_next_is_spoken(child: Child) -> None:
    answer = child.speak(1, FIRST, voice="nobody")
    assert answer.end["type"] == "failed"
    assert answer.end["code"] == "unknown-voice"
    assert VOICE in answer.end["message"]
    assert child.speak(2, FIRST, voice=VOICE).end["type"] == "done"


def test_a_failure_inside_leaves_no_trace(child: Child) -> None:
    before = child.speak(1, FIRST).audio
    # So slow that there is no memory for the samples; the engine is loaded again.
    end = child.speak(2, FIRST, speed=1e-12).end
    assert (end["type"], end["code"]) == ("failed", "device-out-of-memory")
    assert child.speak(3, FIRST).audio == before


def _damage_half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _damage_words(file: Path) -> None:
    file.write_text("no graph at all")


def _damage_bytes(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[100:140] = bytes(40)
    file.write_bytes(raw)


def _make_numbers_none(file: Path) -> None:
    raw = file.read_bytes()
    old, new = struct.pack("<f", 0.3), struct.pack("<f", float("nan"))
    assert raw.count(old) == 1
    file.write_bytes(raw.replace(old, new))


def _take_away(file: Path) -> None:
    file.unlink()


def _add_another(file: Path) -> None:
    file.with_name("another.onnx").write_bytes(file.read_bytes())


def _damage_json(file: Path) -> None:
    file.with_name(file.name + ".json").write_text("{")


def _foreign_json(file: Path) -> None:
    file.with_name(file.name + ".json").write_text('{"audio": 1}')


def _change_json(**changes: Any) -> Any:
    def change(file: Path) -> None:
        beside = file.with_name(file.name + ".json")
        beside.write_text(json.dumps(json.loads(beside.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    "spoil",
    [
        *(
            _damage_half,
            _damage_words,
            _damage_bytes,
            _make_numbers_none,
            _take_away,
            _add_another,
            _damage_json,
            _foreign_json,
        ),
        pytest.param(_change_json(espeak={"voice": "xx-nowhere"}), id="unknown-espeak-voice"),
        pytest.param(_change_json(phoneme_type="pinyin"), id="pinyin"),
        pytest.param(_change_json(phoneme_type="runes"), id="unknown-phonemes"),
        pytest.param(_change_json(num_symbols=3), id="too-few-symbols"),
        pytest.param(_change_json(phoneme_id_map={"a": [1]}), id="no-borders"),
        pytest.param(_change_json(phoneme_id_map={}), id="no-symbols"),
    ],
)
def test_a_voice_that_cannot_be_loaded_is_refused_with_the_remedy(
    overlay: Path, tmp_path: Path, spoil: Any
) -> None:
    spoil(build(tmp_path))
    with loaded(overlay, tmp_path) as (child, answer):
        assert answer["type"] == "refused"
        assert answer["code"] in ("engine-load-failed", "model-damaged")
        assert any(remedy in answer["message"] for remedy in ("pull or import", "take a voice"))
        assert child.wait_gone() == 0


def test_without_its_packages_the_remedy_is_to_install_them(tmp_path: Path) -> None:
    build(tmp_path)
    with start_worker() as child:
        answer = child.load(engine="piper", family="piper", model=MODEL, folder=str(tmp_path))
        assert answer["code"] == "engine-load-failed"
        assert "voiced engine install piper" in answer["message"]


def test_the_text_is_not_logged(overlay: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _change_json(phoneme_id_map={symbol: [number] for number, symbol in enumerate("_^$ ")})(build(tmp_path))
    with loaded(overlay, tmp_path) as (child, _):
        assert child.speak(1, FIRST).end["type"] == "done"
    assert capfd.readouterr().err == ""


def _peak(pcm: bytes) -> int:
    return max(
        abs(int.from_bytes(pcm[place : place + 2], "little", signed=True)) for place in range(0, len(pcm), 2)
    )
