"""What Maya1 reads and writes, as token ids: prompts, the grammar of frames, bounds, voices. Pure; no torch.

Shared by both engines that run it. Ids are those of its published configuration.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from voiced.engines.base import EngineVoice, SegmentRequest
from voiced_ipc.errors import UnknownVoice

BEGIN_OF_TEXT, END_OF_TURN = 128000, 128009
START_OF_SPEECH, END_OF_SPEECH = 128257, 128258
START_OF_HUMAN, END_OF_HUMAN, START_OF_AI = 128259, 128260, 128261
FIRST_CODE = 128266
BOOK_SIZE = 4096
FRAME_TOKENS = 7
"""One frame is 2048 samples at 24 kHz: a token of the first book, two of the second, four of the third."""
VOCABULARY = FIRST_CODE + FRAME_TOKENS * BOOK_SIZE
"""Ids below it are known here; a few more follow, for tags such as <laugh>."""
FRAMES_PER_S = 24000 / 2048

MAX_SEGMENT_CHARS = 300
"""About 21 s of speech; the model card's own example ends at 2048 tokens, which are 25 s."""
MOST_TOKENS = 4096
"""Prompt and speech together: a voice that does not come to an end costs no more memory than this."""

TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY = 0.4, 50, 0.9, 1.1
"""Of the model card; it does not say TOP_K, which is then the default of transformers."""

_CHARS_PER_S = (5, 40)
"""Slowest and fastest speech that is believed; people read 10 to 20 characters in a second."""
_TAG_S = 3.0
"""A laugh or a sigh takes so long at most."""
_TAG = re.compile(r"<[a-z_ ]{2,20}>")

_VOICES = {
    "anna": ("female", "Realistic female voice in the 30s age with american accent. Normal pitch, warm timbre, "
             "conversational pacing, neutral tone delivery at med intensity."),
    "brian": ("male", "Realistic male voice in the 40s age with american accent. Low pitch, deep timbre, "
              "measured pacing, calm tone delivery at low intensity."),
    "claire": ("female", "Realistic female voice in the 20s age with british accent. Normal pitch, smooth timbre, "
               "conversational pacing, friendly tone delivery at med intensity."),
    "david": ("male", "Realistic male voice in the 30s age with british accent. Normal pitch, warm timbre, "
              "measured pacing, neutral tone delivery at med intensity."),
    "emma": ("female", "Realistic female voice in the 60s age with american accent. Low pitch, gravelly timbre, "
             "slow pacing, storytelling tone delivery at med intensity."),
    "felix": ("male", "Realistic male voice in the 20s age with american accent. High pitch, bright timbre, "
              "fast pacing, energetic tone delivery at high intensity."),
}  # fmt: skip
"""Name to gender and description, in the wording that the model card uses."""

VOICES = tuple(EngineVoice(name, name.capitalize(), ("en",), gender) for name, (gender, _) in _VOICES.items())
"""Voices for those who describe none; the first is the usual one."""


class Bounds(NamedTuple):
    """How many frames the speech of a text may have."""

    least: int
    most: int


def bounds_of(text: str, prompt_tokens: int) -> Bounds:
    """Return within what length a text's speech must end.

    Args:
        text: What is spoken; a tag counts as time, not as letters.
        prompt_tokens: They take from what the model can hold.
    """
    tags = len(_TAG.findall(text))
    chars = len(_TAG.sub("", text))
    slowest, fastest = _CHARS_PER_S
    most = round(FRAMES_PER_S * (1 + chars / slowest + _TAG_S * tags))
    room = max(1, (MOST_TOKENS - prompt_tokens) // FRAME_TOKENS)
    return Bounds(min(max(1, int(FRAMES_PER_S * chars / fastest)), room), min(most, room))


def description_of(request: SegmentRequest) -> str:
    """Return the words that make the voice of a request.

    Raises:
        UnknownVoice: If it names a voice that is not of `VOICES`, and describes none.
    """
    if request.description.strip():
        return request.description
    voice = request.voice or VOICES[0].voice
    if voice not in _VOICES:
        raise UnknownVoice(f"Maya1 has no voice {voice!r}: describe one, or take one of {', '.join(_VOICES)}")
    return _VOICES[voice][1]


def prompt_text(request: SegmentRequest) -> str:
    """Return what the model is told: the voice, then the text.

    Raises:
        UnknownVoice: If the request names a voice that is not there.
    """
    description = " ".join(description_of(request).replace('"', "'").split())
    return f'<description="{description}"> {request.text}'


def prompt_ids(text_ids: Iterable[int]) -> list[int]:
    """Return the whole prompt.

    Args:
        text_ids: Tokens of `prompt_text`. Those that steer the model are left out: a text that spells one out must
            not end its turn or speak for it. Tags have ids beyond the audio's and pass.
    """
    harmless = [token for token in text_ids if token < BEGIN_OF_TEXT or token >= VOCABULARY]
    return [
        *(START_OF_HUMAN, BEGIN_OF_TEXT),
        *harmless,
        *(END_OF_TURN, END_OF_HUMAN, START_OF_AI, START_OF_SPEECH),
    ]


def slot_start(slot: int) -> int:
    """Return the first id that may stand at a place of a frame; `BOOK_SIZE` ids may."""
    return FIRST_CODE + slot * BOOK_SIZE


def books_of(frames: Sequence[Sequence[int]]) -> tuple[list[int], list[int], list[int]]:
    """Return the codes of frames as the codec takes them: its three books, coarse to fine.

    Args:
        frames: Of `FRAME_TOKENS` codes each, in [0, BOOK_SIZE).
    """
    coarse = [frame[0] for frame in frames]
    middle = [frame[slot] for frame in frames for slot in (1, 4)]
    fine = [frame[slot] for frame in frames for slot in (2, 3, 5, 6)]
    return coarse, middle, fine
