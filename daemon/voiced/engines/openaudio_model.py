"""The language model of OpenAudio S1: words and a voice to frames of codes, frame by frame.

The package's own `generate` gives nothing before the last frame; the loop here takes its steps (`decode_one_token_ar`)
one at a time, with the same numbers. Imported by the OpenAudio engine only.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from voiced.engines.openaudio_package import (
    IM_END_TOKEN,
    BaseModelArgs,
    BaseTransformerForwardResult,
    ContentSequence,
    DualARTransformer,
    FishTokenizer,
    TextPart,
    VQPart,
    inference,
    precompute_freqs_cis,
)
from voiced.engines.weights import built_without_memory, put, refuse_other_depth, refuse_unset, tensors_of
from voiced_ipc.errors import EngineLoadFailed, InvalidRequest, ModelDamaged, SynthesisFailed

POSITIONS = 4096
"""At most: the cache of the published 8192 takes 0.9 GB, and a prompt and a segment need less than this."""

MOST_FRAMES = 2048
"""Of one segment: 95 s. Upstream keeps as many positions free behind a prompt."""

_TEMPERATURE, _TOP_P, _REPETITION = 0.8, 0.8, 1.1
"""Upstream's defaults."""
_WINDOW = 16
"""Frames that the repetition penalty looks at: upstream's."""
_ALIGNED = 8
"""Caches are made in steps of it."""


class Spoken(NamedTuple):
    """A recording as the model takes it."""

    text: str
    codes: torch.Tensor
    """Shape [books, frames]."""


class _Model(DualARTransformer):  # type: ignore[misc]
    """The package's model, which can say nothing but speech and its end."""

    def forward_generate(self, *args: Any, **kwargs: Any) -> BaseTransformerForwardResult:
        """Return the package's result with what is no speech made impossible.

        Raises:
            SynthesisFailed: If the model computed what is no number.
        """
        result = super().forward_generate(*args, **kwargs)
        logits = result.logits
        if not bool(torch.isfinite(logits).all()):
            raise SynthesisFailed("OpenAudio computed what is no number; the segment can be tried again")
        tokenizer = self.tokenizer
        # A word instead of a code would be looked up far outside the tables of the codes.
        allowed = torch.full_like(logits, float("-inf"))
        for first, last in (
            (tokenizer.semantic_begin_id, tokenizer.semantic_end_id),
            (tokenizer.get_token_id(IM_END_TOKEN),) * 2,
        ):
            allowed[..., first : last + 1] = logits[..., first : last + 1]
        result.logits = allowed
        return result


class Speaker:
    """The loaded model.

    Args:
        model: With its tokenizer.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._end = model.tokenizer.get_token_id(IM_END_TOKEN)

    @property
    def width(self) -> int:
        """Of its hidden states."""
        return int(self._model.config.dim)

    @property
    def books(self) -> int:
        """Codes of a frame."""
        return int(self._model.config.num_codebooks)

    @property
    def parts(self) -> list[nn.Module]:
        """What is called one after the other for a frame."""
        return [*self._model.layers, *self._model.fast_layers]

    @property
    def prompt_frames(self) -> int:
        """How many frames the recordings of one voice may have, half of what is left being for words."""
        return (self._positions - self._kept) // 2

    @property
    def _positions(self) -> int:
        return int(self._model.config.max_seq_len)

    @property
    def _kept(self) -> int:
        """Positions that stay free for what is spoken."""
        return min(MOST_FRAMES, self._positions // 2)

    def frames(
        self, text: str, voice: Sequence[Spoken], limit: int, cancelled: threading.Event
    ) -> Iterator[torch.Tensor]:
        """Return frame after frame, shape [books, 1]; seeded by the caller.

        Args:
            text: What to say.
            voice: Recordings to sound like; none = any voice.
            limit: Frames at most.
            cancelled: Ends it before the next frame.

        Raises:
            InvalidRequest: If text and voice are too long.
            SynthesisFailed: If the model computed what is no number.
        """
        model = self._model
        device = model.embeddings.weight.device
        prompt = self._prompt(text, voice).to(device)
        length = prompt.shape[1]
        limit = min(limit, self._kept)
        if length + limit > self._positions:
            raise InvalidRequest(
                "the text and the recordings of the voice are too long together; "
                "add the voice again from less than 30 s"
            )
        self._make_caches(length + limit, device)
        settings = {
            "temperature": torch.tensor(_TEMPERATURE, device=device, dtype=torch.bfloat16),
            "top_p": torch.tensor(_TOP_P, device=device, dtype=torch.bfloat16),
            "repetition_penalty": torch.tensor(_REPETITION, device=device, dtype=torch.bfloat16),
            "audio_masks": None,
            "audio_parts": None,
        }
        said = torch.zeros((prompt.shape[0], max(limit, _WINDOW)), dtype=torch.int, device=device)
        token = prompt[None]
        position = torch.arange(length, device=device)
        for step in range(limit):
            if cancelled.is_set():
                return
            # As upstream: the first frame is no part of what a repetition is measured against.
            start = max(0, step - 1 - _WINDOW)
            before = said[:, start : start + _WINDOW] if step else None
            kernel = sdpa_kernel(SDPBackend.MATH) if step else contextlib.nullcontext()
            with torch.inference_mode(), kernel:
                frame = inference.decode_one_token_ar(
                    model=model, x=token, input_pos=position, previous_tokens=before, **settings
                ).clone()
            if int(frame[0, 0]) == self._end:
                return
            yield frame[1:]
            if step:
                said[:, step - 1 : step] = frame
            token = frame[None]
            position = torch.tensor([length + step], device=device)

    def _prompt(self, text: str, voice: Sequence[Spoken]) -> torch.Tensor:
        encode = self._model.tokenizer.encode
        sequence = ContentSequence(modality="interleave")
        for spoken in voice:
            words = TextPart(tokens=encode(spoken.text, allowed_special=False))
            sequence.append([words, VQPart(codes=spoken.codes)], add_end=True, speaker=0)
        # Tokens, not text: a text must not end or start anything by its content.
        sequence.append([TextPart(tokens=encode(text, allowed_special=False))], add_end=False, speaker=0)
        encoded: torch.Tensor
        encoded, _, _ = sequence.encode_for_inference(
            self._model.tokenizer, num_codebooks=self._model.config.num_codebooks
        )
        return encoded

    def _make_caches(self, positions: int, device: torch.device) -> None:
        """Fresh keys and values for one segment: what no number is in the old ones would be heard through the mask."""
        model = self._model
        model.max_seq_len = model.max_batch_size = -1
        with torch.inference_mode(), device:
            model.setup_caches(1, positions, model.embeddings.weight.dtype)


def load_speaker(folder: Path, device: torch.device, dtype: torch.dtype) -> Speaker:
    """Return the language model of a folder.

    Raises:
        EngineLoadFailed: If a file is missing or does not fit.
    """
    try:
        settings = BaseModelArgs.from_pretrained(str(folder))
        tokenizer = FishTokenizer.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelDamaged(
            f"the configuration or the tokenizer of OpenAudio cannot be read ({error}): import it again"
        ) from error
    if settings.model_type != "dual_ar":
        raise EngineLoadFailed(f"this is no OpenAudio S1 but {settings.model_type!r}: import the right model")
    settings.max_seq_len = min(settings.max_seq_len, POSITIONS) // _ALIGNED * _ALIGNED
    if tokenizer.semantic_end_id >= settings.vocab_size:
        raise EngineLoadFailed("the tokenizer of OpenAudio has more tokens than the model: import it again")
    tensors = _plain(tensors_of([folder / "model.safetensors"], str(device)))
    refuse_other_depth(tensors, "layers.", settings.n_layer)
    refuse_other_depth(tensors, "fast_layers.", settings.n_fast_layer)
    with built_without_memory():
        model = _Model(settings, tokenizer)
    put(model, tensors, dtype=dtype, may_ignore=lambda name: "audio_" in name)
    model.freqs_cis = precompute_freqs_cis(settings.max_seq_len, settings.head_dim, settings.rope_base)
    model.fast_freqs_cis = precompute_freqs_cis(
        settings.num_codebooks, settings.fast_head_dim, settings.rope_base
    )
    positions = settings.max_seq_len
    model.causal_mask = torch.tril(torch.ones(positions, positions, dtype=torch.bool))
    model.to(device).eval()
    refuse_unset(model)
    return Speaker(model)


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names without what a trainer puts before them."""
    plain = {name.removeprefix("state_dict."): tensor for name, tensor in tensors.items()}
    return {name.removeprefix("model."): tensor for name, tensor in plain.items()}
