"""Compressed files as other programs read them: length, sound, tags, chapters, cover."""

import os
import subprocess
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from PIL import Image

from tests.daemon.audio.readers import box, decoded, needs_ffmpeg, probe, tags_of
from voiced.audio.containers import Outline, bit_rate, write
from voiced.audio.formats import FORMATS, format_of, rate_for
from voiced.audio.pcm import resampled_length
from voiced.audio.tags import Tags
from voiced.audio.writers import Encoded, Spool, Target, encode
from voiced.chapters import ChapterMark
from voiced_ipc.errors import InternalError

_COMPRESSED = tuple(name for name in FORMATS if name != "wav")
_LOSSY = tuple(name for name in FORMATS if not (format_of(name) or pytest.fail(name)).is_lossless)
_MP4 = ("m4a", "m4b")
_AAC_FRAME = 1024
_RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_TONE_HZ = 440


def spool_of(folder: Path, samples: NDArray[np.float64], rate_hz: int) -> Spool:
    """Return a spool of sound, full scale at 1."""
    path = folder / "spool"
    path.write_bytes((samples * 32_767).astype("<i2").tobytes())
    return Spool(path, 0, len(samples), rate_hz)


def tone(samples: int, rate_hz: int, amplitude: float = 0.3) -> NDArray[np.float64]:
    """Return a tone."""
    return amplitude * np.sin(np.arange(samples) * 2 * np.pi * _TONE_HZ / rate_hz)


def made(folder: Path, samples: NDArray[np.float64], rate_hz: int, format_: str, **tags: Any) -> Encoded:
    """Encode into the file `out`."""
    target = Target(folder / "out", format_, rate_hz, Tags()._replace(**tags))
    return encode(spool_of(folder, samples, rate_hz), target)


def edit(path: Path) -> tuple[int, int, int, int]:
    """Return time scale, number of edits, length and start of the first one, of an MP4's first track."""
    moov = box(path.read_bytes(), b"moov")
    track = box(moov, b"trak", b"edts", b"elst")
    scale = int.from_bytes(box(moov, b"mvhd")[12:16], "big")
    edits, length, start = (int.from_bytes(track[place : place + 4], "big") for place in (4, 8, 12))
    return scale, edits, length, start


@pytest.mark.parametrize("rate_hz", _RATES_HZ)
@pytest.mark.parametrize("format_", _LOSSY)
def test_length_and_pitch_at_every_rate(tmp_path: Path, format_: str, rate_hz: int) -> None:
    samples = rate_hz + 77
    file = made(tmp_path, tone(samples, rate_hz), rate_hz, format_)
    assert file.sample_rate_hz == rate_for(format_, rate_hz) == (48_000 if format_[:1] == "o" else rate_hz)
    assert file.samples == resampled_length(samples, rate_hz, file.sample_rate_hz)
    sound, heard_hz = decoded(tmp_path / "out")
    assert heard_hz == file.sample_rate_hz
    if format_ in _MP4:  # FFmpeg plays the last frame to its end; what is declared is exact
        assert edit(tmp_path / "out") == (heard_hz, 1, file.samples, _AAC_FRAME)
        assert 0 <= len(sound) - file.samples < _AAC_FRAME
    else:
        assert len(sound) == file.samples
    middle = sound[heard_hz // 4 : heard_hz * 3 // 4] * np.hanning(heard_hz // 2)
    spectrum = np.abs(np.fft.rfft(middle))
    assert abs(int(spectrum.argmax()) * 2 - _TONE_HZ) <= 2
    assert 0.28 < np.abs(sound[heard_hz // 4 : heard_hz * 3 // 4]).max() < 0.32


@pytest.mark.parametrize("format_", _COMPRESSED)
def test_sound_comes_when_it_should_and_silence_stays(tmp_path: Path, format_: str) -> None:
    rate_hz = 24_000
    quiet = np.zeros(rate_hz)
    made(tmp_path, np.concatenate([quiet, tone(rate_hz // 2, rate_hz), quiet]), rate_hz, format_)
    sound, heard_hz = decoded(tmp_path / "out")
    loud = np.flatnonzero(np.abs(sound) > 0.03)
    assert abs(loud[0] / heard_hz - 1.0) < 0.005
    assert abs(loud[-1] / heard_hz - 1.5) < 0.005
    assert np.abs(sound[: int(heard_hz * 0.9)]).max() < 0.001
    assert np.abs(sound[int(heard_hz * 1.6) :]).max() < 0.001


@pytest.mark.parametrize("samples", [1, 2, 575, 576, 577, 1105, 1106, 1152])
@pytest.mark.parametrize("format_", _COMPRESSED)
def test_next_to_nothing(tmp_path: Path, format_: str, samples: int) -> None:
    file = made(tmp_path, tone(samples, 48_000), 48_000, format_)
    assert file.samples == samples
    if format_ in _MP4:
        assert edit(tmp_path / "out") == (48_000, 1, samples, _AAC_FRAME)
    else:
        assert len(decoded(tmp_path / "out").samples) == samples


@pytest.mark.parametrize("padding", [0, 1, 7, 46, 47, 48, 49, 300, 575])
def test_an_mp3_declares_its_padding_whatever_it_is(tmp_path: Path, padding: int) -> None:
    """LAME ends with a frame of nothing but padding where less than 48 samples are missing from the last."""
    samples = 40 * 576 - 1105 - padding
    made(tmp_path, tone(samples, 24_000), 24_000, "mp3")
    assert len(decoded(tmp_path / "out").samples) == samples
    assert soundfile.info(tmp_path / "out").frames == samples  # mpg123


@pytest.mark.parametrize("format_", ["ogg", "opus"])
def test_libsndfile_agrees_on_opus(tmp_path: Path, format_: str) -> None:
    file = made(tmp_path, tone(30_001, 24_000), 24_000, format_)
    info = soundfile.info(tmp_path / "out")
    assert (info.frames, info.samplerate, info.subtype) == (file.samples, 48_000, "OPUS")


@pytest.mark.process
@needs_ffmpeg
@pytest.mark.parametrize("format_", FORMATS)
def test_ffmpeg_agrees(tmp_path: Path, format_: str) -> None:
    file = made(tmp_path, tone(50_001, 22_050), 22_050, format_)
    raw = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "out"), "-f", "s16le", "-"]
    done = subprocess.run(raw, check=True, capture_output=True, timeout=60)
    extra = len(done.stdout) // 2 - file.samples
    assert 0 <= extra < _AAC_FRAME if format_ in _MP4 else extra == 0
    if format_ in _MP4:
        sound = probe(tmp_path / "out")["streams"][0]
        assert (sound["duration_ts"], sound["time_base"]) == (file.samples, "1/22050")


@pytest.fixture
def cover(tmp_path: Path) -> Path:
    file = BytesIO()
    Image.effect_noise((200, 300), 50).save(file, "JPEG")
    path = tmp_path / "cover"
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.process
@needs_ffmpeg
@pytest.mark.parametrize("format_", _COMPRESSED)
def test_tags_chapters_and_cover(tmp_path: Path, format_: str, cover: Path) -> None:
    chapters = (
        ChapterMark("Eins", 100),
        ChapterMark("Zwei & <drei> = \\;#", 48_000),
        ChapterMark("三", 84_000),
        ChapterMark("Gone", 96_000),
    )
    tags = Tags("Tïtle", "Äuthor", "", "pt-BR", "Spoken by voiced", cover, chapters)
    file = made(tmp_path, tone(96_000, 48_000), 48_000, format_, **tags._asdict())
    assert file.notes == ()
    told = probe(tmp_path / "out")
    found = tags_of(told)
    wanted = {"title": "Tïtle", "artist": "Äuthor", "album_artist": "Äuthor", "album": "Tïtle"}
    assert wanted.items() <= found.items()
    assert found["comment"] == "Spoken by voiced"
    assert found["genre"] == ("Audiobook" if format_ == "m4b" else "Speech")
    assert "date" not in found
    if format_ in _MP4:
        assert found["language"] == "por"
        assert found["major_brand"] == format_.upper() + " "
    elif format_ != "mp3":  # where ffprobe does not show it
        assert found["language"] == "pt-BR"
    assert [
        (chapter["tags"]["title"], round(float(chapter["start_time"]), 3)) for chapter in told["chapters"]
    ] == [
        ("Eins", 0.0),
        ("Zwei & <drei> = \\;#", 1.0),
        ("三", 1.75),
    ]
    with av.open(str(tmp_path / "out")) as container:
        packet = next(container.demux(container.streams.video[0]))
        assert bytes(packet)[: cover.stat().st_size] == cover.read_bytes()


def test_an_mp3_tells_its_language(tmp_path: Path) -> None:
    made(tmp_path, tone(2000, 24_000), 24_000, "mp3", language="de-AT")
    start = (tmp_path / "out").read_bytes()[:500]
    assert start[:4] == b"ID3\x03"
    assert b"TLAN\x00\x00\x00\x05\x00\x00\x00deu\x00" in start


@pytest.mark.parametrize("format_", _COMPRESSED)
def test_a_png_cover_alone(tmp_path: Path, format_: str) -> None:
    Image.new("RGBA", (5, 4)).save(tmp_path / "c.png")
    assert made(tmp_path, tone(2000, 24_000), 24_000, format_, cover=tmp_path / "c.png").notes == ()
    with av.open(str(tmp_path / "out")) as container:
        stream = container.streams.video[0]
        assert (stream.name, stream.width, stream.height) == ("png", 5, 4)


@pytest.mark.parametrize("format_", _COMPRESSED)
def test_a_cover_that_is_none_is_left_out_and_told(tmp_path: Path, format_: str) -> None:
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    file = made(tmp_path, tone(2000, 24_000), 24_000, format_, cover=tmp_path / "c.jpg")
    assert file.notes == ("The cover was left out: it is no JPEG and no PNG.",)
    with av.open(str(tmp_path / "out")) as container:
        assert not container.streams.video


@pytest.mark.process
@needs_ffmpeg
@pytest.mark.parametrize("format_", _COMPRESSED)
def test_a_book_of_many_chapters(tmp_path: Path, format_: str) -> None:
    chapters = tuple(ChapterMark(f"{n}: " + "ü" * 200, n * 100) for n in range(300))
    file = made(tmp_path, tone(30_000, 24_000), 24_000, format_, chapters=chapters)
    count = 255 if format_ == "mp3" else 300
    assert len(file.notes) == (format_ == "mp3")
    found = probe(tmp_path / "out")["chapters"]
    assert [chapter["tags"]["title"].split(":")[0] for chapter in found] == [str(n) for n in range(count)]
    starts = [float(chapter["start_time"]) for chapter in found]
    assert all(abs(start - n / 240) < 0.001 for n, start in enumerate(starts))
    assert all(one < other for one, other in pairwise(starts))
    assert float(found[-1]["end_time"]) == pytest.approx(1.25, abs=0.05)


@pytest.mark.parametrize("format_", _COMPRESSED)
def test_the_same_sound_gives_the_same_bytes(tmp_path: Path, format_: str) -> None:
    files = []
    for _ in range(2):
        made(tmp_path, tone(30_000, 24_000), 24_000, format_, title="T", chapters=(ChapterMark("One", 0),))
        files.append((tmp_path / "out").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize("format_", _LOSSY)
def test_bit_rates_are_for_speech(tmp_path: Path, format_: str) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 10 * 44_100)
    for rate_hz in (16_000, 44_100):
        file = made(tmp_path, noise[: 10 * rate_hz], rate_hz, format_)
        asked = bit_rate(format_, rate_hz)
        assert 32_000 <= asked <= 96_000
        assert file.size_bytes * 8 / 10 == pytest.approx(asked, rel=0.15)


@pytest.mark.parametrize(("format_", "rate_hz"), [("opus", 44_100), ("mp3", 12_345), ("m4a", 12_345)])
def test_what_ffmpeg_refuses_is_an_error_with_a_remedy(tmp_path: Path, format_: str, rate_hz: int) -> None:
    descriptor = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(InternalError, match="wav"):
            write(descriptor, [bytes(100)], Outline(format_, rate_hz, 50))
    finally:
        os.close(descriptor)
