"""What an engine is: a model family behind one protocol.

An engine gets folder paths and values, never a queue, a socket, a configuration file or a callback. It is
stateless from segment to segment: the same request with the same seed gives the same audio, alone or in a run,
wherever the engine is repeatable. Only `voiced.child` imports engines.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]


class EngineVoice(NamedTuple):
    """A voice that an engine offers."""

    voice: str
    name: str
    languages: tuple[str, ...]
    gender: str = ""


class Capabilities(NamedTuple):
    """What an engine can do, as data."""

    sample_rate_hz: int
    voices: tuple[EngineVoice, ...]
    is_repeatable: bool = True
    """The same request gives the same samples on the same class of device."""
    can_cancel: bool = False
    """Stops inside a segment within 500 ms."""
    max_batch: int = 1
    """Segments that one call may take."""
    max_segment_chars: int = 400
    """Greatest segment that it speaks well."""


class SegmentRequest(NamedTuple):
    """A segment to speak."""

    place: int
    text: str
    language: str
    voice: str
    seed: int
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0


class Engine(Protocol):
    """A loaded model."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; known after `load`."""

    def load(self, folder: Path | None, *, device: str, precision: str) -> None:
        """Load the model.

        Args:
            folder: The model's files; None where the engine carries its own.
            device: `cpu`, `cuda:N` or `mps`.
            precision: `fp32`, `fp16`, `bf16` or `int8`.

        Raises:
            EngineLoadFailed: With the remedy in its message.
        """

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: "threading.Event"
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order: float32, nominal range [-1, 1], shape [frames].

        Args:
            segments: At most `capabilities.max_batch`.
            cancelled: Set from another thread; the iterator ends soon after, where the engine can.
        """

    def unload(self) -> None:
        """Let go of everything."""
