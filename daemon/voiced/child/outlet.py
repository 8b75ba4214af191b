"""The audio of one segment on its way to the daemon: trimmed, faded, cut into frames. For every kind of worker."""

from collections.abc import Callable, Iterator, Sequence

from voiced.audio.trim import EdgeTrimmer
from voiced.word_times import WordTime, pack_words
from voiced.workers.link import Fields

FIRST_CHUNK_S = 0.03
LAST_CHUNK_S = 0.5
STREAM_CHUNK_BYTES = 64 << 10
FILE_CHUNK_BYTES = 256 << 10


class Outlet:
    """Makes `audio` frames of one segment, and `spoken` at its end.

    Args:
        fields: `task` and `index`.
        sample_rate_hz: Of the audio, mono.
        is_stream: Whether somebody listens: then the first chunk is 30 ms, later ones grow to half a second,
            with a pause that was held back more, at most 64 KiB; else they have up to 256 KiB.
        send: Sends one frame whole.
    """

    def __init__(
        self,
        fields: Fields,
        sample_rate_hz: int,
        is_stream: bool,
        send: Callable[[Fields, bytes | memoryview], None],
    ) -> None:
        self._fields = fields
        self._trimmer = EdgeTrimmer(sample_rate_hz)
        self._send = send
        self._raw: list[bytes] = []
        """As the engine gave it."""
        self._waiting: list[bytes] = []
        """Trimmed; joined once, when it is sent."""
        self._size = 0
        """Bytes of both."""
        self._wanted = int(sample_rate_hz * FIRST_CHUNK_S) * 2 if is_stream else FILE_CHUNK_BYTES
        self._usual = int(sample_rate_hz * LAST_CHUNK_S) * 2 if is_stream else FILE_CHUNK_BYTES
        self._greatest = STREAM_CHUNK_BYTES if is_stream else FILE_CHUNK_BYTES

    def hear(self, pcm: bytes) -> None:
        """Take some audio, PCM s16le; send what is certain and enough for a frame."""
        self._raw.append(pcm)
        self._size += len(pcm)
        if self._size < self._wanted:
            return
        self._trim()
        if self._size >= self._wanted:
            self._flush()
            self._wanted = min(self._wanted * 2, self._usual)

    def send_rest(self) -> None:
        """Send the end of the audio; nothing more comes."""
        self._trim()
        self._waiting.append(self._trimmer.finish())
        self._flush()

    def finish(
        self,
        words: int,
        missed: list[tuple[int, int]],
        heard: Sequence[WordTime] = (),
        **told_too: object,
    ) -> None:
        """Send the rest, unless that was done, and that the segment was spoken.

        Args:
            words: Words of its text; 0 where the engine does not tell of words.
            missed: (start, end) of those that were not spoken.
            heard: When they were spoken, in samples of what the engine gave.
            told_too: More fields of the `spoken` frame.
        """
        self.send_rest()
        told = {"samples": self._trimmer.samples, "words": words, "missed": missed, **told_too}
        self._send({"type": "spoken", **self._fields, **told}, pack_words(self._in_sound(heard)))

    def _in_sound(self, heard: Sequence[WordTime]) -> Iterator[WordTime]:
        """What is told in samples of the trimmed sound; what lies behind its end was no sound."""
        cut, length = self._trimmer.leading_samples, self._trimmer.samples
        for word in heard:
            if word.sample - cut < length:
                yield WordTime(word.place, max(0, word.sample - cut))

    def _trim(self) -> None:
        """Trimming costs by the call: what could not be sent yet anyway is gathered for one."""
        self._waiting.append(self._trimmer.feed(b"".join(self._raw)))
        self._raw.clear()
        self._size = sum(map(len, self._waiting))

    def _flush(self) -> None:
        waiting = memoryview(b"".join(self._waiting))
        for start in range(0, len(waiting), self._greatest):
            self._send({"type": "audio", **self._fields}, waiting[start : start + self._greatest])
        self._waiting.clear()
        self._size = 0
