"""What an engine is: a model family behind one protocol.

An engine gets folder paths and values, never a queue, a socket, a configuration file or a callback. It is
stateless from segment to segment: the same request with the same seed gives the same audio, alone or in a run,
wherever the engine is repeatable. Only `voiced.child` imports engines.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from voiced.word_times import WordTime
from voiced_ipc.errors import InvalidRequest

if TYPE_CHECKING:
    import threading

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

SPEAKER, PROMPT, DESCRIPTION = "speaker", "prompt", "description"
"""What makes a voice: a name in the model, a recording, or words."""


class EngineVoice(NamedTuple):
    """A voice that an engine offers."""

    voice: str
    name: str
    languages: tuple[str, ...]
    gender: str = ""


class Capabilities(NamedTuple):
    """What an engine can do, as data."""

    sample_rate_hz: int
    voices: tuple[EngineVoice, ...] = ()
    languages: tuple[str, ...] = ()
    """BCP 47 tags that it speaks with a voice from a recording or from words; of its own voices: see there."""
    identities: tuple[str, ...] = (SPEAKER,)
    """Which of `speaker`, `prompt` and `description` make a voice here."""
    is_repeatable: bool = True
    """The same request gives the same samples on the same class of device."""
    can_cancel: bool = False
    """Stops inside a segment within 500 ms."""
    max_batch: int = 1
    """Segments that one call may take."""
    max_segment_chars: int = 400
    """Greatest segment that it speaks well."""
    reference_s: tuple[float, float] = (1.0, 60.0)
    """Shortest and longest recording that it makes a voice of, in seconds."""
    can_blend: bool = False
    """Makes one voice of several recordings."""


class LoadSettings(NamedTuple):
    """How a model is loaded."""

    model: str = ""
    """The id it is loaded as."""
    device: str = "cpu"
    """`cpu`, `cuda:N` or `mps`, as this process sees it."""
    precision: str = "fp32"
    """`fp32`, `fp16` or `bf16`."""
    quantization: str = "none"
    """`none` or `int8`."""
    is_compiled: bool = False
    """torch.compile is used."""
    threads: int = 0
    """Its share of the cores; 0 = the library's choice."""
    cache: Path | None = None
    """Folder for weights that loading had to compute; None = nothing is kept."""


class LoadStep(NamedTuple):
    """How far a load is."""

    fraction: float
    what: str
    """What was done last, in words for the log."""


class Reference(NamedTuple):
    """A recording of a voice."""

    samples: "FloatArray"
    """Mono, shape [frames]."""
    sample_rate_hz: int
    transcript: str = ""
    """What is said in it; empty = not known."""


class Prompt(NamedTuple):
    """A voice as one model understands it: tensors and words, opaque to everybody else."""

    tensors: Mapping[str, "NDArray[Any]"]
    values: Mapping[str, str] = {}


class SegmentRequest(NamedTuple):
    """A segment to speak."""

    place: int
    text: str
    language: str
    voice: str
    """A voice of the engine; empty = the usual one, or the prompt's or description's."""
    seed: int
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0
    prompt: Prompt | None = None
    """Made by this engine of this model, checked by the worker."""
    description: str = ""
    """The voice, or the manner of speaking, in words."""
    tells_words: bool = False
    """When each word is heard is asked for: see `Heard`."""


class Heard(NamedTuple):
    """When words of a segment are heard, as far as the engine knows."""

    words: tuple[WordTime, ...]
    """By their places in the request's text, in order; samples count from the segment's first."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; known after `load`."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What was really loaded, whatever was asked for: `model`, and what else decides whether a prompt fits, such
        as `width`; known after `load`. A change of the adapter that makes other prompts changes `code`.
        """

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the model while it is iterated; ready when the iterator ends.

        Args:
            folder: The model's files; None where the engine carries its own.
            settings: How.

        Raises:
            EngineLoadFailed: With the remedy in its message.
            DeviceOutOfMemory: If the device has not enough memory.
        """

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Return the voice of recordings.

        Args:
            references: One, or several where `can_blend`.

        Raises:
            InvalidRequest: If they cannot be used, and what would be; also where the engine clones no voice.
        """

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: "threading.Event"
    ) -> Iterator[tuple[int, "FloatArray | Heard"]]:
        """Return (place, chunk) pairs in order: float32, nominal range [-1, 1], shape [frames].

        A segment that asks for its words has `Heard` among its chunks where the engine knows.

        Where a segment met no end within the engine's limit, its last chunk is `voiced.engines.ending.ENDLESS`.

        Args:
            segments: At most `capabilities.max_batch`.
            cancelled: Set from another thread; the iterator ends soon after, where the engine can.

        Raises:
            InvalidRequest: If a segment asks for what this model has not; the engine is as it was.
            SynthesisFailed, DeviceOutOfMemory: The engine's state is then to be cleared by loading it again.
        """

    def unload(self) -> None:
        """Let go of everything."""


class OwnVoices:
    """Of an engine that makes no voice of a recording: its voices are those of its model, or words."""

    def make_voice(self, references: Sequence[Reference]) -> Prompt:
        """Refuse.

        Raises:
            InvalidRequest: Always.
        """
        raise InvalidRequest("this model makes no voice of a recording; qwen3-tts and chatterbox do")
