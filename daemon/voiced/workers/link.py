"""The frames between the daemon and its children: one socketpair each, length-prefixed msgpack.

A frame is two little-endian 32-bit lengths, a msgpack map, and a payload (audio or text). Both ends are this
program; the bounds are there so that a child gone mad costs itself, not the daemon. This module is imported by
the leanest child, so it imports msgpack and nothing else.

What travels, by the key `type`. To a child that speaks:

- `load`: engine, family, model, folder, device, precision, quantization, is_compiled, threads, cache,
  revision; always first
- `speak`: task, voice, language, description, speed, pitch, volume, is_stream,
  segments = [{index, text, language, seed}], max_chars (0 = whole segments), tells_words (when each was heard),
  prompt = {key, file, reason, voice, recordings, model, references = [{path, sha256, transcript}]}
- `test`: task; speak a moment and look at it, before others are let in
- `cancel`: task
- `ping`: n
- `end`: finish nothing, go

From it:

- `loading`: fraction, what; any number of times before `ready`
- `ready`: sample_rate_hz, slots, queue (tasks that it keeps beside those), languages, variants, can_cancel,
  voices = [{voice, name, language, languages, gender}], is_repeatable, max_batch, identities, identity,
  max_segment_chars, reference_s, can_blend; once
- `refused`: code, message; the model cannot be loaded, the child goes
- `prompt`: task, key, source (`memory`, `file`, `made`), bytes, took_ms, reason; where the voice of a task came from
- `audio`: task, index; payload = PCM s16le mono, trimmed and faded; several for each segment, in order
- `spoken`: task, index, samples, words, missed, faults, redone; after the last audio of a segment; words = 0 where the
  engine does not tell which words it spoke; faults = what is wrong with it, redone = what was wrong with a first take;
  payload = `voiced.word_times.pack_words`, empty where that was not asked for or the engine does not know
- `done`: task; after the last segment of a task
- `failed`: task, code, message; the task ended, the child lives
- `cancelled`: task (a scribe says `failed` with the code `job-cancelled`)
- `pong`: n, rss_bytes, device_bytes (reserved on a GPU)

To the scribe: `load`, `prepare`, `reference`, `finish`, `cancel`, `ping`, `end`; from it `ready`, `prepared`,
`finished`, `progress`, `failed`, `pong`. Their fields stand in `voiced.child.scribe`.
"""

import socket

import msgpack

Fields = dict[str, object]

MAX_HEADER_BYTES = 4 << 20
MAX_PAYLOAD_BYTES = 16 << 20
_PREFIX_BYTES = 8


class LinkError(Exception):
    """The other end sent what is no frame."""


def pack(fields: Fields, payload: bytes | memoryview = b"") -> bytes:
    """Return the bytes of one frame; file names that are no UTF-8 travel as they are."""
    return b"".join((_head(fields, payload), payload))


def _head(fields: Fields, payload: bytes | memoryview) -> bytes:
    header: bytes = msgpack.packb(fields, unicode_errors="surrogateescape")
    return b"".join((len(header).to_bytes(4, "little"), len(payload).to_bytes(4, "little"), header))


class FrameReader:
    """Cuts a stream of bytes into frames; only what is cut in the midst waits for its rest, and is copied for that."""

    def __init__(self) -> None:
        self._cut = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[Fields, bytes]]:
        """Return the frames that `data` completes.

        Raises:
            LinkError: If a length is beyond its bound or a header is not a map; the link is then useless.
        """
        view = memoryview(data)
        frames = []
        start = self._go_on(view) if self._cut else 0
        if self._cut and (end := _frame_end(self._cut, 0)) is not None:
            frames.append(_frame(self._cut, 0, end))
            self._cut = bytearray()
        if not self._cut:
            while (end := _frame_end(view, start)) is not None:
                frames.append(_frame(view, start, end))
                start = end
            self._cut += view[start:]
        return frames

    def _go_on(self, data: memoryview) -> int:
        """Give the frame that is cut what belongs to it; return how much that is."""
        taken = 0
        for _ in range(2):  # its lengths first, then what they tell
            more = min(_missing(self._cut), len(data) - taken)
            self._cut += data[taken : taken + more]
            taken += more
        return taken


def _missing(cut: bytearray) -> int:
    """How many bytes a frame that is cut lacks; before its lengths are known, those of them."""
    if len(cut) < _PREFIX_BYTES:
        return _PREFIX_BYTES - len(cut)
    return _whole_bytes(cut, 0) - len(cut)


def _frame_end(data: bytearray | memoryview, start: int) -> int | None:
    if len(data) - start < _PREFIX_BYTES:
        return None
    end = start + _whole_bytes(data, start)
    return end if end <= len(data) else None


def _whole_bytes(data: bytearray | memoryview, start: int) -> int:
    header, payload = _lengths(data, start)
    if header > MAX_HEADER_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise LinkError(f"a frame of {header} + {payload} bytes")
    return _PREFIX_BYTES + header + payload


def _lengths(data: bytearray | memoryview, start: int) -> tuple[int, int]:
    return (
        int.from_bytes(data[start : start + 4], "little"),
        int.from_bytes(data[start + 4 : start + 8], "little"),
    )


def _frame(data: bytearray | memoryview, start: int, end: int) -> tuple[Fields, bytes]:
    header, _ = _lengths(data, start)
    body = start + _PREFIX_BYTES
    view = memoryview(data)
    try:
        fields = msgpack.unpackb(view[body : body + header], unicode_errors="surrogateescape")
    except ValueError as error:
        raise LinkError(f"a header that is no msgpack: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
        raise LinkError("a header without a type")
    return fields, bytes(view[body + header : end])


class ChildLink:
    """The child's end: blocking, for one thread."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._reader = FrameReader()
        self._frames: list[tuple[Fields, bytes]] = []

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        return self._socket.fileno()

    def send(self, fields: Fields, payload: bytes | memoryview = b"") -> None:
        """Send one frame whole.

        Raises:
            OSError: If the daemon is gone.
        """
        head = _head(fields, payload)
        sent = self._socket.sendmsg((head, payload))  # audio is not copied once more to stand behind its head
        if sent < len(head) + len(payload):
            self._socket.sendall(head[sent:])
            self._socket.sendall(memoryview(payload)[max(0, sent - len(head)) :])

    def receive(self) -> tuple[Fields, bytes] | None:
        """Return the next frame; waits for it. None = the daemon is gone."""
        while not self._frames:
            data = self._socket.recv(1 << 18)
            if not data:
                return None
            self._frames = self._reader.feed(data)
        return self._frames.pop(0)

    def receive_ready(self) -> list[tuple[Fields, bytes]] | None:
        """Return the frames that one read completes, for a select loop; None = the daemon is gone."""
        data = self._socket.recv(1 << 18)
        return self._reader.feed(data) if data else None
