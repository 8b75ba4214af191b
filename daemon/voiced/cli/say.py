"""`voiced say`: heard as it is made, or written to a sound file."""

import argparse
import contextlib
import itertools
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from voiced.audio.formats import FORMATS
from voiced.cli.connect import connect_or_start
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.parser import add_no_start
from voiced.cli.part import Part
from voiced.cli.speech import add_speech, speech_fields
from voiced.cli.spoken_text import pieces_of, text_of
from voiced.cli.text import printable
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError

if TYPE_CHECKING:
    from voiced.cli.sound_file import SoundWriter
    from voiced.playback import Player


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="*", help="what to say; - reads it from standard input")
    parser.add_argument("-f", "--file", metavar="FILE", help="say a text, Markdown, HTML, Word or EPUB file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write a sound file instead, as its name ends: .wav, .mp3 ...; - = standard output",
    )
    parser.add_argument("--format", choices=(*FORMATS, "raw"), help="of -o; raw = PCM s16le, mono")
    add_speech(parser, is_file=False)
    add_no_start(parser)


def _run(options: argparse.Namespace) -> int:
    from voiced.cli.sound_file import format_of, whole_file

    pieces = pieces_of(text_of(options.text, options.file))
    format_ = format_of(options.output, options.format) if options.output is not None else ""
    if options.output == "-" and sys.stdout.isatty():
        raise CommandFailed(
            "-o - writes sound to standard output: send it to a file or a program", Exit.USAGE
        )
    fields = speech_fields(options)
    signal.signal(signal.SIGTERM, _interrupt)
    with connect_or_start(no_start=options.no_start) as client:
        if options.output is None:
            _speak(client, pieces, fields, Loudspeaker())
        elif options.output == "-":
            _speak(client, pieces, fields, Recorder(1, format_))
        else:
            with whole_file(Path(options.output)) as descriptor:
                folder = Path(options.output).resolve().parent
                _speak(client, pieces, fields, Recorder(descriptor, format_, folder))
    return Exit.OK


class Sink(Protocol):
    """Where the sound goes."""

    def write(self, sample_rate_hz: int, pcm: bytes) -> None:
        """Take PCM; the rate is the same every time."""

    def finish(self) -> None:
        """All is there."""

    def abort(self) -> None:
        """Nothing more comes: be silent now."""


def _speak(client: Client, pieces: list[str], fields: dict[str, Any], sink: Sink) -> None:
    """Speak pieces one after the other into one sink."""
    rate, told = 0, set[str]()
    for piece in pieces:
        job_id, stream = m.new_id(), None
        try:
            stream = client.speak(piece, request_id=job_id, **fields)
            chunks = iter(stream)
            with _load_shown(fields.get("model", "")):
                _tell(_notes_of(stream.accepted), told)
                first = list(itertools.islice(chunks, 1))  # none where there is nothing to say
            rate = rate or stream.accepted.sample_rate_hz
            if rate != stream.accepted.sample_rate_hz:
                raise CommandFailed("the sample rate changed within the text")
            for pcm in itertools.chain(first, chunks):
                sink.write(rate, pcm)
            _tell(stream.done.job.notes if stream.done is not None else [], told)
        except BaseException:
            sink.abort()  # silence comes first
            if stream is None or not stream.is_over:
                _cancel(client, job_id)
            raise
    sink.finish()


def _load_shown(model: str) -> contextlib.AbstractContextManager[None]:
    """Show how far the load of a model is until its first audio: the embedded voice has nothing to show."""
    if not model or not sys.stderr.isatty():
        return contextlib.nullcontext()
    from voiced.cli.loading import load_shown

    return load_shown(model)


def _cancel(client: Client, job_id: str) -> None:
    """End the job and wait for the answer: a cancel that is only sent would be lost as the client closes."""
    with contextlib.suppress(VoicedError):
        client.cancel(job_id)


def _notes_of(accepted: m.Accepted) -> list[str]:
    """Return what differs from what was asked for."""
    cut = f"cut from {accepted.original_chars} to {accepted.chars} characters"
    return [*([cut] if accepted.is_truncated else []), *accepted.notes]


def _tell(notes: Iterable[str], told: set[str]) -> None:
    """Say what was not told yet: at once, for the first word may be long in coming."""
    for note in dict.fromkeys(notes):
        if note not in told:
            told.add(note)
            print(f"voiced: note: {printable(note)}", file=sys.stderr)


class Loudspeaker:
    """Plays; the player is made with the first audio."""

    def __init__(self) -> None:
        self._player: Player | None = None

    def write(self, sample_rate_hz: int, pcm: bytes) -> None:
        """Play PCM; waits while the player is full."""
        if self._player is None:
            from voiced.playback import Player

            self._player = Player(sample_rate_hz)
        self._player.write(pcm)

    def finish(self) -> None:
        """Wait until all was heard."""
        if self._player is not None:
            self._player.finish()

    def abort(self) -> None:
        """Be silent now."""
        if self._player is not None:
            self._player.kill()


class Recorder:
    """Writes sound to a descriptor."""

    def __init__(self, descriptor: int, format_: str, folder: Path | None = None) -> None:
        self._descriptor = descriptor
        self._format = format_
        self._folder = folder
        self._writer: SoundWriter | None = None

    def write(self, sample_rate_hz: int, pcm: bytes) -> None:
        """Write PCM, after the header."""
        if self._writer is None:
            from voiced.cli.sound_file import writer_for

            self._writer = writer_for(self._format, self._descriptor, sample_rate_hz, self._folder)
        self._writer.write(pcm)

    def finish(self) -> None:
        """Complete the file."""
        if self._writer is None:
            raise CommandFailed("the text gave no sound: nothing was written", Exit.DATA)
        try:
            self._writer.finish()
        finally:
            self._writer.close()

    def abort(self) -> None:
        """Let go of the file, which goes away."""
        if self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):  # libsndfile's word
                self._writer.close()


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM leaves as tidily as Ctrl+C."""
    raise SystemExit(128 + number)


PARTS = {
    "say": Part(
        _declare,
        _run,
        (
            'voiced say "Hello, world."',
            "voiced say --language de --speed 1.2 -f brief.docx",
            "voiced say -o hello.mp3 Hello",
            "date | voiced say -",
            "voiced say -o - --format raw Hello | aplay -f S16_LE -r 22050",
        ),
        "Heard as it is made; Ctrl+C is silent at once. A daemon is started where none runs.",
    )
}
