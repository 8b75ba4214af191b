"""The worker of models, with the tone engine: a real process over a real link."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.daemon.child.helpers import Answer, Child, start_worker
from voiced.audio.check import Fault
from voiced.audio.hearing import peak_of
from voiced.audio.trim import trimmed
from voiced.child.pieces import pieces_of
from voiced.child.take import Take
from voiced.child.worker import to_pcm16
from voiced.engines.base import SegmentRequest
from voiced.engines.tone import SAMPLE_RATE_HZ, SAMPLES_PER_CHAR, tone_samples
from voiced_ipc.errors import SynthesisFailed

TEXT = "A text of forty characters, and no more."
LONG_TEXT = "A sentence that is so long that a pattern of half a second stands in it four times and more, and so long."


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    with start_worker() as started:
        assert started.load(engine="tone", folder=str(tmp_path))["type"] == "ready"
        yield started


def request(text: str, **fields: Any) -> SegmentRequest:
    return SegmentRequest(0, text, "en", "tone-low", 1)._replace(**fields)


def pcm16(samples: NDArray[np.float32]) -> bytes:
    return to_pcm16(samples, peak_of(samples))


def expected(text: str, **fields: Any) -> bytes:
    return trimmed(pcm16(tone_samples(request(text, **fields))), SAMPLE_RATE_HZ)


def code(answer: Answer) -> tuple[str, str]:
    return answer.end["type"], answer.end.get("code", "")


@pytest.mark.process
class TestLoad:
    def test_ready(self) -> None:
        with start_worker() as child:
            ready = child.load(engine="tone")
        assert ready["type"] == "ready"
        assert (ready["sample_rate_hz"], ready["slots"], ready["max_batch"]) == (24000, 1, 1)
        assert [voice["voice"] for voice in ready["voices"]] == ["tone-low", "tone-high"]
        assert ready["voices"][0]["language"] == ready["languages"][0] == "en"
        assert ready["can_cancel"]

    @pytest.mark.parametrize(
        "fields", [{"engine": "nobody"}, {"engine": "tone", "folder": "/nowhere/at/all"}]
    )
    def test_refused(self, fields: dict[str, str]) -> None:
        with start_worker() as child:
            answer = child.load(**fields)
            assert (answer["type"], answer["code"]) == ("refused", "engine-load-failed")
            assert child.wait_gone() == 0


class TestSpeak:
    @pytest.mark.parametrize("is_stream", [True, False])
    def test_every_sample_is_known(self, child: Child, is_stream: bool) -> None:
        answer = child.speak(1, TEXT, TEXT + " More.", is_stream=is_stream, voice="tone-low")
        assert answer.end["type"] == "done"
        assert answer.audio == {0: expected(TEXT), 1: expected(TEXT + " More.")}
        assert answer.spoken[0]["samples"] == len(TEXT) * SAMPLES_PER_CHAR
        assert answer.spoken[0]["missed"] == []

    def test_options_reach_the_engine(self, child: Child) -> None:
        fields = {"voice": "tone-high", "speed": 2.0, "volume": 0.5, "pitch": 1.5, "seed": 9}
        assert child.speak(1, TEXT, **fields).audio[0] == expected(TEXT, **fields)

    def test_a_segment_in_pieces_is_one_segment(self, child: Child) -> None:
        answer = child.speak(1, TEXT, TEXT, voice="tone-low", max_chars=24)
        pieces = pieces_of(TEXT, 24)
        assert len(pieces) == 2
        whole = b"".join(pcm16(tone_samples(request(piece))) for piece in pieces)
        assert answer.audio == dict.fromkeys((0, 1), trimmed(whole, SAMPLE_RATE_HZ))

    def test_empty_segments(self, child: Child) -> None:
        answer = child.speak(1, "", TEXT, " ", voice="tone-low")
        assert [answer.spoken[place]["samples"] for place in range(3)] == [0, len(TEXT) * SAMPLES_PER_CHAR, 0]
        assert child.speak(2).end["type"] == "done"

    def test_chunks_of_a_stream_grow(self, child: Child) -> None:
        chunks = child.speak(1, TEXT * 10).chunks
        assert chunks[0] < chunks[-2]
        assert max(chunks) <= 64 << 10
        assert max(child.speak(2, TEXT * 10, is_stream=False).chunks) > 200 << 10

    @pytest.mark.parametrize("fault", ["nan", "fail"])
    def test_failure_ends_the_task_alone(self, child: Child, fault: str) -> None:
        assert code(child.speak(1, f"{TEXT} [[{fault}]]")) == ("failed", "synthesis-failed")
        assert child.speak(2, TEXT, voice="tone-low").audio[0] == expected(TEXT)

    def test_failure_once(self, child: Child) -> None:
        text = f"{TEXT} [[once:here:fail]]"
        assert code(child.speak(1, text)) == ("failed", "synthesis-failed")
        assert child.speak(2, text, voice="tone-low").audio[0] == expected(text)

    def test_silence_is_trimmed_and_noise_clipped(self, child: Child) -> None:
        assert child.speak(1, f"{TEXT} [[silent]]").spoken[0]["samples"] == 0
        assert np.frombuffer(child.speak(2, f"{TEXT} [[clip]]").audio[0], "<i2").max() == 32767

    def test_crash(self, child: Child) -> None:
        child.ask(1, "[[crash]]")
        with pytest.raises(EOFError):
            child.answer(1)
        assert child.wait_gone() == -11

    def test_it_eats_and_tells(self, child: Child) -> None:
        def rss() -> int:
            child.send(type="ping", n=1)
            return int(child.receive()[0]["rss_bytes"])

        before = rss()
        child.speak(1, "[[eat:50]]")
        assert rss() > before + 40_000_000

    def test_engine_that_cannot_come_back(self, child: Child, tmp_path: Path) -> None:
        tmp_path.rmdir()
        child.ask(1, "[[fail]]")
        assert child.wait_gone() == 3


class TestChecks:
    FAULTS: ClassVar = {
        "silent": Fault.SILENT,
        "clip": Fault.CLIPPED,
        "short": Fault.SHORT,
        "long": Fault.LONG,
        "repeat": Fault.REPEATS,
        "endless": Fault.ENDLESS,
    }

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("is_stream", [True, False])
    def test_each_fault_is_told(self, child: Child, fault: str, is_stream: bool) -> None:
        spoken = child.speak(1, f"{LONG_TEXT} [[{fault}]]", is_stream=is_stream).spoken[0]
        assert self.FAULTS[fault].value in spoken["faults"]
        # What was heard cannot be taken back.
        assert bool(spoken.get("redone")) is not is_stream

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_second_take_is_kept_where_it_is_better(self, child: Child, fault: str) -> None:
        text = f"{LONG_TEXT} [[once:{fault}:{fault}]]"
        answer = child.speak(1, text, is_stream=False, voice="tone-low")
        assert self.FAULTS[fault].value in answer.spoken[0]["redone"]
        assert answer.spoken[0]["faults"] == []
        again = Take(request(text), SAMPLE_RATE_HZ).other
        assert again is not None
        assert answer.audio[0] == trimmed(pcm16(tone_samples(again)), SAMPLE_RATE_HZ)

    def test_speech_without_a_fault_is_spoken_once(self, child: Child) -> None:
        spoken = child.speak(1, LONG_TEXT, is_stream=False).spoken[0]
        assert spoken["faults"] == spoken["redone"] == []

    def test_a_described_voice_has_no_other_take(self) -> None:
        assert Take(request(TEXT, description="An old man."), SAMPLE_RATE_HZ).other is None


@pytest.mark.process
class TestLife:
    def test_ping_and_cancel_while_speaking(self, child: Child) -> None:
        child.ask(1, "[[slow:0.02]]" + "x" * 5000)
        child.ask(2, TEXT)
        child.receive()
        child.send(type="ping", n=5)
        fields: dict[str, Any] = {"type": ""}
        while fields["type"] != "pong":
            fields, _ = child.receive()
        assert fields["n"] == 5
        began = time.monotonic()
        child.send(type="cancel", task=2)
        child.send(type="cancel", task=1)
        child.send(type="cancel", task=99)
        assert child.answer(1).end["type"] == "cancelled"
        assert time.monotonic() - began < 0.5
        assert child.answer(2).end["type"] == "cancelled"
        assert child.speak(3, TEXT, voice="tone-low").audio[0] == expected(TEXT)

    def test_cancel_after_the_end_is_nothing(self, child: Child) -> None:
        child.speak(1, TEXT)
        child.send(type="cancel", task=1)
        assert child.speak(2, TEXT).end["type"] == "done"

    def test_a_hung_engine_answers_pings_and_ends(self, child: Child) -> None:
        child.ask(1, "[[hang]]")
        child.send(type="ping", n=1)
        assert child.receive()[0]["type"] == "pong"
        child.send(type="end")
        assert child.wait_gone() == 0

    def test_a_hung_interpreter_answers_nothing(self, child: Child) -> None:
        child.ask(1, "[[hang-gil]]")
        time.sleep(0.1)
        child.send(type="ping", n=1)
        child.link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            child.receive()
        child.process.kill()

    @pytest.mark.parametrize("text", ["[[hang]]", TEXT])
    def test_it_goes_with_the_link(self, child: Child, text: str) -> None:
        child.ask(1, text)
        child.link.close()
        assert child.wait_gone() == 0

    def test_nonsense(self, child: Child) -> None:
        child.link.sendall(b"\xff" * 64)
        assert child.wait_gone() == 0

    def test_a_frame_without_its_fields(self, child: Child) -> None:
        child.send(type="speak")
        assert child.wait_gone() == 2

    def test_end_before_load(self) -> None:
        with start_worker() as child:
            child.send(type="end")
            assert child.wait_gone() == 0


class TestPcm:
    def test_scale_and_clip(self) -> None:
        samples = np.array([-2, -1, -0.5, 0, 0.5, 1, 2], np.float32)
        assert np.frombuffer(pcm16(samples), "<i2").tolist() == [
            -32767,
            -32767,
            -16384,
            0,
            16384,
            32767,
            32767,
        ]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, value: float) -> None:
        with pytest.raises(SynthesisFailed):
            pcm16(np.array([0, value], np.float32))


@pytest.mark.process
def test_environment_reaches_it() -> None:
    with start_worker(dict(os.environ) | {"OMP_NUM_THREADS": "1"}) as child:
        assert child.load(engine="tone")["type"] == "ready"
