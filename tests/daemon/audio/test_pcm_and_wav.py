"""Arithmetic and headers, read back by three readers."""

import struct
import wave
from pathlib import Path

import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.daemon.audio.readers import WavSays, wav_says
from voiced.audio import pcm
from voiced.audio.tags import Tags
from voiced.audio.wav import WAV_HEADER_BYTES, wav_header, wav_trailer

_RATE_HZ = 24_000
_BEYOND_RIFF = 5 << 30


def test_pcm() -> None:
    assert pcm.samples_of(5) == 2
    assert pcm.bytes_of(2) == 4
    assert pcm.seconds_of(12_000, _RATE_HZ) == 0.5
    assert pcm.samples_in(250, 22_050) == 5513
    assert pcm.silence(10, 8000) == bytes(160)
    assert pcm.silence(0, 8000) == b""
    assert pcm.resampled_length(3, 2, 1) == 2


@settings(deadline=None)
@given(
    st.integers(0, 1 << 40),
    st.sampled_from([8000, 16_000, 22_050, 24_000, 44_100, 48_000]),
    st.integers(1, 2),
)
def test_the_header_is_always_as_long_and_says_what_it_was_told(
    size: int, rate_hz: int, channels: int
) -> None:
    header = wav_header(size, rate_hz, channels)
    assert len(header) == WAV_HEADER_BYTES
    assert wav_says(header) == WavSays(rate_hz, channels, size)


def test_plain_wav_is_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    sound = bytes(range(256)) * 10
    trailer = wav_trailer(Tags("Tïtle", "Äuthor", "Album", comment="odd"))
    path.write_bytes(wav_header(len(sound), _RATE_HZ, trailer_bytes=len(trailer)) + sound + trailer)
    with wave.open(str(path)) as file:
        assert file.getparams()[:4] == (1, 2, _RATE_HZ, len(sound) // 2)
        assert file.readframes(10_000) == sound
    with soundfile.SoundFile(path) as file:
        assert (file.format, file.frames, file.title) == ("WAV", len(sound) // 2, "Tïtle")
        assert (file.artist, file.album, file.comment) == ("Äuthor", "Album", "odd")
    assert struct.unpack_from("<I", path.read_bytes(), 4) == (path.stat().st_size - 8,)


def test_beyond_4_gib_it_is_rf64(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.write(wav_header(_BEYOND_RIFF, _RATE_HZ))
        file.truncate(WAV_HEADER_BYTES + _BEYOND_RIFF)  # sparse
    with soundfile.SoundFile(path) as file:
        assert (file.format, file.frames, file.samplerate) == ("RF64", _BEYOND_RIFF // 2, _RATE_HZ)


@pytest.mark.parametrize("size", [(1 << 32) - 200, (1 << 32) - 80, (1 << 32) - 74, (1 << 32) - 72, 1 << 32])
def test_the_border_between_the_forms(size: int) -> None:
    header = wav_header(size, _RATE_HZ)
    assert header[:4] == (b"RIFF" if size + 72 < 0xFFFF_FFFF else b"RF64")
    assert wav_says(header).data_bytes == size


def test_the_trailer() -> None:
    assert wav_trailer(Tags()) == b""
    assert wav_trailer(Tags(" \n\0")) == b""
    for title in ("a", "ab", "ß" * 10_000, "\ud800"):
        assert len(wav_trailer(Tags(title, title))) % 2 == 0
        assert len(wav_trailer(Tags(title, title))) < 5000
