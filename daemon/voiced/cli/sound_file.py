"""A sound file written from a stream: whole under its name, or not there at all."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from voiced.audio import formats
from voiced.audio.wav import wav_header
from voiced.cli.exits import CommandFailed, Exit
from voiced_ipc.errors import StorageFailed

RAW = "raw"
"""PCM s16le, mono, and nothing else."""
FORMATS = (*formats.FORMATS, RAW)


class SoundWriter(Protocol):
    """Takes PCM s16le, mono."""

    def write(self, pcm: bytes) -> None:
        """Add PCM."""

    def finish(self) -> None:
        """Complete the file, so that it can be given its name."""

    def close(self) -> None:
        """Let go of everything; before `finish`, the file is thrown away."""


def format_of(path: str, chosen: str | None) -> str:
    """Return the format of a file: the one chosen, else what its name ends with.

    Raises:
        CommandFailed: If the ending names none that can be written.
    """
    if chosen is not None:
        return chosen
    if path == "-":
        return "wav"
    suffix = os.path.splitext(path)[1].lower().removeprefix(".")  # noqa: PTH122 - pathlib is not needed here
    if suffix in FORMATS:
        return suffix
    raise CommandFailed(
        f"{path}: its name does not tell the format: end it with .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}, "
        "or add --format",
        Exit.USAGE,
    )


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[int]:
    """Return a descriptor whose file gets the name `path` when the context ends well, and goes away otherwise.

    What is no ordinary file (a pipe, a terminal, /dev/null) is written directly.

    Raises:
        CommandFailed: If it cannot be created.
    """
    target = path.resolve()  # a link keeps pointing to what we write
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            descriptor, temporary = os.open(target, os.O_WRONLY), None
        else:
            temporary = target.with_name(f".{target.name[:100]}.{os.getpid()}.part")
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error.strerror}", Exit.CANNOT_CREATE) from error
    try:
        try:
            yield descriptor
            if temporary is not None:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if temporary is not None:
            temporary.replace(target)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


def writer_for(format_: str, descriptor: int, sample_rate_hz: int, folder: Path | None = None) -> SoundWriter:
    """Return what writes PCM to `descriptor` in a format of `FORMATS`.

    Args:
        format_: One of them.
        descriptor: Open for writing.
        sample_rate_hz: Of the PCM.
        folder: Where there is room for the PCM, if the format can only be made of all of it; None = where temporary
            files go.

    Raises:
        OSError: If nothing can be written there.
    """
    is_seekable = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if format_ == RAW:
        return RawWriter(descriptor)
    if format_ == "wav":
        return WavWriter(descriptor, sample_rate_hz, is_seekable=is_seekable)
    if format_ == "flac" and is_seekable:
        return FlacWriter(descriptor, sample_rate_hz)
    return EncodedWriter(format_, descriptor, sample_rate_hz, folder if is_seekable else None)


class RawWriter:
    """Nothing but samples."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, pcm: bytes) -> None:
        """Add PCM."""
        write_all(self._descriptor, pcm)

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """It holds nothing."""


class WavWriter:
    """WAV; its header is written again at the end, where the file allows it."""

    def __init__(self, descriptor: int, sample_rate_hz: int, *, is_seekable: bool) -> None:
        self._descriptor = descriptor
        self._rate = sample_rate_hz
        self._is_seekable = is_seekable
        self._audio_bytes = 0
        write_all(
            descriptor, wav_header(0, sample_rate_hz) if is_seekable else endless_header(sample_rate_hz)
        )

    def write(self, pcm: bytes) -> None:
        """Add PCM."""
        write_all(self._descriptor, pcm)
        self._audio_bytes += len(pcm)

    def finish(self) -> None:
        """Write the true length."""
        if self._is_seekable:
            os.pwrite(self._descriptor, wav_header(self._audio_bytes, self._rate), 0)

    def close(self) -> None:
        """It holds nothing."""


class FlacWriter:
    """FLAC through libsndfile; imports soundfile."""

    def __init__(self, descriptor: int, sample_rate_hz: int) -> None:
        import soundfile

        self._file = soundfile.SoundFile(
            descriptor,
            "w",
            samplerate=sample_rate_hz,
            channels=1,
            format="FLAC",
            subtype="PCM_16",
            closefd=False,
        )

    def write(self, pcm: bytes) -> None:
        """Add PCM."""
        try:
            self._file.buffer_write(pcm, dtype="int16")
        except (RuntimeError, AssertionError) as error:  # libsndfile's words; a full disk writes fewer frames
            raise StorageFailed(
                f"the sound file could not be written: {str(error) or 'is the disk full?'}"
            ) from error

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._file.close()

    def close(self) -> None:
        """End the encoder."""
        self._file.close()


class EncodedWriter:
    """What the daemon encodes too, and in the same way: from all of the sound. Imports PyAV at the end.

    Args:
        format_: One of `formats.FORMATS`.
        descriptor: Open for writing; not written before all is encoded.
        sample_rate_hz: Of the PCM.
        folder: Where the PCM lies meanwhile, in a hidden folder; None = where temporary files go.

    Raises:
        OSError: If it cannot be written there.
    """

    def __init__(self, format_: str, descriptor: int, sample_rate_hz: int, folder: Path | None) -> None:
        from tempfile import TemporaryDirectory

        self._format = format_
        self._descriptor = descriptor
        self._rate = sample_rate_hz
        self._bytes = 0
        self._temporary = TemporaryDirectory(prefix=".voiced-", dir=folder)
        self._spool = Path(self._temporary.name, "pcm")

    def write(self, pcm: bytes) -> None:
        """Add PCM."""
        with self._spool.open("ab") as spool:
            spool.write(pcm)
        self._bytes += len(pcm)

    def finish(self) -> None:
        """Encode all of it."""
        from voiced.audio.writers import Spool, Target, encode

        made = self._spool.with_name("encoded")
        spool = Spool(self._spool, 0, self._bytes // 2, self._rate)
        encode(spool, Target(made, self._format, self._rate))
        with made.open("rb") as encoded:
            while block := encoded.read(1 << 20):
                write_all(self._descriptor, block)

    def close(self) -> None:
        """Remove what lies beside."""
        self._temporary.cleanup()


def endless_header(sample_rate_hz: int) -> bytes:
    """Return the header of a WAV in a pipe, whose length nobody knows: the greatest, as ffmpeg and sox write it."""
    rate = sample_rate_hz.to_bytes(4, "little")
    return b"".join(
        (
            b"RIFF\xff\xff\xff\xffWAVEfmt ",
            (16).to_bytes(4, "little") + b"\x01\x00\x01\x00",  # PCM, one channel
            rate + (sample_rate_hz * 2).to_bytes(4, "little"),
            b"\x02\x00\x10\x00data\xff\xff\xff\xff",
        )
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
