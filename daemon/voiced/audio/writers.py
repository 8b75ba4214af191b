"""From a spool of PCM to a finished audio file, block by block: memory does not grow with the length.

`_WRITERS` is the one table of formats; another format is another line of it. Runs in the scribe; libraries are
imported at first use.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from voiced.audio import pcm
from voiced.audio.wav import wav_header, wav_trailer
from voiced_ipc.errors import InvalidRequest, StorageFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 17
"""256 KiB at once: a tenth of a second of work for the slowest encoder here."""


class Spool(NamedTuple):
    """Where the sound lies: PCM s16le, mono."""

    path: Path
    data_offset: int
    """Bytes before the first sample."""
    samples: int
    sample_rate_hz: int


class Target(NamedTuple):
    """The file to make."""

    path: Path
    format: str
    """`wav` or `flac`."""
    sample_rate_hz: int
    title: str = ""


class Encoded(NamedTuple):
    """What was made."""

    size_bytes: int
    samples: int


OnProgress = Callable[[float], None]
"""Is told the fraction done after every block; what it raises ends the work."""


def encode(spool: Spool, target: Target, on_progress: OnProgress = lambda fraction: None) -> Encoded:
    """Return the size and length of the file made from a spool; it is on the disk when this returns.

    The length is `spool.samples` to the sample, or `pcm.resampled_length` of it at another rate. A file that could
    not be finished is removed. Where target and spool are one file, a WAV only gets its header.

    Raises:
        InvalidRequest: If the format is unknown, or cannot hold what is asked for.
        StorageFailed: If the spool is shorter than promised, or the encoder could not write.
        OSError: If a file cannot be read or written.
    """
    write = _WRITERS.get(target.format)
    if write is None:
        raise InvalidRequest(f"Format {target.format!r} is not known; known: {', '.join(_WRITERS)}.")
    samples = pcm.resampled_length(spool.samples, spool.sample_rate_hz, target.sample_rate_hz)
    if _is_same_file(spool.path, target.path):
        return _finish_in_place(spool, target)
    descriptor = _create(target.path)
    try:
        write(descriptor, _at_rate(_read(spool, on_progress), spool, target.sample_rate_hz), target, samples)
        os.fsync(descriptor)
        size = os.fstat(descriptor).st_size
    except BaseException:
        with contextlib.suppress(OSError):
            target.path.unlink()
        raise
    finally:
        os.close(descriptor)
    return Encoded(size, samples)


def _create(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise InvalidRequest("The target is no regular file.")
        path.unlink()  # left over from a crash
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return other.samefile(one)
    except FileNotFoundError:
        return False


def _finish_in_place(spool: Spool, target: Target) -> Encoded:
    header = wav_header(0, spool.sample_rate_hz)
    if (target.format, target.sample_rate_hz, spool.data_offset) != (
        "wav",
        spool.sample_rate_hz,
        len(header),
    ):
        raise InvalidRequest(
            "Only a WAV at the spool's own rate, with room for its header, is finished in place."
        )
    data_bytes, trailer = pcm.bytes_of(spool.samples), wav_trailer(target.title)
    descriptor = os.open(spool.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size < spool.data_offset + data_bytes:
            raise _too_short()
        _write_at(descriptor, trailer, spool.data_offset + data_bytes)
        os.ftruncate(descriptor, spool.data_offset + data_bytes + len(trailer))
        _write_at(descriptor, wav_header(data_bytes, spool.sample_rate_hz, trailer_bytes=len(trailer)), 0)
        os.fsync(descriptor)
        return Encoded(os.fstat(descriptor).st_size, spool.samples)
    finally:
        os.close(descriptor)


def _read(spool: Spool, on_progress: OnProgress) -> Iterator[bytes]:
    with spool.path.open("rb") as file:
        file.seek(spool.data_offset)
        left = spool.samples
        while left:
            block = file.read(pcm.bytes_of(min(left, BLOCK_SAMPLES)))
            if len(block) < pcm.bytes_of(min(left, BLOCK_SAMPLES)):
                raise _too_short()
            yield block
            left -= pcm.samples_of(len(block))
            on_progress(1 - left / spool.samples)


def _too_short() -> StorageFailed:
    return StorageFailed("The spooled sound is shorter than it should be; retry the job, it is spoken again.")


def _at_rate(blocks: Iterator[bytes], spool: Spool, sample_rate_hz: int) -> Iterator[bytes]:
    if sample_rate_hz == spool.sample_rate_hz:
        yield from blocks
        return
    import numpy as np
    import soxr

    stream = soxr.ResampleStream(spool.sample_rate_hz, sample_rate_hz, 1, dtype="int16")
    left = pcm.resampled_length(spool.samples, spool.sample_rate_hz, sample_rate_hz)

    def bounded(chunk: "NDArray[np.int16]") -> bytes:
        nonlocal left
        chunk = chunk[:left]
        left -= len(chunk)
        return chunk.astype("<i2", copy=False).tobytes()

    for block in blocks:
        yield bounded(stream.resample_chunk(np.frombuffer(block, dtype="<i2").astype(np.int16, copy=False)))
    yield bounded(stream.resample_chunk(np.zeros(0, dtype=np.int16), last=True))
    yield bytes(pcm.bytes_of(left))  # the filter's rounding: at most a few samples


# -- the formats --------------------------------------------------------------------------------------


def _write_wav(descriptor: int, blocks: Iterable[bytes], target: Target, samples: int) -> None:
    data_bytes, trailer = pcm.bytes_of(samples), wav_trailer(target.title)
    header = wav_header(data_bytes, target.sample_rate_hz, trailer_bytes=len(trailer))
    place = len(header)
    for block in blocks:
        place += _write_at(descriptor, block, place)
    _write_at(descriptor, trailer, place)
    _write_at(descriptor, header, 0)  # last: half a file is no WAV


def _write_at(descriptor: int, data: bytes, place: int) -> int:
    view = memoryview(data)
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], place + done)
    return done


def _write_flac(descriptor: int, blocks: Iterable[bytes], target: Target, samples: int) -> None:
    import numpy as np
    import soundfile

    if not samples:
        raise InvalidRequest("A FLAC cannot hold a sound without a sample; ask for wav.")
    kind = {"samplerate": target.sample_rate_hz, "channels": 1, "format": "FLAC", "subtype": "PCM_16"}
    try:
        with soundfile.SoundFile(descriptor, "w", closefd=False, **kind) as file:
            if target.title:
                file.title = target.title
            for block in blocks:
                file.write(np.frombuffer(block, dtype="<i2").astype(np.int16, copy=False))
        # What could not be written at the very end is not reported; but then the length is missing too.
        os.lseek(descriptor, 0, os.SEEK_SET)
        with soundfile.SoundFile(descriptor, closefd=False) as file:
            if file.frames != samples:
                raise StorageFailed("The FLAC could not be written to its end; make room on the disk.")
    except soundfile.LibsndfileError as error:
        raise StorageFailed(f"The FLAC could not be written ({error}); make room on the disk.") from error


_Writer = Callable[[int, Iterable[bytes], Target, int], None]
"""Writes blocks of PCM into an open, empty file."""

_WRITERS: dict[str, _Writer] = {"wav": _write_wav, "flac": _write_flac}
FORMATS = tuple(_WRITERS)
"""What `encode` can make."""
