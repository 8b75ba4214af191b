"""Sound out of the loudspeaker, while it is being made: a system player fed through a pipe, else a package.

Used by `voiced say` alone, in its main thread. The player is chosen when the first audio is there. One that cannot
play (no sound server, no device, too old) is replaced by the next, and what it had been given is said again: until a
player has taken two seconds of audio, everything is kept.
"""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import IO, NamedTuple, Protocol

from voiced_ipc.errors import VoicedError

_TRIAL_S = 2.0
"""Audio that a player must have taken before it counts as working; more than any player's and the pipe's buffer."""
_END_S = 30.0
"""Greatest wait for a player that has everything; the buffers before it hold a few seconds."""
_PERIOD_MS = 50
"""What the package asks for at a time."""


class PlaybackFailed(VoicedError):
    """Nothing here can play sound; the message names what was tried and what to do."""


class Program(NamedTuple):
    """A player of the system."""

    name: str
    arguments: str
    """Between spaces; `{rate}` stands for the sample rate."""

    def command(self, sample_rate_hz: int) -> list[str]:
        """Return the command line."""
        return [self.name, *self.arguments.format(rate=sample_rate_hz).split()]


PROGRAMS = (
    # PipeWire, PulseAudio, ALSA, then what people install: the sound server knows the user's choice of device.
    Program("pw-play", "--raw --format=s16 --rate={rate} --channels=1 -"),
    Program("pacat", "--playback --raw --format=s16le --rate={rate} --channels=1"),
    Program("paplay", "--raw --format=s16le --rate={rate} --channels=1"),
    Program("aplay", "-q -t raw -f S16_LE -c 1 -r {rate} -"),
    Program("play", "-q -t raw -e signed-integer -b 16 -L -c 1 -r {rate} -"),
    Program("ffplay", "-nodisp -autoexit -loglevel error -f s16le -ar {rate} -i -"),
)
"""They read raw PCM s16le, mono, on their standard input."""
WHOLE_FILE_PROGRAMS = (Program("afplay", ""),)
"""Players that want a finished file: the last choice, heard only when everything is spoken."""


class Sink(Protocol):
    """Where sound goes."""

    name: str

    def write(self, pcm: bytes) -> None:
        """Take PCM; waits while the player is full. BrokenPipeError if it is gone."""

    def finish(self) -> str:
        """Wait until all is heard; return why it was not, or nothing."""

    def kill(self) -> None:
        """Be silent now."""


class Player:
    """Plays PCM s16le, mono, as it comes; a context manager that is silent at once when left by an error.

    Args:
        sinks: What to try, in order: functions of the sample rate. None = what this system has.
    """

    def __init__(self, sample_rate_hz: int, sinks: Sequence[Callable[[int], Sink]] | None = None) -> None:
        self._rate = sample_rate_hz
        self._sinks: Iterator[Callable[[int], Sink]] = iter(find_sinks() if sinks is None else sinks)
        self._sink: Sink | None = None
        self._kept: list[bytes] | None = []  # None = the player has proved itself
        self._kept_bytes = 0
        self._reasons: list[str] = []

    def __enter__(self) -> "Player":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def write(self, pcm: bytes) -> None:
        """Play `pcm` after what came before; waits while the player is full.

        Raises:
            PlaybackFailed: If no player is left.
        """
        if self._kept is not None:
            self._kept.append(pcm)
            self._kept_bytes += len(pcm)
        try:
            if self._sink is None:
                self._next("")
            else:
                self._sink.write(pcm)
        except BrokenPipeError:
            self._next(self._sink.finish() if self._sink is not None else "")
        if self._kept_bytes > _TRIAL_S * 2 * self._rate:
            self._kept = None

    def finish(self) -> None:
        """Wait until everything was heard.

        Raises:
            PlaybackFailed: If no player is left.
        """
        while self._sink is not None:
            reason = self._sink.finish()
            if not reason:
                self.kill()
                return
            self._next(reason)

    def kill(self) -> None:
        """Be silent now; what was not yet heard is lost."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.kill()

    def _next(self, reason: str) -> None:
        """Give everything so far to the next sink that takes it."""
        while True:
            if self._sink is not None:
                self._reasons.append(f"{self._sink.name}: {reason or 'ended too early'}")
                self._sink.kill()
            self._sink = None
            if self._kept is None:
                raise PlaybackFailed(f"the player stopped ({'; '.join(self._reasons)})")
            make = next(self._sinks, None)
            if make is None:
                raise PlaybackFailed(_nothing(self._reasons))
            try:
                self._sink = make(self._rate)
                for pcm in self._kept:
                    self._sink.write(pcm)
            except BrokenPipeError:
                reason = self._sink.finish() if self._sink is not None else ""
            except OSError as error:
                self._reasons.append(str(error))
            else:
                return


def find_sinks(
    which: Callable[[str], str | None] = shutil.which, platform: str = sys.platform
) -> list[Callable[[int], Sink]]:
    """Return what can play here, best first.

    Args:
        which: Finds a program.
        platform: As `sys.platform`.
    """
    programs = [program for program in PROGRAMS if which(program.name)]
    whole = [program for program in WHOLE_FILE_PROGRAMS if platform == "darwin" and which(program.name)]
    return [
        *(_sink_of(PipeSink, program) for program in programs),
        *([DeviceSink] if _has_package() else []),
        *(_sink_of(FileSink, program) for program in whole),
    ]


def _sink_of(kind: Callable[[Program, int], Sink], program: Program) -> Callable[[int], Sink]:
    return lambda rate: kind(program, rate)


def _has_package() -> bool:
    from importlib.util import find_spec

    return find_spec("miniaudio") is not None


def _nothing(reasons: list[str]) -> str:
    advice = "write the audio to a file instead: `voiced say -o FILE.wav TEXT`"
    if reasons:
        return f"no sound can be played here ({'; '.join(reasons)}); {advice}"
    names = ", ".join(program.name for program in PROGRAMS)
    return (
        f"nothing to play sound with was found (looked for {names}); install one of them, "
        f"or the package miniaudio, or {advice}"
    )


class PipeSink:
    """A system player that reads the pipe."""

    def __init__(self, program: Program, sample_rate_hz: int) -> None:
        self.name = program.name
        self._began = time.monotonic()
        self._written_bytes = 0
        self._bytes_per_s = 2 * sample_rate_hz
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the player
        try:
            self._process = subprocess.Popen(
                program.command(sample_rate_hz),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                bufsize=0,
            )
        except OSError:
            self._errors.close()
            raise

    def write(self, pcm: bytes) -> None:
        """Take PCM; waits while the pipe is full."""
        pipe = self._process.stdin
        assert pipe is not None
        rest = memoryview(pcm)
        while rest:
            rest = rest[pipe.write(rest) :]
        self._written_bytes += len(pcm)

    def finish(self) -> str:
        """Wait until the player has played all; return what it complained of when it failed."""
        self._close()
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"did not end within {_END_S:g} s"
        self._errors.seek(0)
        said = self._errors.read(4096).decode(errors="replace").strip().splitlines()
        # ffplay reports success where it could open no device: it complains, and is done long before the sound is.
        took_s, sound_s = time.monotonic() - self._began, self._written_bytes / self._bytes_per_s
        if code == 0 and not (said and took_s < sound_s / 2):
            return ""
        return said[0][:200] if said else f"ended with {code}"

    def kill(self) -> None:
        """Kill the player, and let go of it."""
        self._process.kill()
        self._close()
        self._process.wait()
        self._errors.close()

    def _close(self) -> None:
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            pipe.close()


class FileSink:
    """A system player that wants a finished file: collects the audio, plays it at the end."""

    def __init__(self, program: Program, sample_rate_hz: int) -> None:
        from voiced.audio.wav import wav_header

        self.name = program.name
        self._command = program.command(sample_rate_hz)
        self._header = functools.partial(wav_header, sample_rate_hz=sample_rate_hz)
        self._file = tempfile.NamedTemporaryFile(suffix=".wav")  # noqa: SIM115 - as long as the player
        self._file.write(self._header(0))
        self._audio_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, pcm: bytes) -> None:
        """Collect PCM."""
        self._file.write(pcm)
        self._audio_bytes += len(pcm)

    def finish(self) -> str:
        """Play the file to its end."""
        self._file.seek(0)
        self._file.write(self._header(self._audio_bytes))
        self._file.flush()
        self._process = subprocess.Popen(
            [*self._command, self._file.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        code = self._process.wait()
        return f"ended with {code}" if code else ""

    def kill(self) -> None:
        """Kill the player, remove the file."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._file.close()


class DeviceSink:
    """The loudspeaker through the package miniaudio, which brings its own way to every system's sound."""

    name = "miniaudio"

    def __init__(self, sample_rate_hz: int, backends: Sequence[str] = ()) -> None:
        import miniaudio

        # Its own list ends with the null device, which would swallow the sound in silence.
        no_sound = ("NULL", "CUSTOM", "WEBAUDIO")
        chosen = [
            b for b in miniaudio.Backend if (b.name in backends if backends else b.name not in no_sound)
        ]
        self._limit_bytes = 2 * sample_rate_hz  # a second
        self._latency_s = _PERIOD_MS * 3 / 1000
        self._buffer = bytearray()
        self._changed = threading.Condition()
        self._is_complete = self._is_heard = False
        feed = self._feed()
        next(feed)
        try:
            with _quiet_libraries():
                self._device = miniaudio.PlaybackDevice(
                    miniaudio.SampleFormat.SIGNED16, 1, sample_rate_hz, _PERIOD_MS, backends=chosen
                )
                self._device.start(feed)
        except miniaudio.MiniaudioError as error:
            raise OSError(f"{self.name}: {error.args[0]}") from error

    def write(self, pcm: bytes) -> None:
        """Take PCM; waits while a second of it is not yet played."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._buffer) < self._limit_bytes, _END_S):
                raise BrokenPipeError
            self._buffer += pcm

    def finish(self) -> str:
        """Wait until the device has played all."""
        with self._changed:
            self._is_complete = True
            if not self._changed.wait_for(lambda: self._is_heard, _END_S):
                return f"the device did not end within {_END_S:g} s"
        time.sleep(self._latency_s)  # the last periods lie in the device, which tells nobody when it is empty
        return ""

    def kill(self) -> None:
        """Close the device."""
        self._device.close()

    def _feed(self) -> Generator[bytes, int, None]:
        """Give the device's thread what it asks for: sound, or silence where none is there yet."""
        frames = yield b""
        while True:
            with self._changed:
                piece = bytes(self._buffer[: frames * 2])
                del self._buffer[: len(piece)]
                self._is_heard = self._is_complete and not self._buffer
                self._changed.notify_all()
            frames = yield piece + bytes(frames * 2 - len(piece))


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Where there is no device, ALSA's C library writes forty lines to standard error by itself."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
