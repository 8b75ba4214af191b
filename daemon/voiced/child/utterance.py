"""One task as a fork of the espeak worker speaks it: segments in, link frames out, and then it ends.

Everything here happens in a process that has never spoken before: that is what makes the same task the same audio.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from voiced.child.outlet import Outlet
from voiced.engines.espeak import SILENT_ABOUT_WORDS, Espeak, EspeakFailed, Speech
from voiced.engines.words import Word, missed_words, says_nothing, words_of
from voiced.word_times import WordTime
from voiced.workers.link import Fields, pack

SPEECH_FAILED = 3
"""Exit code of a fork in which the library reported an error."""

Write = Callable[[bytes], None]


class Piece(NamedTuple):
    """A segment of a task."""

    place: int
    """Its index in the job."""
    text: str
    identifier: str
    """espeak's name of the voice, with its variant."""


class Utterance(NamedTuple):
    """A task, ready to be spoken."""

    task: int
    is_stream: bool
    speech: Speech
    pieces: tuple[Piece, ...]
    tells_words: bool
    """When each word is heard is asked for."""


def end_frame(task: int) -> bytes:
    """Return the frame that ends a task well; the worker knows it by its bytes."""
    return pack({"type": "done", "task": task})


def speak(espeak: Espeak, utterance: Utterance, write: Write, voice: str = "") -> int:
    """Speak all segments in order, write their frames, and return the exit code.

    Args:
        espeak: The library, in a process that has not spoken.
        utterance: What to speak.
        write: Takes whole frames.
        voice: The identifier that is set already.
    """
    sender = _Sender(write, utterance.is_stream)
    try:
        for piece in utterance.pieces:
            if piece.identifier != voice:
                espeak.set_voice(piece.identifier)
                voice = piece.identifier
            _speak_piece(espeak, utterance, piece, sender)
    except EspeakFailed:
        return SPEECH_FAILED
    write(end_frame(utterance.task))
    return 0


def rehearse(sample_rate_hz: int) -> None:
    """Walk through what a task needs of this interpreter, without the library and without a trace.

    A fork copies each page when it is first touched; one that waits ahead has the time to do it.
    """
    outlet = Outlet({"task": 0, "index": 0}, sample_rate_hz, True, _Sender(lambda _: None, True).send)
    for _ in range(3):
        outlet.hear(bytes(200) + b"\1\1" * 1200)
    words = words_of("a rehearsal")
    outlet.finish(len(words), missed_words("a rehearsal", [Word(start, end - start) for start, end in words]))


class _Sender:
    """Writes frames; after a listener's first one it lets the worker run.

    Args:
        write: Takes whole frames.
        is_stream: Whether somebody listens.
    """

    def __init__(self, write: Write, is_stream: bool) -> None:
        self._write = write
        self._yields = is_stream

    def send(self, fields: Fields, payload: bytes | memoryview) -> None:
        """Write one frame."""
        self._write(pack(fields, payload))
        if self._yields:
            # The kernel may have put the worker that this woke on our core, to wait until we are done.
            os.sched_yield()
            self._yields = False


def _speak_piece(espeak: Espeak, utterance: Utterance, piece: Piece, sender: _Sender) -> None:
    fields: Fields = {"task": utterance.task, "index": piece.place}
    outlet = Outlet(fields, espeak.sample_rate_hz, utterance.is_stream, sender.send)
    spoken: list[Word] = []
    if not says_nothing(piece.text):
        spoken = espeak.speak(piece.text, utterance.speech, outlet.hear)
    if piece.identifier.partition("+")[0] in SILENT_ABOUT_WORDS:
        outlet.finish(0, [])
    else:
        heard = [WordTime(max(0, word.start), max(0, word.sample)) for word in spoken]
        outlet.finish(
            len(words_of(piece.text)),
            missed_words(piece.text, spoken),
            heard if utterance.tells_words else (),
        )
