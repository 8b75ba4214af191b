"""How Maya1 is spoken with, whatever runs its language model: draw tokens by the grammar, cut frames, decode them.

Imported by the two engines that run it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from voiced.engines.base import DESCRIPTION, Capabilities, SegmentRequest
from voiced.engines.ending import ENDLESS
from voiced.engines.maya1_tokens import (
    BOOK_SIZE,
    END_OF_SPEECH,
    FRAME_TOKENS,
    MAX_SEGMENT_CHARS,
    REPETITION_PENALTY,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    VOICES,
    Bounds,
    bounds_of,
    prompt_ids,
    prompt_text,
    slot_start,
)
from voiced.engines.snac_codec import SAMPLE_RATE_HZ, SnacCodec
from voiced_ipc.errors import SynthesisFailed

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray


CAPABILITIES = Capabilities(
    sample_rate_hz=SAMPLE_RATE_HZ,
    voices=VOICES,
    languages=("en",),
    identities=(DESCRIPTION,),
    can_cancel=True,
    max_segment_chars=MAX_SEGMENT_CHARS,
)
"""Of both engines."""


class Cancelled(Exception):
    """The segment is wanted no more."""


class Sampler:
    """Draws the tokens of one segment: temperature, nucleus and repetition penalty, within the grammar of frames.

    At a place of a frame only that place's ids may stand, and the end of speech between two frames, so that a
    malformed frame cannot reach the codec. Drawn on the CPU from a generator of its own: the same logits give the
    same tokens on every device, whatever else was drawn.

    Args:
        seed: Of the segment.
        bounds: Frames that it must have at least, and may have at most.
    """

    def __init__(self, seed: int, bounds: Bounds) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._bounds = bounds
        self._seen: list[set[int]] = [set() for _ in range(FRAME_TOKENS)]
        self._count = 0

    def allowed(self) -> list[tuple[int, int]]:
        """Return the ranges of ids that may come next; `draw` wants their logits in this order."""
        frame, slot = divmod(self._count, FRAME_TOKENS)
        ranges = [(slot_start(slot), slot_start(slot) + BOOK_SIZE)]
        if slot == 0 and frame >= self._bounds.least:
            ranges.append((END_OF_SPEECH, END_OF_SPEECH + 1))
        return ranges

    def draw(self, logits: torch.Tensor) -> int:
        """Return the next token.

        Args:
            logits: Of the ids in `allowed`, fp32, on the CPU.

        Raises:
            SynthesisFailed: If one is no number: the model's state is then rubbish.
        """
        if not torch.isfinite(logits).all():
            raise SynthesisFailed("the model made numbers that are none; the segment can be tried again")
        slot = self._count % FRAME_TOKENS
        probabilities, places = nucleus(logits, self._seen[slot])
        place = int(places[torch.multinomial(probabilities, 1, generator=self._generator)])
        if place == BOOK_SIZE:
            return END_OF_SPEECH
        self._seen[slot].add(place)
        self._count += 1
        return slot_start(slot) + place


def nucleus(logits: torch.Tensor, seen: set[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return probabilities and places that may be drawn, as transformers' own processors would leave them.

    Args:
        logits: Changed in place by the penalty.
        seen: Places that were drawn before.
    """
    if seen:
        places = torch.tensor(sorted(seen))
        known = logits[places]
        logits[places] = torch.where(known < 0, known * REPETITION_PENALTY, known / REPETITION_PENALTY)
    best, places = (logits / TEMPERATURE).topk(TOP_K)
    probabilities = torch.softmax(best, 0)
    # One stays while those before it have not reached the nucleus: the most likely one always does.
    before = probabilities.cumsum(0) - probabilities
    return torch.where(before < TOP_P, probabilities, 0.0), places


def speak_with(
    codec: SnacCodec,
    segments: Sequence[SegmentRequest],
    cancelled: threading.Event,
    text_ids: Callable[[str], list[int]],
    tokens: Callable[[Sequence[int], Sampler], Iterator[int]],
) -> Iterator[tuple[int, "FloatArray"]]:
    """Return (place, chunk) pairs in order.

    Args:
        codec: Turns frames into samples.
        segments: One after the other.
        cancelled: Looked at before each token.
        text_ids: Tokens of a text, special ones as they are spelt.
        tokens: Draws from a prompt without end; may raise `Cancelled`.

    Raises:
        UnknownVoice: If a segment describes no voice and names one that is not there.
        SynthesisFailed, DeviceOutOfMemory: If the model or the codec fails.
    """
    for request in segments:
        if not request.text.strip():
            continue
        prompt = prompt_ids(text_ids(prompt_text(request)))
        bounds = bounds_of(request.text, len(prompt))
        frames = _Frames(tokens(prompt, Sampler(request.seed, bounds)), bounds, cancelled)
        try:
            for samples in codec.stream(iter(frames), request.seed):
                yield request.place, samples * request.volume
        except Cancelled:
            return
        if not frames.is_whole:
            yield request.place, ENDLESS


class _Frames:
    """Tokens cut into frames of codes, up to the end of speech or the bound."""

    def __init__(self, drawn: Iterator[int], bounds: Bounds, cancelled: threading.Event) -> None:
        self._drawn = drawn
        self._most = bounds.most
        self._cancelled = cancelled
        self.is_whole = False
        """Whether the end of speech was met."""

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self._most):
            frame = []
            for slot in range(FRAME_TOKENS):
                if self._cancelled.is_set():
                    raise Cancelled
                token = next(self._drawn)
                if token == END_OF_SPEECH:
                    self.is_whole = True
                    return
                frame.append(token - slot_start(slot))
            yield frame
