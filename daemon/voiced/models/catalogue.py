"""The catalogue: every model that voiced knows, as data."""

from typing import NamedTuple


class ModelSpec(NamedTuple):
    """What is known of a model before it is loaded."""

    model: str
    """The id to ask for."""
    engine: str
    """The module of `voiced.engines`."""
    licence: str
    sample_rate_hz: int
    has_gpu_path: bool = False
    is_lean: bool = False
    """Runs in the forking child (`voiced.child.espeak`) that costs little to keep."""
    has_folder: bool = False
    """Its files lie in a folder of the data folder."""
    file_batch: int = 1
    """Segments of a file that are spoken at once at most: the unit that is repeated after a crash."""
    stream_batch: int = 1
    """The same of a stream."""
    max_segment_chars: int = 400
    slowest_s_per_char: float = 0.1
    """Bound for deadlines while nothing is learnt: five times what the slowest machine should need."""
    about: str = ""


ESPEAK = ModelSpec(
    model="espeak",
    engine="espeak",
    licence="GPL-3.0-or-later",
    sample_rate_hz=22050,
    is_lean=True,
    # Measured (tests.bench): a fork for each sentence costs a fifth of the synthesis, for 32 next to nothing.
    file_batch=32,
    stream_batch=8,
    about="espeak-ng, the embedded voice: over a hundred languages, nothing to download",
)

TONE = ModelSpec(
    model="tone",
    engine="tone",
    licence="Apache-2.0",
    sample_rate_hz=24000,
    has_folder=True,
    about="a sine tone for tests: no speech, every sample known",
)

CATALOGUE: dict[str, ModelSpec] = {spec.model: spec for spec in (ESPEAK, TONE)}
