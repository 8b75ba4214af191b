"""Recordings through the real scribe: what becomes a reference, what is refused, and what survives hostile audio."""

import hashlib
import os
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.daemon.child_scribe.support import RunningScribe, running_scribe

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def scribe() -> Iterator[RunningScribe]:
    with running_scribe(memory_bytes=1 << 30, cpu_s=20.0) as running:
        yield running


def tone(seconds: float = 12.0, level: float = 0.3, rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    wave_ = level * np.sin(2 * np.pi * 150 / rate_hz * np.arange(int(seconds * rate_hz)))
    samples: NDArray[np.float32] = wave_.astype(np.float32)
    return samples


def save(
    folder: Path, samples: NDArray[Any], name: str = "in.wav", rate_hz: int = RATE_HZ, **how: Any
) -> Path:
    path = folder / name
    soundfile.write(path, samples, rate_hz, **how)
    return path


def make(scribe: RunningScribe, folder: Path, *sources: Path) -> dict[str, Any]:
    target = folder / "out"
    target.mkdir(exist_ok=True)
    answer, _ = scribe.ask(
        "reference", task=7, sources=[str(source) for source in sources], folder=str(target)
    )
    return answer


def refusal(scribe: RunningScribe, folder: Path, source: Path) -> str:
    answer = make(scribe, folder, source)
    assert (answer["type"], answer["code"]) == ("failed", "reference-refused"), answer
    return str(answer["message"])


class TestMade:
    @pytest.mark.parametrize(
        ("name", "how"),
        [
            ("in.wav", {}),
            ("in.wav", {"subtype": "FLOAT"}),
            ("in.wav", {"subtype": "PCM_24"}),
            ("in.flac", {}),
            ("in.ogg", {}),
            ("in.mp3", {}),
            ("in.aiff", {}),
        ],
    )
    def test_formats(self, scribe: RunningScribe, tmp_path: Path, name: str, how: dict[str, Any]) -> None:
        answer = make(scribe, tmp_path, save(tmp_path, tone(), name, **how))
        (made,) = answer["recordings"]
        path = tmp_path / "out" / "ref-1.wav"
        assert made["file"] == path.name
        assert made["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert made["seconds"] == pytest.approx(12.0, abs=0.1)
        assert made["sample_rate_hz"] == RATE_HZ
        assert answer["notes"] == []
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        assert np.abs(samples).max() == pytest.approx(0.3, abs=0.03)
        assert path.stat().st_mode & 0o777 == 0o600

    def test_channels_are_mixed(self, scribe: RunningScribe, tmp_path: Path) -> None:
        source = save(tmp_path, np.stack([tone(level=0.4), 0 * tone()], axis=1))
        make(scribe, tmp_path, source)
        assert np.abs(soundfile.read(tmp_path / "out" / "ref-1.wav")[0]).max() == pytest.approx(0.2, abs=0.01)

    def test_overshoot_is_turned_down_not_cut(self, scribe: RunningScribe, tmp_path: Path) -> None:
        loud = tone(level=0.5)
        loud[1000] = 4.0
        make(scribe, tmp_path, save(tmp_path, loud, subtype="FLOAT"))
        samples = soundfile.read(tmp_path / "out" / "ref-1.wav")[0]
        assert samples.max() == pytest.approx(1.0, abs=0.001)
        assert np.abs(samples[2000:]).max() == pytest.approx(0.125, abs=0.001)

    def test_several_keep_their_order_and_rates(self, scribe: RunningScribe, tmp_path: Path) -> None:
        sources = [
            save(tmp_path, tone(10, rate_hz=48_000), "a.wav", 48_000),
            save(tmp_path, tone(11, rate_hz=8_000), "b.wav", 8_000),
        ]
        made = make(scribe, tmp_path, *sources)["recordings"]
        facts = [(one["file"], round(one["seconds"]), one["sample_rate_hz"]) for one in made]
        assert facts == [("ref-1.wav", 10, 48_000), ("ref-2.wav", 11, 8_000)]

    @pytest.mark.parametrize(
        ("seconds", "advised"), [(2, False), (9.5, False), (10, True), (30, True), (45, False)]
    )
    def test_advice_on_the_length(
        self, scribe: RunningScribe, tmp_path: Path, seconds: float, advised: bool
    ) -> None:
        notes = make(scribe, tmp_path, save(tmp_path, tone(seconds)))["notes"]
        assert (notes == []) is advised
        assert all("10 to 30 s" in note for note in notes)


class TestRefused:
    def test_length(self, scribe: RunningScribe, tmp_path: Path) -> None:
        assert "0.50 s long" in refusal(scribe, tmp_path, save(tmp_path, tone(0.5)))
        assert "longer than 60 s" in refusal(scribe, tmp_path, save(tmp_path, tone(61)))
        assert "0.00 s long" in refusal(scribe, tmp_path, save(tmp_path, tone(0)))

    def test_level(self, scribe: RunningScribe, tmp_path: Path) -> None:
        assert "silent" in refusal(scribe, tmp_path, save(tmp_path, 0 * tone()))
        assert "too quiet" in refusal(scribe, tmp_path, save(tmp_path, tone(level=0.003)))
        assert "clipped" in refusal(scribe, tmp_path, save(tmp_path, np.clip(tone(level=2.0), -1, 1)))
        (note,) = make(scribe, tmp_path, save(tmp_path, np.clip(tone(level=1.001), -1, 1)))["notes"]
        assert "clipped" in note

    def test_rate_and_channels(self, scribe: RunningScribe, tmp_path: Path) -> None:
        assert "4000 Hz" in refusal(scribe, tmp_path, save(tmp_path, tone(), rate_hz=4000))
        many = np.repeat(tone()[:, None], 9, axis=1)
        assert "9 channels" in refusal(scribe, tmp_path, save(tmp_path, many))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_no_numbers(self, scribe: RunningScribe, tmp_path: Path, value: float) -> None:
        samples = tone()
        samples[100] = value
        assert "no numbers" in refusal(scribe, tmp_path, save(tmp_path, samples, subtype="FLOAT"))

    @pytest.mark.parametrize(
        "content", [b"", b"RIFF", b"This is a text and no audio. " * 100, b"\0" * 5000, b"PK\3\4"]
    )
    def test_no_audio(self, scribe: RunningScribe, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "in"
        path.write_bytes(content)
        assert "the recording cannot become a voice" in refusal(scribe, tmp_path, path)

    def test_which_of_several_is_named(self, scribe: RunningScribe, tmp_path: Path) -> None:
        good, bad = save(tmp_path, tone(), "a.wav"), save(tmp_path, 0 * tone(), "b.wav")
        assert make(scribe, tmp_path, good, bad)["message"].startswith("recording 2 cannot become a voice")

    def test_a_file_that_is_not_there(self, scribe: RunningScribe, tmp_path: Path) -> None:
        assert make(scribe, tmp_path, tmp_path / "none")["code"] == "storage-failed"


class TestHostile:
    def test_a_header_that_promises_the_world(self, scribe: RunningScribe, tmp_path: Path) -> None:
        path = save(tmp_path, tone())
        data = bytearray(path.read_bytes())
        data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # 4 GB, as a stream has it
        path.write_bytes(data)
        answer = make(scribe, tmp_path, path)
        assert answer["type"] in ("prepared", "failed")
        assert answer.get("code", "reference-refused") == "reference-refused"

    def test_an_hour_of_silence_in_a_few_bytes_costs_no_hour(
        self, scribe: RunningScribe, tmp_path: Path
    ) -> None:
        path = tmp_path / "long.flac"
        with soundfile.SoundFile(path, "w", 8000, 1) as file:
            for _ in range(60):
                file.write(np.zeros(60 * 8000, np.int16))
        assert path.stat().st_size < 300_000
        assert "longer than 60 s" in refusal(scribe, tmp_path, path)

    @pytest.mark.parametrize("name", ["in.wav", "in.flac", "in.ogg", "in.mp3"])
    def test_damaged_bytes_never_end_the_scribe(
        self, scribe: RunningScribe, tmp_path: Path, name: str
    ) -> None:
        whole = save(tmp_path, tone(2.0), name).read_bytes()
        random = np.random.default_rng(7)
        pid = scribe.process.pid
        for _ in range(25):
            data = bytearray(whole[: random.integers(1, len(whole))])
            for place in random.integers(0, len(data), 20):
                data[place] = random.integers(0, 256)
            path = tmp_path / name
            path.write_bytes(data)
            answer = make(scribe, tmp_path, path)
            assert answer["type"] == "prepared" or answer["code"] == "reference-refused", answer
            (tmp_path / "out" / "ref-1.wav").unlink(missing_ok=True)
        os.kill(pid, 0)
