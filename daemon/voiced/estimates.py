"""How much memory a text takes: the model, and what grows with a segment. Pure.

Long texts are split, so memory grows with the greatest segment and not with the text.
"""

from typing import NamedTuple

from voiced.devices.presets import SAFE_FRACTION, Preset, is_safe

CHARS_PER_TOKEN = 4
"""Of text, about; S4 2.1.0 counts 100 tokens at a time."""
_MB = 1_000_000
_LEAST_CHARS = 40


class Estimate(NamedTuple):
    """What a text takes."""

    estimate_bytes: int
    is_safe: bool
    recommendation: str
    best_chars: int
    """Greatest segment that is safe; 0 = none is."""


def estimate(model_bytes: int, available_bytes: int, chars: int, preset: Preset) -> Estimate:
    """Return what a text takes on a device with so much free memory.

    Args:
        model_bytes: What the model takes, or 0 where it is loaded already.
        available_bytes: Free on the device.
        chars: Of the text.
        preset: Of the machine's tier: how memory grows with a segment, and how long one may be.
    """
    needed = model_bytes + _growth_bytes(min(chars, preset.max_segment_chars), preset)
    safe = is_safe(needed, available_bytes)
    best = _best_chars(model_bytes, available_bytes, preset)
    return Estimate(needed, safe, _advice(chars, best, preset, fits=safe), best)


def _growth_bytes(chars: int, preset: Preset) -> int:
    return preset.per_100_tokens_mb * _MB * chars // (100 * CHARS_PER_TOKEN)


def _best_chars(model_bytes: int, available_bytes: int, preset: Preset) -> int:
    left = SAFE_FRACTION * available_bytes - model_bytes
    if left <= _growth_bytes(_LEAST_CHARS, preset):
        return 0
    if not preset.per_100_tokens_mb:
        return preset.max_segment_chars
    fits = int(left * 100 * CHARS_PER_TOKEN / (preset.per_100_tokens_mb * _MB)) - 1
    return min(preset.max_segment_chars, fits)


def _advice(chars: int, best: int, preset: Preset, *, fits: bool) -> str:
    if fits:
        split = f"; it is split into segments of at most {preset.max_segment_chars} characters"
        return "it fits" + (split if chars > preset.max_segment_chars else "")
    if best >= _LEAST_CHARS:
        return f"set daemon.segment_chars to {best}, close programs, or take a smaller model"
    return "close programs, unload other models (voiced unload --all), or take a smaller model"
