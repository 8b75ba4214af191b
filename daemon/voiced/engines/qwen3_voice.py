"""Voices from recordings for Qwen3-TTS: how prompts are made, and what is looked at before one is used.

Imported by the engine of Qwen3-TTS; nobody else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from voiced.engines.base import Prompt, Reference
from voiced.engines.qwen3_recordings import longest_told, sounds_of
from voiced_ipc.errors import InvalidRequest, ReferenceRefused

CODES, SPEAKER_VECTOR = "ref_code", "ref_spk_embedding"
"""Names of a prompt's tensors: int64 [frames, groups], where there is a transcript; float32 [width]."""
_KIND, _TRANSCRIPT = "kind", "ref_text"
_IN_CONTEXT, _VECTOR_ONLY = "icl", "x-vector"


def make_prompt(wrapper: Any, references: Sequence[Reference]) -> Prompt:
    """Return the voice of recordings.

    One with a transcript is continued by the model (its codes and words go in front of the text); without, only the
    speaker's vector counts. Of several, the vectors are averaged and the longest with a transcript is continued.

    Args:
        wrapper: Upstream's model; a base model.
        references: At least one.

    Raises:
        ReferenceRefused: If one is too short, too long, silent or no sound at all.
    """
    rate = wrapper.model.speaker_encoder_sample_rate
    sounds = sounds_of(references, rate)
    continued = longest_told(references, sounds)
    items = [
        wrapper.create_voice_clone_prompt(
            ref_audio=(sound, rate),
            ref_text=references[place].transcript.strip() or None,
            x_vector_only_mode=place != continued,
        )[0]
        for place, sound in enumerate(sounds)
    ]
    vector = torch.stack([item.ref_spk_embedding.float().cpu() for item in items]).mean(0).numpy()
    if not np.isfinite(vector).all():
        raise ReferenceRefused(
            "the model finds no voice in the recording; take another, or pull the model again"
        )
    if continued is None:
        return Prompt({SPEAKER_VECTOR: vector}, {_KIND: _VECTOR_ONLY, _TRANSCRIPT: ""})
    item = items[continued]
    codes = item.ref_code.long().cpu().numpy()
    return Prompt({CODES: codes, SPEAKER_VECTOR: vector}, {_KIND: _IN_CONTEXT, _TRANSCRIPT: item.ref_text})


class CheckedPrompt:
    """A prompt that fits the model, as upstream takes it.

    Args:
        prompt: From `make_prompt`, perhaps of another model.
        model: Upstream's.
        name: Of the model, for the error.

    Raises:
        InvalidRequest: If it does not fit; the model has then not seen it.
    """

    def __init__(self, prompt: Prompt, model: Any, name: str) -> None:
        from qwen_tts import VoiceClonePromptItem

        vector = np.asarray(prompt.tensors.get(SPEAKER_VECTOR, np.zeros(0)))
        width = model.talker.config.hidden_size
        if vector.shape != (width,):
            raise InvalidRequest(
                f"this voice was prepared for another model: its speaker vector has {vector.size} numbers and {name}"
                f" takes {width}; add the voice again, it is then prepared for {name}"
            )
        found = prompt.tensors.get(CODES)
        codes = None if found is None else np.asarray(found)
        in_context = prompt.values.get(_KIND) == _IN_CONTEXT
        is_whole = codes is not None and bool(prompt.values.get(_TRANSCRIPT)) if in_context else codes is None
        if not is_whole or not np.isfinite(vector).all() or not _are_codes(codes, model.config.talker_config):
            raise InvalidRequest("the prepared voice is damaged; add the voice again")
        self.codes = None if codes is None else torch.from_numpy(codes.astype(np.int64)).to(model.device)
        self.item = VoiceClonePromptItem(
            ref_code=self.codes,
            ref_spk_embedding=torch.from_numpy(vector.astype(np.float32)),
            x_vector_only_mode=not in_context,
            icl_mode=in_context,
            ref_text=prompt.values.get(_TRANSCRIPT) or None,
        )


def _are_codes(codes: "np.ndarray[Any, Any] | None", config: Any) -> bool:
    if codes is None:
        return True
    return (
        codes.ndim == 2
        and len(codes) > 0
        and codes.shape[1] == config.num_code_groups
        and np.issubdtype(codes.dtype, np.integer)
        and int(codes.min()) >= 0
        and int(codes.max()) < config.code_predictor_config.vocab_size
    )
