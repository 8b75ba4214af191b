"""Compressed files with their tags, chapters and cover, through FFmpeg's libraries (PyAV). Runs in the scribe.

FFmpeg writes into a `Sink`, never to a path, and never hears of a full disk: the sink is asked after every packet.

How the length stays exact although codecs work in frames and add some samples at the edges:

- FLAC has no such samples.
- Opus: the pre-skip of the header, and the position of the last page (RFC 7845, 4.2 and 4.3).
- MP3: delay and padding in the LAME tag of the first frame.
- AAC in MP4: the edit list, at the sound's own rate. FFmpeg's own decoder reads its start and not its end.
"""

import contextlib
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, cast

from voiced.audio.cover import Cover, picture_block
from voiced.audio.frames import frame_of
from voiced.audio.labels import COMMENTED, OGG, chapter_comments, labels
from voiced.audio.pcm import samples_of
from voiced.audio.sink import Sink
from voiced.audio.tags import Tags
from voiced.chapters import ChapterSpan
from voiced.iso639 import three_letters
from voiced_ipc.errors import InternalError

if TYPE_CHECKING:
    import av
    from av.audio import AudioStream
    from av.container import OutputContainer
    from av.container.core import Chapter
    from av.stream import Stream

_BUFFER_BYTES = 1 << 16


class _Kind(NamedTuple):
    """How FFmpeg calls what we want of it."""

    container: str
    codec: str
    sample_format: str
    options: tuple[tuple[str, str], ...] = ()
    codec_options: tuple[tuple[str, str], ...] = ()


_FAST = (("aac_coder", "fast"),)
"""A sixth of the time of the other search, and on speech no further from the original."""
_KINDS = {
    "flac": _Kind("flac", "flac", "s16"),
    # 2.3 is the version of ID3 that every player reads.
    "mp3": _Kind("mp3", "libmp3lame", "s16p", (("id3v2_version", "3"),)),
    "ogg": _Kind("ogg", "libopus", "s16"),
    "opus": _Kind("ogg", "libopus", "s16"),
    "m4a": _Kind("mp4", "aac", "fltp", (("brand", "M4A "),), _FAST),
    "m4b": _Kind("mp4", "aac", "fltp", (("brand", "M4B "),), _FAST),
}


class Outline(NamedTuple):
    """What a file is to hold, beside the sound itself."""

    format: str
    """One of `FORMATS`, but not wav."""
    sample_rate_hz: int
    """One that the format knows: `formats.rate_for`."""
    samples: int
    """At least 1."""
    tags: Tags = Tags()
    chapters: tuple[ChapterSpan, ...] = ()
    cover: Cover | None = None


def bit_rate(name: str, sample_rate_hz: int) -> int:
    """Return the bits a second that are plenty for one voice; 0 where the format decides.

    AAC ends at 6 bits a sample. MP3 has a constant rate, so that plain players find any place in a long one.
    """
    if name == "flac":
        return 0
    if name in OGG:
        return 40_000
    if name == "mp3":
        return 64_000 if sample_rate_hz <= 24_000 else 96_000
    return min(64_000, 6 * sample_rate_hz)


def write(descriptor: int, blocks: Iterable[bytes], outline: Outline) -> None:
    """Write blocks of PCM s16le, mono, into an open, empty file.

    Raises:
        OSError: If the file cannot be written.
        MemoryError: If FFmpeg gets none.
        InternalError: If FFmpeg refuses.
    """
    import av

    sink, kind = Sink(descriptor), _KINDS[outline.format]
    # Bit-exact: no version and no chance in the file, so that the same sound gives the same bytes.
    options = {"flush_packets": "0", "fflags": "+bitexact", **dict(kind.options)}
    if kind.container == "mp4":
        options["movie_timescale"] = str(outline.sample_rate_hz)  # edit lists count in it
    try:
        container = av.open(sink, "w", format=kind.container, options=options, buffer_size=_BUFFER_BYTES)
        try:
            _fill(container, sink, blocks, outline)
        except BaseException:
            sink.let_go()
            with contextlib.suppress(av.FFmpegError):
                container.close()
            raise
        container.close()
    except MemoryError:
        raise
    except av.FFmpegError as error:
        sink.check()
        raise InternalError(
            f"The {outline.format} could not be encoded ({error}); retry the job, or ask for wav."
        ) from error
    sink.check()


def _fill(container: "OutputContainer", sink: Sink, blocks: Iterable[bytes], outline: Outline) -> None:
    kind, time_base = _KINDS[outline.format], Fraction(1, outline.sample_rate_hz)
    added = container.add_stream(
        kind.codec,
        rate=outline.sample_rate_hz,
        options=dict(kind.codec_options),
        layout="mono",
        format=kind.sample_format,
    )
    stream = cast("AudioStream", added)
    stream.codec_context.time_base = time_base
    if bits := bit_rate(outline.format, outline.sample_rate_hz):
        stream.bit_rate = bits
    if outline.tags.language and kind.container in ("mp4", "mp3"):
        stream.metadata["language"] = three_letters(outline.tags.language)
    container.metadata.update(_labels(outline))
    if outline.format not in COMMENTED and outline.chapters:
        container.set_chapters([_chapter(n, span, time_base) for n, span in enumerate(outline.chapters, 1)])
    picture = _add_picture(container, outline.cover) if outline.format not in OGG else None
    container.start_encoding()
    if picture is not None:
        container.mux_one(picture)
    for packet in _packets(stream, blocks, outline):
        container.mux_one(packet)
        sink.check()


def _labels(outline: Outline) -> dict[str, str]:
    told = labels(outline.format, outline.tags)
    if outline.format in COMMENTED:  # FFmpeg writes none into a FLAC, and rounds up the seconds in an Ogg
        told |= chapter_comments(outline.chapters, outline.sample_rate_hz)
    if outline.cover and outline.format in OGG:
        told["METADATA_BLOCK_PICTURE"] = picture_block(outline.cover)
    return told


def _chapter(number: int, span: ChapterSpan, time_base: Fraction) -> "Chapter":
    return {
        "id": number,
        "start": span.start,
        "end": span.end,
        "time_base": time_base,
        "metadata": {"title": span.title},
    }


def _packets(
    stream: "AudioStream", blocks: Iterable[bytes], outline: Outline
) -> "Iterator[av.Packet[AudioStream]]":
    """Yield what the encoder makes; the last packet says how much of it is no sound."""
    held: av.Packet[AudioStream] | None = None
    skipped = coded = 0
    for frame in _frames(blocks, outline.sample_rate_hz):
        for packet in stream.encode(frame):
            if held is None:
                skipped = _skipped_at_start(packet)
            else:
                yield held
            held = packet
            coded += stream.codec_context.frame_size
    if held is not None:
        if outline.format == "mp3":
            _declare_padding(held, coded - skipped - outline.samples)
        yield held


def _frames(blocks: Iterable[bytes], sample_rate_hz: int) -> "Iterator[av.AudioFrame | None]":
    """Yield the sound as FFmpeg takes it, and None at its end."""
    place = 0
    for block in blocks:
        if block:
            yield frame_of(block, sample_rate_hz, place)
            place += samples_of(len(block))
    yield None


def _skipped_at_start(packet: "av.Packet[AudioStream]") -> int:
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int(struct.unpack_from("<I", bytes(packet.get_sidedata("skip_samples")))[0])


def _declare_padding(packet: "av.Packet[AudioStream]", padding: int) -> None:
    """Correct how many samples the last packet of an MP3 has too many.

    Where less than 48 are, LAME gives one frame more, and FFmpeg counts only that frame.
    """
    if padding <= 0 or not packet.has_sidedata("skip_samples"):
        return
    told = packet.get_sidedata("skip_samples")
    facts = bytearray(bytes(told))
    struct.pack_into("<I", facts, 4, padding)
    told.update(bytes(facts))
    packet.set_sidedata(told)


def _add_picture(container: "OutputContainer", cover: Cover | None) -> "av.Packet[Stream] | None":
    """Return the packet of a cover whose stream was added."""
    import av
    from av.stream import Disposition

    if cover is None:
        return None
    codec = "png" if cover.media_type == "image/png" else "mjpeg"
    stream = container.add_mux_stream(codec, width=cover.width, height=cover.height)
    stream.disposition = Disposition.attached_pic
    stream.metadata["comment"] = "Cover (front)"  # FFmpeg's name for the kind of picture
    packet = av.Packet(cover.data)
    packet.stream = stream
    packet.time_base = Fraction(1, 90_000)
    packet.pts = packet.dts = 0
    return packet
