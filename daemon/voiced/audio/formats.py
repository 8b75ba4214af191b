"""What may be asked of finished files: formats, what each can hold, loudness. Imports nothing; the daemon asks too."""

from typing import NamedTuple

_MP3_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_AAC_RATES_HZ = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)


class Format(NamedTuple):
    """What a file of this format can hold."""

    rates_hz: tuple[int, ...] = ()
    """The rates it knows, ascending; none = every rate."""
    is_lossless: bool = False
    can_be_empty: bool = False
    """Whether it may hold no sample at all."""
    most_chapters: int | None = None
    """None = any number."""


_KNOWN = {
    "wav": Format(is_lossless=True, can_be_empty=True),
    "flac": Format(is_lossless=True),
    "mp3": Format(_MP3_RATES_HZ, most_chapters=255),  # counted in one byte (ID3v2 chapter frames, 3.2)
    "ogg": Format((48_000,)),  # Opus, which has one rate of its own
    "opus": Format((48_000,)),
    "m4a": Format(_AAC_RATES_HZ),
    "m4b": Format(_AAC_RATES_HZ),
}
FORMATS = tuple(_KNOWN)
"""What a finished file can be; each is also the ending of its name."""

LOUDNESS_LUFS = (-50.0, -5.0)
"""The softest and the loudest that speech may be asked to be, integrated (EBU R 128)."""


def format_of(name: str) -> Format | None:
    """Return what a format can hold; None for a name that is not in `FORMATS`."""
    return _KNOWN.get(name)


def rate_for(name: str, sample_rate_hz: int) -> int:
    """Return the rate of a file for sound of another: the same, or the next that the format knows."""
    rates_hz = _KNOWN[name].rates_hz
    if not rates_hz:
        return sample_rate_hz
    return next((rate_hz for rate_hz in rates_hz if rate_hz >= sample_rate_hz), rates_hz[-1])
