"""Arithmetic on PCM s16le, mono: bytes, samples, seconds. Imports nothing; any thread, any process."""

SAMPLE_BYTES = 2
"""Size of one sample: signed 16 bit."""


def samples_of(size_bytes: int) -> int:
    """Return how many whole samples are in so many bytes."""
    return size_bytes // SAMPLE_BYTES


def bytes_of(samples: int) -> int:
    """Return the size of so many samples in bytes."""
    return samples * SAMPLE_BYTES


def seconds_of(samples: int, sample_rate_hz: int) -> float:
    """Return how long so many samples last, in seconds."""
    return samples / sample_rate_hz


def samples_in(duration_ms: int, sample_rate_hz: int) -> int:
    """Return how many samples last `duration_ms`, rounded half up."""
    return (duration_ms * sample_rate_hz + 500) // 1000


def resampled_length(samples: int, old_rate_hz: int, new_rate_hz: int) -> int:
    """Return how many samples the same sound has at another rate, rounded half up."""
    return (samples * new_rate_hz + old_rate_hz // 2) // old_rate_hz


def silence(duration_ms: int, sample_rate_hz: int) -> bytes:
    """Return a pause."""
    return bytes(bytes_of(samples_in(duration_ms, sample_rate_hz)))
