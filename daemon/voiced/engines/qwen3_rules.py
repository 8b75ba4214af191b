"""What Qwen3-TTS is, in plain values: sizes, kinds, languages, limits. Pure; no torch.

Imported by the engine of Qwen3-TTS, on torch and on MLX; nobody else.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from voiced.engines.base import (
    DESCRIPTION,
    PROMPT,
    SPEAKER,
    Capabilities,
    EngineVoice,
    SegmentRequest,
)
from voiced_ipc.errors import InvalidRequest, UnknownLanguage, UnknownVoice

FRAME_S = 0.08
"""One frame of the 12 Hz codec: 1920 samples at 24 kHz."""
REFERENCE_S = (3.0, 60.0)
"""Recordings: three seconds are upstream's own claim; beyond a minute memory and time grow and the voice does not."""
ADVISED_S = (10.0, 30.0)

BASE, CUSTOM_VOICE, VOICE_DESIGN = "base", "custom_voice", "voice_design"
IDENTITIES = {BASE: (PROMPT,), CUSTOM_VOICE: (SPEAKER,), VOICE_DESIGN: (DESCRIPTION,)}
"""Kind of model to what makes its voices."""

_TAGS = {
    "chinese": "zh",
    "english": "en",
    "japanese": "ja",
    "korean": "ko",
    "german": "de",
    "french": "fr",
    "russian": "ru",
    "portuguese": "pt",
    "spanish": "es",
    "italian": "it",
    "cantonese": "yue",
    "arabic": "ar",
    "hindi": "hi",
    "turkish": "tr",
    "polish": "pl",
    "dutch": "nl",
}
"""Upstream's names of languages to BCP 47; a model's configuration says which it has."""
_NAMES = {tag: name for name, tag in _TAGS.items()}
AUTO = "auto"
"""Upstream's word for: find the language out from the text."""


class _Speaker(NamedTuple):
    """A published speaker, as upstream's page describes it."""

    language: str
    gender: str


_SPEAKERS = {
    "vivian": _Speaker("zh", "female"),
    "serena": _Speaker("zh", "female"),
    "uncle_fu": _Speaker("zh", "male"),
    "dylan": _Speaker("zh", "male"),
    "eric": _Speaker("zh", "male"),
    "ryan": _Speaker("en", "male"),
    "aiden": _Speaker("en", "male"),
    "ono_anna": _Speaker("ja", "female"),
    "sohee": _Speaker("ko", "female"),
}


def size_of(talker_width: int, predictor_width: int) -> str:
    """Return `0.6b` or `1.7b`: in the small model the talker is as wide as its code predictor, in the big one wider.

    Args:
        talker_width: 1024 or 2048 in what is published.
        predictor_width: 1024 in both.
    """
    return "0.6b" if talker_width <= predictor_width else "1.7b"


def languages_of(codec_languages: Mapping[str, int]) -> tuple[str, ...]:
    """Return the BCP 47 tags of a configuration's languages; dialects are a matter of its speakers."""
    return tuple(_TAGS[name] for name in codec_languages if name in _TAGS)


def language_name(tag: str, languages: tuple[str, ...]) -> str:
    """Return upstream's name of a language; `auto` where none is given.

    Args:
        tag: BCP 47; only the language of it counts.
        languages: What the model has.

    Raises:
        UnknownLanguage: Naming what it has.
    """
    language = tag.replace("_", "-").partition("-")[0].lower()
    if not language:
        return AUTO
    if language not in languages:
        raise UnknownLanguage(
            f"this model does not speak {tag!r}; it speaks {', '.join(languages)}: take another model or --language"
        )
    return _NAMES[language]


def voices_of(speakers: Mapping[str, int], languages: tuple[str, ...]) -> tuple[EngineVoice, ...]:
    """Return the speakers of a configuration as voices: each speaks every language, its own first."""
    return tuple(_voice(speaker, languages) for speaker in speakers)


def _voice(speaker: str, languages: tuple[str, ...]) -> EngineVoice:
    known = _SPEAKERS.get(speaker.lower())
    first = (known.language,) if known and known.language in languages else ()
    return EngineVoice(
        voice=speaker.lower(),
        name=speaker.replace("_", " ").title(),
        languages=first + tuple(tag for tag in languages if tag not in first),
        gender=known.gender if known else "",
    )


def choose_speaker(voice: str, tag: str, voices: tuple[EngineVoice, ...]) -> str:
    """Return the speaker for a request: the one it names, else the first whose own language it is, else the first.

    Args:
        voice: The request's; empty = none named.
        tag: The request's language.
        voices: Of the model; at least one.

    Raises:
        UnknownVoice: Naming what there is.
    """
    if voice:
        if any(voice.lower() == known.voice for known in voices):
            return voice.lower()
        names = ", ".join(known.voice for known in voices)
        raise UnknownVoice(f"this model has no voice {voice!r}; it has {names}")
    language = tag.replace("_", "-").partition("-")[0].lower()
    return next((known.voice for known in voices if known.languages[:1] == (language,)), voices[0].voice)


class Model(NamedTuple):
    """What a folder turned out to be."""

    model: str
    """`qwen3-tts:0.6b` or `qwen3-tts:1.7b`."""
    kind: str
    languages: tuple[str, ...]
    voices: tuple[EngineVoice, ...]

    def refuse_unless(self, kind: str, lack: str) -> None:
        """Look that the model is of a kind.

        Args:
            kind: That a request needs.
            lack: What this model has not or does not do, after "and".

        Raises:
            InvalidRequest: Naming a model that has.
        """
        if self.kind != kind:
            other = {
                BASE: self.model,
                CUSTOM_VOICE: f"{self.model}-speakers",
                VOICE_DESIGN: "qwen3-tts:1.7b-design",
            }[kind]
            raise InvalidRequest(f"this {self.model} is of the kind {self.kind} and {lack}: take {other}")

    def compared(self, asked: str) -> str:
        """Return, in words for the log, what is ready, and whether it is what was asked for."""
        if not asked or asked.startswith(self.model):
            return f"{self.model} is ready"
        return f"{self.model} is ready: {asked} was asked for, but its files are those of {self.model}"


def capabilities_of(model: Model, rate_hz: int) -> Capabilities:
    """Return what the engine can do with a model.

    Args:
        model: It.
        rate_hz: Of its audio.
    """
    return Capabilities(
        sample_rate_hz=rate_hz,
        voices=model.voices,
        languages=model.languages,
        identities=IDENTITIES[model.kind],
        can_cancel=True,
        reference_s=REFERENCE_S,
        can_blend=True,
    )


class Manner(NamedTuple):
    """How upstream is to speak a segment, in its own words."""

    language: str
    speaker: str = ""
    instruct: str = ""


def manner_of(model: Model, request: SegmentRequest) -> Manner:
    """Return how a model speaks a request.

    Raises:
        InvalidRequest, UnknownVoice, UnknownLanguage: If the model has not what is asked for; with what has.
    """
    language = language_name(request.language, model.languages)
    if request.prompt is not None:
        model.refuse_unless(BASE, "takes no voice from a recording")
    elif request.voice:
        model.refuse_unless(CUSTOM_VOICE, f"has no speaker {request.voice!r}")
    if model.kind == BASE:
        if request.description:
            model.refuse_unless(VOICE_DESIGN, "takes no description")
        if request.prompt is None:
            raise InvalidRequest(
                f"this {model.model} speaks with a voice from a recording: `voiced voice add NAME FILE` makes one;"
                f" or take {model.model}-speakers, which has voices of its own"
            )
        return Manner(language)
    if model.kind == VOICE_DESIGN:
        return Manner(language, instruct=request.description)
    if request.description and model.model.endswith("0.6b"):
        raise InvalidRequest(
            "the small model takes no description of the manner: take qwen3-tts:1.7b-speakers, which does"
        )
    return Manner(
        language, choose_speaker(request.voice, request.language, model.voices), request.description
    )


# Three times what slow speakers need: letters of an alphabet take 0.06 s, a Chinese character 0.25 s, a digit or a
# sign ("7", "%", "&") may be a word of its own.
_LEAST_S = 4.0
_LETTER_S = 0.2
_WORD_S = 0.8


def most_frames(text: str, limit: int) -> int:
    """Return how many frames a text may take before the model has lost its way.

    Args:
        text: What is to be spoken.
        limit: The model's own bound.
    """
    seconds = _LEAST_S + sum(_LETTER_S if _is_letter(char) else _WORD_S for char in text)
    return max(1, min(limit, round(seconds / FRAME_S)))


def _is_letter(char: str) -> bool:
    """Whether a character is one sound at most; not so in scripts where each is a syllable or a word."""
    return char.isspace() or unicodedata.category(char)[0] in "MPZC" or (char.isalpha() and char < "\u2e80")


def marks_of(added: Iterable[str]) -> tuple[str, ...]:
    """Return those of a tokenizer's added words that are marks, such as `<|im_end|>`."""
    return tuple(word for word in added if word.startswith("<"))


def without_marks(text: str, marks: tuple[str, ...]) -> str:
    """Return a text that sets nothing by its content: the model's own marks are blanks in it."""
    for mark in marks:
        text = text.replace(mark, " ")
    return text


FIRST_FRAMES = 2
MOST_FRAMES = 48


def chunk_sizes() -> Iterator[int]:
    """Return, without end, how many frames go into each chunk: few at first, so that the audio starts soon.

    Each chunk is as long as all before it together, so that a machine just faster than real time never falls behind;
    at 48 frames (4 s) the ten that the codec computes again for each cost a fifth.
    """
    size = FIRST_FRAMES
    yield size
    while True:
        yield size
        size = min(2 * size, MOST_FRAMES)
