"""The espeak worker: one thread, one select loop; it forks for every task, relays audio, and never speaks itself.

A fork costs what this process has imported, so it imports next to nothing. Where nothing else is to be done, forks
are made ahead for those who listen: they have the voice set that was asked for last. Frames: `voiced.workers.link`;
`ready` names the variants too, `f3` of `en-us+f3`.
"""

import gc
import select
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any

import msgpack

from voiced.child.fork import Fork
from voiced.child.lifeline import bind_to_parent
from voiced.child.utterance import SPEECH_FAILED, Piece, Utterance, end_frame, rehearse, speak
from voiced.engines.espeak import (
    Espeak,
    EspeakFailed,
    Speech,
    speech_of,
)
from voiced.engines.espeak_voices import EspeakVoice, default_voice, find_voice
from voiced.memory import rss_bytes
from voiced.workers.link import MAX_HEADER_BYTES, MAX_PAYLOAD_BYTES, Fields, FrameReader, pack

_SPARES = 2
_MAX_BATCH = 64
_UNSENT_BYTES = 4 << 20
"""Beyond this the daemon does not keep up: forks wait until it does."""


class _Refusal(Exception):
    """A task that cannot be spoken: code and message."""


class _Task:
    """A task that a fork works on."""

    def __init__(self, task: int, is_stream: bool, fork: Fork) -> None:
        self.task = task
        self.is_stream = is_stream
        self.fork = fork
        self.unread = bytearray()
        """The beginning of a frame."""
        self.is_over = False
        """Its last frame has come."""


class Speaker:
    """The worker's state, and its loop.

    Args:
        link: The socket to the daemon.
        espeak: The library; forks of this process speak with it.
        slots: Tasks at once.
    """

    def __init__(self, link: socket.socket, espeak: Espeak, slots: int) -> None:
        self._link = link
        self._espeak = espeak
        self._voices = espeak.voices()
        self._slots = slots
        self._queued: deque[Utterance] = deque()
        self._running: dict[int, _Task] = {}
        """By the descriptor of the fork's audio."""
        self._spares: list[tuple[str, Fork]] = []
        """With the voice that each has set."""
        self._last_voice = ""
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._is_ending = False

    def announce(self) -> None:
        """Tell the daemon what this engine can do."""
        languages = {voice.languages[0] for voice in self._voices if voice.languages}
        self._send(
            {
                "type": "ready",
                "sample_rate_hz": self._espeak.sample_rate_hz,
                "slots": self._slots,
                "languages": sorted(languages),
                "voices": [_describe(voice) for voice in self._voices],
                "variants": self._espeak.variants(),
                "can_cancel": True,
                "is_repeatable": True,
                "max_batch": _MAX_BATCH,
            }
        )

    def run(self, reader: FrameReader, waiting: list[tuple[Fields, bytes]]) -> None:
        """Serve until the daemon is gone or says `end`; no fork is left then.

        Args:
            reader: Of the link, with what it holds of the next frame.
            waiting: Frames that came with the first one.
        """
        try:
            self._take_frames(waiting)
            while not self._is_ending:
                self._turn(reader)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the daemon is gone
        finally:
            for fork in [
                *(task.fork for task in self._running.values()),
                *(fork for _, fork in self._spares),
            ]:
                fork.kill()

    def _turn(self, reader: FrameReader) -> None:
        """Wait for something and do it; nothing to wait for yet = make a fork ahead."""
        readable: list[Any] = [self._link]
        if self._unsent_bytes < _UNSENT_BYTES:
            readable += self._running
        writable = [self._link] if self._unsent else []
        wants_spare = self._wants_spare()
        ready, can_send, _ = select.select(readable, writable, [], 0 if wants_spare else None)
        if can_send:
            self._flush()
        if self._link in ready:
            data = self._link.recv(1 << 18)
            if not data:
                self._is_ending = True
                return
            self._take_frames(reader.feed(data))
        for descriptor in ready:
            task = self._running.get(descriptor)
            if task is not None:
                self._relay(task)
        if not ready and not can_send and wants_spare:
            self._spares.append((self._last_voice, self._fork(self._last_voice)))

    def _wants_spare(self) -> bool:
        """Whether a fork is to be made ahead: never while somebody listens, whom the pause would reach."""
        if not self._last_voice or len(self._spares) >= min(self._slots, _SPARES):
            return False
        return not any(task.is_stream and not task.is_over for task in self._running.values())

    # -- what the daemon says -------------------------------------------------------------------------

    def _take_frames(self, frames: list[tuple[Fields, bytes]]) -> None:
        for fields, _ in frames:
            kind = fields["type"]
            if kind == "speak":
                self._take_task(fields)
            elif kind == "cancel":
                self._cancel(fields["task"])
            elif kind == "ping":
                self._send({"type": "pong", "n": fields.get("n", 0), "rss_bytes": rss_bytes()})
            elif kind == "end":
                self._is_ending = True

    def _take_task(self, fields: Mapping[str, Any]) -> None:
        try:
            self._queued.append(self._utterance(fields))
        except _Refusal as refusal:
            code, message = refusal.args
            self._send({"type": "failed", "task": fields["task"], "code": code, "message": message})
            return
        self._start_queued()

    def _utterance(self, fields: Mapping[str, Any]) -> Utterance:
        named = self._named_voice(str(fields.get("voice") or ""))
        language = str(fields.get("language") or "")
        pieces = tuple(
            Piece(
                segment["index"],
                segment["text"],
                named or self._usual_voice(segment.get("language") or language),
            )
            for segment in fields["segments"]
        )
        speech = speech_of(*(float(fields.get(name, 1.0)) for name in ("speed", "pitch", "volume")))
        is_stream, tells_words = bool(fields.get("is_stream")), bool(fields.get("tells_words"))
        return Utterance(fields["task"], is_stream, speech, pieces, tells_words)

    def _named_voice(self, name: str) -> str:
        """The identifier of a voice that was asked for, with its variant; empty = none was."""
        if not name:
            return ""
        base, plus, variant = name.partition("+")
        voice = find_voice(self._voices, base)
        if voice is None or (plus and not self._espeak.has_variant(variant)):
            raise _Refusal(
                "unknown-voice", f"espeak has no voice {name!r}: `voiced voices` lists what there is"
            )
        return voice.identifier + plus + variant

    def _usual_voice(self, language: str) -> str:
        voice = default_voice(self._voices, language or "en")
        if voice is None:
            raise _Refusal(
                "unknown-language",
                f"espeak does not speak {language!r}: name a voice (`voiced voices`) or a language",
            )
        return voice.identifier

    def _cancel(self, number: object) -> None:
        for utterance in self._queued:
            if utterance.task == number:
                self._queued.remove(utterance)
                self._send({"type": "cancelled", "task": number})
                return
        for task in self._running.values():
            if task.task == number and not task.is_over:
                del self._running[task.fork.audio]
                task.fork.kill()
                self._send({"type": "cancelled", "task": number})
                self._start_queued()
                return

    # -- forks ----------------------------------------------------------------------------------------

    def _start_queued(self) -> None:
        while self._queued and sum(not task.is_over for task in self._running.values()) < self._slots:
            utterance = self._queued.popleft()
            request: bytes = msgpack.packb(utterance)
            voice = utterance.pieces[0].identifier if utterance.pieces else ""
            # A new process starts on an idle core, one that waited is woken on ours: files are spoken by new ones.
            fork = self._take_spare(voice) if utterance.is_stream else self._fork("")
            if not fork.ask(request):
                fork.reap()  # killed by somebody while it waited
                fork = self._fork("")
                fork.ask(request)  # should this one be dead too, its end tells
            self._running[fork.audio] = _Task(utterance.task, utterance.is_stream, fork)
            self._last_voice = voice if utterance.is_stream else self._last_voice

    def _take_spare(self, voice: str) -> Fork:
        """A spare with this voice; another voice set over it would not be a fresh start, so those go."""
        while self._spares:
            ready, fork = self._spares.pop(0)
            if ready == voice:
                return fork
            fork.kill()
        return self._fork("")

    def _fork(self, voice: str) -> Fork:
        espeak = self._espeak

        def prepare() -> None:
            if voice:
                espeak.set_voice(voice)
                rehearse(espeak.sample_rate_hz)

        def work(request: bytes, write: Any) -> int:
            task, is_stream, speech, pieces, tells_words = msgpack.unpackb(request)
            spoken = tuple(Piece(*piece) for piece in pieces)
            utterance = Utterance(task, is_stream, Speech(*speech), spoken, tells_words)
            return speak(espeak, utterance, write, voice)

        others = [fork for _, fork in self._spares] + [task.fork for task in self._running.values()]
        strangers = [descriptor for fork in others for descriptor in fork.descriptors]
        return Fork(work, prepare, [self._link.fileno(), *strangers])

    def _relay(self, task: _Task) -> None:
        """Pass whole frames on; a fork that died in the middle of one has only its task spoiled."""
        data = task.fork.read()
        if not data:
            self._finish(task)
            return
        task.unread += data
        whole = _whole_frames(task.unread)
        if whole < 0:
            task.fork.kill()
            del self._running[task.fork.audio]
            self._fail(task, "engine-crashed", "it wrote nonsense")
            return
        if whole:
            frames = bytes(task.unread[:whole])
            del task.unread[:whole]
            self._push(frames)
            task.is_over = frames.endswith(end_frame(task.task))
            if task.is_over:
                self._start_queued()

    def _finish(self, task: _Task) -> None:
        del self._running[task.fork.audio]
        code = task.fork.reap()
        if task.is_over:
            return
        if code == SPEECH_FAILED:
            self._fail(task, "synthesis-failed", "the library reported an error")
        else:
            self._fail(task, "engine-crashed", f"signal {-code}" if code < 0 else f"exit code {code}")

    def _fail(self, task: _Task, code: str, reason: str) -> None:
        message = f"espeak-ng did not finish a segment ({reason}); the segment can be tried again"
        self._send({"type": "failed", "task": task.task, "code": code, "message": message})
        self._start_queued()

    # -- the link -------------------------------------------------------------------------------------

    def _send(self, fields: Fields) -> None:
        self._push(pack(fields))

    def _push(self, data: bytes) -> None:
        """Send now what the link takes, the rest when it takes more."""
        self._unsent.append(memoryview(data))
        self._unsent_bytes += len(data)
        self._flush()

    def _flush(self) -> None:
        while self._unsent:
            try:
                sent = self._link.send(self._unsent[0])
            except BlockingIOError:
                return
            self._unsent_bytes -= sent
            rest = self._unsent[0][sent:]
            if rest:
                self._unsent[0] = rest
            else:
                self._unsent.popleft()


def _describe(voice: EspeakVoice) -> Fields:
    return {
        "voice": voice.voice,
        "name": voice.name,
        "language": voice.languages[0] if voice.languages else "",
        "languages": list(voice.languages),
        "gender": voice.gender,
    }


def _whole_frames(data: bytearray) -> int:
    """How many bytes of `data` are whole frames; -1 = these are no frames."""
    place = 0
    while place + 8 <= len(data):
        header = int.from_bytes(data[place : place + 4], "little")
        payload = int.from_bytes(data[place + 4 : place + 8], "little")
        if header > MAX_HEADER_BYTES or payload > MAX_PAYLOAD_BYTES:
            return -1
        if place + 8 + header + payload > len(data):
            break
        place += 8 + header + payload
    return place


def main(options: Mapping[str, str]) -> int:
    """Run the worker until the daemon goes, and return its exit code.

    Args:
        options: The command line: `--link-fd`, `--parent`, `--library`, `--data`.
    """
    bind_to_parent(int(options["--parent"]))
    link = socket.socket(fileno=int(options["--link-fd"]))
    reader = FrameReader()
    frames: list[tuple[Fields, bytes]] = []
    while not frames:
        data = link.recv(1 << 18)
        if not data:
            return 0
        frames = reader.feed(data)
    load: Mapping[str, Any] = frames.pop(0)[0]
    if load["type"] != "load":
        return 0 if load["type"] == "end" else 2
    try:
        espeak = Espeak(options["--library"], options["--data"])
    except EspeakFailed as error:
        link.sendall(pack({"type": "refused", "code": "engine-load-failed", "message": str(error)}))
        return 0
    link.setblocking(False)
    speaker = Speaker(link, espeak, max(1, int(load.get("threads") or 1)))
    speaker.announce()
    # What lives now lives as long as the process: forks need not copy its pages to look at it.
    gc.freeze()
    speaker.run(reader, frames)
    return 0
