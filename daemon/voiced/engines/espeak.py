"""espeak-ng, the embedded voice, through ctypes: the library, loaded once in a process.

The state of the library is one for the process, and the audio of a segment depends on what the process said
before. So this engine is not one of `voiced.engines.base`: the process that loads it never speaks, and every task
is spoken by a fresh fork of it (`voiced.child.speaker`), which makes the same task the same audio, always.

Imports what every fork can afford. Figures are from espeak-ng 1.52, read off its events and headers.
"""

# ruff: noqa: PTH110, PTH118, PTH120, PTH208 - every fork would pay for pathlib

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from voiced.engines.espeak_voices import EspeakVoice, language_tag, voice_id
from voiced.engines.words import Word

ESPEAK_RATE_WPM = 175
ESPEAK_RATE_BOUNDS_WPM = (80, 450)

_SYNCHRONOUS = 2  # audio comes through the callback, inside espeak_Synth
_DONT_EXIT = 0x8000  # without it a missing data folder ends the process
_CHARACTERS = 1
_UTF8 = 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_LIST_TERMINATED, _WORD = 0, 1
_GO_ON, _STOP = 0, 1
_BUFFER_MS = 0  # the library's own, 60 ms

SILENT_ABOUT_WORDS = frozenset(("ko",))
"""Identifiers of voices that speak words without telling of them: one in fifty, in Korean."""

_LIBRARY_NAMES = {"win32": "espeak-ng.dll", "darwin": "libespeak-ng.dylib"}
_SYSTEM_NAMES = {
    "win32": "libespeak-ng.dll",
    "darwin": "libespeak-ng.1.dylib",
}


class EspeakFailed(Exception):
    """The library cannot be used, or did not speak; the message says why and what to do."""


class Speech(NamedTuple):
    """How a task is spoken, in espeak's own units."""

    rate_wpm: int
    pitch: int
    volume: int


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


# -- the daemon's side --------------------------------------------------------------------------------


def find_library() -> tuple[str, str]:
    """Return the library and its data folder (empty = the library's own): the wheel's, else the system's.

    Raises:
        EngineLoadFailed: If there is none; the message says how to get it.
    """
    import ctypes.util
    import importlib.util

    from voiced_ipc.errors import EngineLoadFailed

    spec = importlib.util.find_spec("espeakng_loader")
    for folder in spec.submodule_search_locations or () if spec else ():
        library = os.path.join(folder, _LIBRARY_NAMES.get(sys.platform, "libespeak-ng.so"))
        data = os.path.join(folder, "espeak-ng-data")
        if os.path.exists(library) and os.path.exists(os.path.join(data, "phontab")):
            return library, data
    name = _SYSTEM_NAMES.get(sys.platform, "libespeak-ng.so.1")
    try:
        ctypes.CDLL(name)
    except OSError:
        found = ctypes.util.find_library("espeak-ng")
        if not found:
            raise EngineLoadFailed(
                "there is no espeak-ng: install the package espeakng-loader (pip) or espeak-ng (system)"
            ) from None
        name = found
    return name, ""


# -- the child's side ---------------------------------------------------------------------------------


class Espeak:
    """The library, loaded; one for a process.

    Args:
        library: Path or name of the shared library.
        data: The folder `espeak-ng-data`; empty = where the library looks by itself.

    Raises:
        EspeakFailed: If it cannot be loaded, or has no data.
    """

    def __init__(self, library: str, data: str) -> None:
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise EspeakFailed(f"espeak-ng cannot be loaded: {error}; install it again") from error
        self._declare()
        self.sample_rate_hz = self._start(data)
        self._data = self._data_folder()
        self._on_audio: Callable[[bytes], None] | None = None
        self._words: list[Word] = []
        self._failure: BaseException | None = None
        # Kept by this object: the library calls it for as long as it lives.
        self._callback = _Callback(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def _declare(self) -> None:
        library = self._library
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
        library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        library.espeak_Info.restype = ctypes.c_char_p
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            *(ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
            *(ctypes.c_void_p, ctypes.c_void_p),
        ]

    def _start(self, data: str) -> int:
        # Some versions want the folder itself, some its parent.
        for folder in (data, os.path.dirname(data)) if data else (None,):
            path = os.fsencode(folder) if folder else None
            rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, path, _DONT_EXIT)
            if rate > 0:
                return rate
        raise EspeakFailed(f"espeak-ng finds no data in {data or 'its own folder'}; install it again")

    def _data_folder(self) -> str:
        path = ctypes.c_char_p()
        self._library.espeak_Info(ctypes.byref(path))
        return os.fsdecode(path.value or b"")

    def voices(self) -> tuple[EspeakVoice, ...]:
        """Return every voice that can speak, in the library's order; none of mbrola, which needs more."""
        made: dict[str, EspeakVoice] = {}
        listed = self._library.espeak_ListVoices(None)
        place = 0
        while listed[place]:
            voice = _read_voice(listed[place].contents)
            place += 1
            if "mb" not in voice.identifier.split("/") and self._has_dictionary(voice.identifier):
                made.setdefault(voice.voice, voice)
        return tuple(made.values())

    def _has_dictionary(self, identifier: str) -> bool:
        """Three voices are listed whose dictionary was not shipped: they would say nothing."""
        name = identifier.rpartition("/")[2].partition("-")[0].lower()
        if os.path.exists(os.path.join(self._data, f"{name}_dict")):
            return True
        try:
            with open(os.path.join(self._data, "lang", *identifier.split("/")), encoding="utf-8") as file:
                words = [line.split() for line in file]
        except OSError:
            return False
        named = [line[1] for line in words if len(line) > 1 and line[0] == "dictionary"]
        return any(os.path.exists(os.path.join(self._data, f"{name}_dict")) for name in named)

    def has_variant(self, variant: str) -> bool:
        """Return whether the voices have a variant of this name, such as `f3`."""
        return (
            variant not in ("", ".", "..")
            and not set(variant) & set("/\\\0+")
            and os.path.exists(os.path.join(self._data, "voices", "!v", variant))
        )

    def variants(self) -> list[str]:
        """Return the names of all variants."""
        try:
            return sorted(os.listdir(os.path.join(self._data, "voices", "!v")))
        except OSError:
            return []

    def set_voice(self, identifier: str) -> None:
        """Set the voice.

        Args:
            identifier: A voice's `identifier`, and `+variant` where wanted.

        Raises:
            EspeakFailed: If the library does not take it.
        """
        if self._library.espeak_SetVoiceByName(identifier.encode()) != 0:
            raise EspeakFailed(f"espeak-ng has no voice {identifier!r}; `voiced voices` lists what there is")

    def speak(self, text: str, speech: Speech, on_audio: Callable[[bytes], None]) -> list[Word]:
        """Speak a text with the voice that is set, and return the words as they were spoken.

        Args:
            text: Control characters in it are spaces: espeak would take some as commands.
            speech: Rate, pitch and volume.
            on_audio: Given each buffer (60 ms, the last one shorter), PCM s16le.

        Raises:
            EspeakFailed: If the library reports an error.
        """
        for parameter, value in ((_RATE, speech.rate_wpm), (_VOLUME, speech.volume), (_PITCH, speech.pitch)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._on_audio = on_audio
        self._words = []
        self._failure = None
        raw = text.translate(_CONTROLS).encode(errors="replace") + b"\0"
        code = self._library.espeak_Synth(raw, len(raw), 0, _CHARACTERS, 0, _UTF8, None, None)
        if self._failure is not None:
            raise self._failure
        if code != 0:
            raise EspeakFailed(f"espeak-ng could not speak (its error {code}); try again")
        return self._words

    def _hear(self, samples: Any, count: int, events: Any) -> int:
        """The library's callback: an error must not end in it, where it would be forgotten."""
        try:
            self._take(samples, count, events)
        except BaseException as error:  # noqa: BLE001 - raised again by `speak`
            self._failure = error
            return _STOP
        return _GO_ON

    def _take(self, samples: Any, count: int, events: Any) -> None:
        place = 0
        while (kind := events[place].type) != _LIST_TERMINATED:
            if kind == _WORD:
                event = events[place]
                self._words.append(Word(event.text_position - 1, event.length, event.sample))
            place += 1
        if samples and count > 0 and self._on_audio is not None:
            self._on_audio(ctypes.string_at(samples, 2 * count))


_CONTROLS = dict.fromkeys([*range(32), 127], " ") | {9: "\t", 10: "\n", 13: "\r"}


def _read_voice(raw: _Voice) -> EspeakVoice:
    tags, ranks = [], []
    address = raw.languages
    # Each language is a byte of rank and a string; a rank of 0 ends them.
    while rank := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        address += 2 + len(tag)
        ranks.append(rank)
        tags.append(language_tag(tag.decode("utf-8", "replace")))
    identifier = os.fsdecode(raw.identifier)
    gender = {1: "male", 2: "female"}.get(raw.gender, "")
    name = raw.name.decode("utf-8", "replace").strip()
    return EspeakVoice(voice_id(identifier, tags), name, tuple(tags), gender, identifier, tuple(ranks))


def speech_of(speed: float, pitch: float, volume: float) -> Speech:
    """Return espeak's units for shares of the usual: 175 words a minute, pitch 50, volume 100.

    The library speaks between 80 and 450 words a minute, and knows pitch 0-100 and volume 0-200: what is beyond is
    the nearest of them.
    """
    low, high = ESPEAK_RATE_BOUNDS_WPM
    return Speech(
        rate_wpm=min(max(round(speed * ESPEAK_RATE_WPM), low), high),
        pitch=min(max(round(pitch * 50), 0), 100),
        volume=min(max(round(volume * 100), 0), 200),
    )
