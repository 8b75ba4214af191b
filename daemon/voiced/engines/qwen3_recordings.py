"""Recordings that become voices of Qwen3-TTS: looked at, and brought to the model's rate. No torch.

Imported by the engine of Qwen3-TTS, on torch and on MLX; nobody else.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import soxr

from voiced.engines.base import Reference
from voiced.engines.qwen3_rules import ADVISED_S, REFERENCE_S
from voiced_ipc.errors import ReferenceRefused

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

_SILENT = 1e-4
"""Root mean square below which a recording holds no voice: -80 dB."""


def sounds_of(references: Sequence[Reference], rate_hz: int) -> list["FloatArray"]:
    """Return the recordings at a rate, within [-1, 1].

    Raises:
        ReferenceRefused: If there is none, or one is too short, too long, silent or no sound at all.
    """
    if not references:
        raise ReferenceRefused("a voice needs a recording of 10 to 30 s of one person who speaks")
    return [_sound(reference, rate_hz) for reference in references]


def longest_told(references: Sequence[Reference], sounds: Sequence["FloatArray"]) -> int | None:
    """Return which recording the model continues: the longest with a transcript; None = no one has any.

    Args:
        references: The recordings.
        sounds: The same, at one rate.
    """
    told = [place for place, reference in enumerate(references) if reference.transcript.strip()]
    return max(told, key=lambda place: len(sounds[place])) if told else None


def _sound(reference: Reference, rate_hz: int) -> "FloatArray":
    """The recording at the model's rate, looked at."""
    samples = np.asarray(reference.samples, np.float32)
    if samples.ndim != 1 or reference.sample_rate_hz <= 0 or not np.isfinite(samples).all():
        raise ReferenceRefused("the recording is no sound: give it as a WAV or FLAC file")
    seconds = len(samples) / reference.sample_rate_hz
    least, most = REFERENCE_S
    if not least <= seconds <= most:
        raise ReferenceRefused(
            f"the recording is {seconds:.1f} s long; this model takes {least:g} to {most:g} s,"
            f" best {ADVISED_S[0]:g} to {ADVISED_S[1]:g}"
        )
    if float(np.sqrt(np.mean(samples**2))) < _SILENT:
        raise ReferenceRefused("the recording is silent: record it again, louder")
    if reference.sample_rate_hz != rate_hz:
        samples = soxr.resample(samples, reference.sample_rate_hz, rate_hz)
    # Upstream prints about samples beyond these bounds.
    clipped: FloatArray = np.clip(samples, -1.0, 1.0)
    return clipped
