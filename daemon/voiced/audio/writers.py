"""From a spool of PCM to a finished audio file, block by block: memory does not grow with the length.

    spool > measured > louder or softer > another rate > encoder > file

`formats` knows what there is; WAV is written here, everything else by `containers`. Runs in the scribe; libraries
are imported at first use.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from voiced.audio import containers, loudness, pcm
from voiced.audio.cover import Cover, NoCover, read_cover
from voiced.audio.formats import FORMATS, LOUDNESS_LUFS, Format, format_of, rate_for
from voiced.audio.tags import Tags, chapters_at
from voiced.audio.wav import WAV_HEADER_BYTES, wav_header, wav_trailer
from voiced.chapters import ChapterSpan
from voiced_ipc.errors import InvalidRequest, StorageFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 17
"""256 KiB at once: a tenth of a second of work for the slowest encoder here."""
_MEASURING = 0.2
"""Part of the work that the first pass is, where there is one."""


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
    """One of `FORMATS`."""
    sample_rate_hz: int
    """Where the format does not know it, the file has the next that it knows."""
    tags: Tags = Tags()
    loudness_lufs: float | None = None
    """Integrated loudness (EBU R 128) to bring the whole to; None = as it is."""
    gain_db: float | None = None
    """What the sound is amplified by instead, where it is a part of what was measured; None = nothing was."""


class Encoded(NamedTuple):
    """What was made."""

    size_bytes: int
    samples: int
    """At the file's rate."""
    sample_rate_hz: int
    notes: tuple[str, ...] = ()
    """What was left out or is otherwise than asked for, a sentence each."""


OnProgress = Callable[[float], None]
"""Is told the fraction done after every block; what it raises ends the work."""


def encode(spool: Spool, target: Target, on_progress: OnProgress = lambda fraction: None) -> Encoded:
    """Return size and length of the file made from a spool; it is on the disk when this returns.

    The length is `spool.samples` to the sample, or `pcm.resampled_length` of it at another rate. A file that could
    not be finished is removed. Where target and spool are one file, a WAV only gets its header.

    Raises:
        InvalidRequest: If the format is unknown, or cannot hold what is asked for.
        StorageFailed: If the spool is shorter than promised.
        InternalError: If the encoder refuses.
        OSError: If a file cannot be read or written.
    """
    known = format_of(target.format)
    if known is None:
        raise InvalidRequest(f"Format {target.format!r} is not known; known: {', '.join(FORMATS)}.")
    rate_hz = rate_for(target.format, target.sample_rate_hz)
    samples = pcm.resampled_length(spool.samples, spool.sample_rate_hz, rate_hz)
    _check(known, samples, target.format)
    _check_loudness(target.loudness_lufs)
    if _is_same_file(spool.path, target.path):
        return _finish_in_place(spool, target)
    chapters, chapter_notes = _chapters_of(known, spool, target, rate_hz)
    cover, cover_notes = _cover_of(target)
    descriptor = _create(target.path)
    try:
        blocks, gain_notes = _levelled(spool, target, on_progress)
        blocks = _at_rate(blocks, spool, rate_hz)
        if target.format == "wav":
            _write_wav(descriptor, blocks, rate_hz, samples, target.tags)
        else:
            outline = containers.Outline(target.format, rate_hz, samples, target.tags, chapters, cover)
            containers.write(descriptor, blocks, outline)
        os.fsync(descriptor)
        size = os.fstat(descriptor).st_size
    except BaseException:
        with contextlib.suppress(OSError):
            target.path.unlink()
        raise
    finally:
        os.close(descriptor)
    return Encoded(size, samples, rate_hz, (*chapter_notes, *cover_notes, *gain_notes))


def gain_for_all(
    spool: Spool, loudness_lufs: float, on_progress: OnProgress = lambda fraction: None
) -> loudness.Gain:
    """Return the one gain that brings a spool to a loudness, whatever files are then made of its parts.

    Raises:
        InvalidRequest: If it is no loudness for speech.
        StorageFailed: If the spool is shorter than promised.
        OSError: If it cannot be read.
    """
    _check_loudness(loudness_lufs)
    measured = loudness.measure(_read(spool, on_progress), spool.sample_rate_hz)
    return loudness.gain_for(measured, loudness_lufs)


def _check(known: Format, samples: int, format_: str) -> None:
    if not samples and not known.can_be_empty:
        raise InvalidRequest(f"A file of format {format_} cannot hold a sound without a sample; ask for wav.")


def _check_loudness(lufs: float | None) -> None:
    softest, loudest = LOUDNESS_LUFS
    if lufs is not None and not softest <= lufs <= loudest:
        raise InvalidRequest(f"{lufs:g} LUFS is no loudness for speech; ask for {softest:g} to {loudest:g}.")


def _chapters_of(
    known: Format, spool: Spool, target: Target, rate_hz: int
) -> tuple[tuple[ChapterSpan, ...], list[str]]:
    found = chapters_at(target.tags.chapters, spool.samples, spool.sample_rate_hz, rate_hz)
    most = known.most_chapters
    if most is None or len(found) <= most:
        return found, []
    kept = (*found[: most - 1], found[most - 1]._replace(end=found[-1].end))
    return kept, [f"Of {len(found)} chapters {most} are marked: {target.format} holds no more; m4b does."]


def _cover_of(target: Target) -> tuple[Cover | None, list[str]]:
    if target.tags.cover is None or target.format == "wav":  # which has no place for one
        return None, []
    try:
        return read_cover(target.tags.cover), []
    except NoCover as error:
        return None, [f"The cover was left out: {error}."]


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
    asked = (target.format, target.sample_rate_hz, spool.data_offset, target.loudness_lufs, target.gain_db)
    if asked != ("wav", spool.sample_rate_hz, WAV_HEADER_BYTES, None, None):
        raise InvalidRequest(
            "Only a WAV at the spool's own rate and loudness, with room for its header, is finished in place."
        )
    data_bytes, trailer = pcm.bytes_of(spool.samples), wav_trailer(target.tags)
    descriptor = os.open(spool.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size < spool.data_offset + data_bytes:
            raise _too_short()
        _write_at(descriptor, trailer, spool.data_offset + data_bytes)
        os.ftruncate(descriptor, spool.data_offset + data_bytes + len(trailer))
        _write_at(descriptor, wav_header(data_bytes, spool.sample_rate_hz, trailer_bytes=len(trailer)), 0)
        os.fsync(descriptor)
        return Encoded(os.fstat(descriptor).st_size, spool.samples, spool.sample_rate_hz)
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


def _levelled(
    spool: Spool, target: Target, on_progress: OnProgress
) -> tuple[Iterator[bytes], tuple[str, ...]]:
    """Return the sound as loud as asked for, and what is to be said about that; measures it first."""
    if target.gain_db is not None:
        return loudness.amplified(_read(spool, on_progress), target.gain_db), ()
    if target.loudness_lufs is None:
        return _read(spool, on_progress), ()
    gain = gain_for_all(spool, target.loudness_lufs, lambda fraction: on_progress(fraction * _MEASURING))
    second = _read(spool, lambda fraction: on_progress(_MEASURING + fraction * (1 - _MEASURING)))
    return loudness.amplified(second, gain.db), (gain.note,) if gain.note else ()


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


def _write_wav(
    descriptor: int, blocks: Iterable[bytes], sample_rate_hz: int, samples: int, tags: Tags
) -> None:
    data_bytes, trailer = pcm.bytes_of(samples), wav_trailer(tags)
    header = wav_header(data_bytes, sample_rate_hz, trailer_bytes=len(trailer))
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
