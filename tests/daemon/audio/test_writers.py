"""Files from a spool: sample for sample, whole or not at all, in little memory."""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voiced.audio.formats import FORMATS
from voiced.audio.pcm import resampled_length
from voiced.audio.tags import Tags
from voiced.audio.wav import WAV_HEADER_BYTES
from voiced.audio.writers import BLOCK_SAMPLES, Encoded, Spool, Target, encode
from voiced_ipc.errors import InvalidRequest, StorageFailed

Samples = NDArray[np.int16]

_RATE_HZ = 24_000
_SAMPLES = 3 * BLOCK_SAMPLES + 77
_LOSSLESS = ("wav", "flac")


@pytest.fixture
def sound() -> Samples:
    noise = np.random.default_rng(3).standard_normal(_SAMPLES) * 3000
    return noise.astype("<i2")


@pytest.fixture
def spool(tmp_path: Path, sound: Samples) -> Spool:
    path = tmp_path / "spool"
    path.write_bytes(bytes(WAV_HEADER_BYTES) + sound.tobytes() + b"beyond the committed length")
    return Spool(path, WAV_HEADER_BYTES, _SAMPLES, _RATE_HZ)


@pytest.mark.parametrize("format_", _LOSSLESS)
def test_every_sample_arrives(spool: Spool, tmp_path: Path, sound: Samples, format_: str) -> None:
    fractions: list[float] = []
    path = tmp_path / "out"
    made = encode(spool, Target(path, format_, _RATE_HZ, Tags("Tïtle")), fractions.append)
    assert made == Encoded(path.stat().st_size, _SAMPLES, _RATE_HZ)
    with soundfile.SoundFile(path) as file:
        assert (file.title, file.samplerate) == ("Tïtle", _RATE_HZ)
        assert np.array_equal(file.read(dtype="int16"), sound)
    assert len(fractions) == 4
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("format_", _LOSSLESS)
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100, 48_000])
def test_another_rate_has_exactly_the_documented_length(
    spool: Spool, tmp_path: Path, format_: str, rate_hz: int
) -> None:
    path = tmp_path / "out"
    made = encode(spool, Target(path, format_, rate_hz))
    assert made.samples == resampled_length(_SAMPLES, _RATE_HZ, rate_hz)
    info = soundfile.info(path)
    assert (info.frames, info.samplerate) == (made.samples, rate_hz)


def test_a_tone_keeps_its_pitch_at_another_rate(tmp_path: Path) -> None:
    tone = np.sin(np.arange(_SAMPLES) * 2 * np.pi * 440 / _RATE_HZ) * 10_000
    (tmp_path / "spool").write_bytes(tone.astype("<i2").tobytes())
    encode(Spool(tmp_path / "spool", 0, _SAMPLES, _RATE_HZ), Target(tmp_path / "out", "wav", 16_000))
    samples, rate_hz = soundfile.read(tmp_path / "out")
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(int(spectrum.argmax()) * rate_hz / len(samples) - 440) < 1
    assert 0.29 < np.abs(samples).max() < 0.32


@pytest.mark.parametrize(("samples", "format_"), [(0, "wav"), (1, "wav"), (1, "flac")])
@pytest.mark.parametrize("rate_hz", [16_000, _RATE_HZ])
def test_next_to_nothing(spool: Spool, tmp_path: Path, samples: int, rate_hz: int, format_: str) -> None:
    made = encode(spool._replace(samples=samples), Target(tmp_path / "out", format_, rate_hz))
    assert made.samples == samples
    assert soundfile.info(tmp_path / "out").frames == samples


@pytest.mark.parametrize("format_", sorted({*FORMATS} - {"wav"}))
def test_a_compressed_file_of_nothing_is_refused(spool: Spool, tmp_path: Path, format_: str) -> None:
    with pytest.raises(InvalidRequest, match="wav"):
        encode(spool._replace(samples=0), Target(tmp_path / "out", format_, _RATE_HZ))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format_", ["flac", "mp3", "m4b"])
def test_what_is_nothing_at_another_rate_is_refused_too(spool: Spool, tmp_path: Path, format_: str) -> None:
    one = spool._replace(samples=1, sample_rate_hz=48_000)
    with pytest.raises(InvalidRequest, match="wav"):
        encode(one, Target(tmp_path / "out", format_, 8000))
    assert encode(one, Target(tmp_path / "out", "wav", 8000)).samples == 0


def test_a_wav_spool_is_finished_in_place(spool: Spool, sound: Samples) -> None:
    made = encode(spool, Target(spool.path, "wav", _RATE_HZ, Tags("Name")))
    assert made == Encoded(spool.path.stat().st_size, _SAMPLES, _RATE_HZ)
    with soundfile.SoundFile(spool.path) as file:
        assert (file.frames, file.title) == (_SAMPLES, "Name")
        assert np.array_equal(file.read(dtype="int16"), sound)
    assert encode(spool, Target(spool.path, "wav", _RATE_HZ, Tags("Name"))) == made


def test_beyond_4_gib_a_spool_becomes_rf64_in_place(tmp_path: Path) -> None:
    samples = (5 << 30) // 2
    path = tmp_path / "spool"
    with path.open("wb") as file:
        file.truncate(WAV_HEADER_BYTES + 2 * samples)  # sparse
    made = encode(
        Spool(path, WAV_HEADER_BYTES, samples, _RATE_HZ), Target(path, "wav", _RATE_HZ, Tags("Long"))
    )
    assert made.samples == samples
    with soundfile.SoundFile(path) as file:
        assert (file.format, file.frames, file.samplerate) == ("RF64", samples, _RATE_HZ)
    assert path.stat().st_blocks < 1000  # nothing was copied


@pytest.mark.parametrize(
    ("format_", "rate_hz", "offset"), [("flac", 24_000, 80), ("wav", 8000, 80), ("wav", 24_000, 0)]
)
def test_nothing_else_is_finished_in_place(spool: Spool, format_: str, rate_hz: int, offset: int) -> None:
    before = spool.path.read_bytes()
    with pytest.raises(InvalidRequest):
        encode(spool._replace(data_offset=offset), Target(spool.path, format_, rate_hz))
    assert spool.path.read_bytes() == before


@pytest.mark.parametrize("format_", FORMATS)
def test_a_short_spool_is_an_error_and_leaves_no_file(spool: Spool, tmp_path: Path, format_: str) -> None:
    with pytest.raises(StorageFailed, match="shorter"):
        encode(spool._replace(samples=2 * _SAMPLES), Target(tmp_path / "out", format_, _RATE_HZ))
    assert not (tmp_path / "out").exists()
    with pytest.raises(StorageFailed, match="shorter"):
        encode(spool._replace(samples=2 * _SAMPLES), Target(spool.path, "wav", _RATE_HZ))


def test_an_unknown_format_is_refused(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="flac"):
        encode(spool, Target(tmp_path / "out", "mp5", _RATE_HZ))


def test_only_a_regular_file_is_replaced(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "mine")
    with pytest.raises(InvalidRequest, match="regular"):
        encode(spool, Target(tmp_path / "out", "wav", _RATE_HZ))
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / "mine").chmod(0o644)
    encode(spool, Target(tmp_path / "mine", "wav", _RATE_HZ))
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600


def test_what_progress_raises_ends_the_work(spool: Spool, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(fraction: float) -> None:
        raise Stop

    for format_ in FORMATS:
        with pytest.raises(Stop):
            encode(spool, Target(tmp_path / "out", format_, _RATE_HZ), stop)
        assert not (tmp_path / "out").exists()


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse larger files; for a moment only: what these tests print may go to a file, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("missing_bytes", [1, 10_000, 60_000])
def test_a_full_disk_is_an_error_and_leaves_no_file(
    spool: Spool, tmp_path: Path, format_: str, missing_bytes: int
) -> None:
    """The kernel refuses to write beyond a size, at the very end of the file or long before."""
    size = encode(spool, Target(tmp_path / "whole", format_, _RATE_HZ)).size_bytes
    with pytest.raises((OSError, StorageFailed)), file_size_limit(size - missing_bytes):
        encode(spool, Target(tmp_path / "out", format_, _RATE_HZ))
    assert not (tmp_path / "out").exists()


@pytest.mark.process
@pytest.mark.parametrize(("format_", "longest_s"), [("flac", 1200), ("m4b", 300)])
def test_memory_does_not_grow_with_the_length(tmp_path: Path, format_: str, longest_s: int) -> None:
    """Twenty times the sound costs no more, beside what the libraries cost once."""
    peaks = []
    for seconds in (longest_s // 20, longest_s):
        path = tmp_path / "spool"
        with path.open("wb") as file:
            file.truncate(2 * seconds * _RATE_HZ)
        code = (
            "import resource, sys; from pathlib import Path; from voiced.audio.writers import *;"
            f"encode(Spool(Path({str(path)!r}), 0, {seconds * _RATE_HZ}, {_RATE_HZ}),"
            f"Target(Path({str(tmp_path / 'out')!r}), {format_!r}, 16_000));"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=100)
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] * 1.1


@pytest.mark.process
def test_the_modules_import_no_audio_library() -> None:
    code = (
        "import sys, voiced.audio.formats, voiced.audio.wav, voiced.audio.writers;"
        "assert not {'av', 'numpy', 'soundfile', 'soxr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
