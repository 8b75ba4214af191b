"""What is known of a model before it is loaded: values of the catalogue."""

from typing import NamedTuple


class HubSource(NamedTuple):
    """Files of one repository on the hub."""

    repository: str
    files: tuple[str, ...]
    """Patterns of the files that are fetched, below `base`."""
    base: str = ""
    """Folder of the repository that counts; its name is left out of the model's folder."""
    folder: str = ""
    """Folder below the model's that they go to; empty = the model's own."""


class ModelSpec(NamedTuple):
    """One model."""

    model: str
    """The id to ask for."""
    engine: str
    """The name under which the worker finds the engine."""
    licence: str
    """Of the weights, as far as known."""
    sample_rate_hz: int
    """As far as known before it is loaded."""
    family: str = ""
    """The overlay that brings the engine's packages; empty = the main environment has them."""
    is_noncommercial: bool = False
    """Its licence is shown and must be accepted before the weights are fetched."""
    has_gpu_path: bool = False
    is_lean: bool = False
    """Runs in the forking child (`voiced.child.espeak`) that costs little to keep."""
    has_folder: bool = False
    """Its files lie in a folder of the model library."""
    is_embedded: bool = False
    """Comes with voiced: nothing to pull."""
    controls: tuple[str, ...] = ("volume",)
    """Which of `speed`, `pitch` and `volume` it heeds."""
    identity: str = "speaker"
    """What makes its voices: `speaker`, `prompt` or `description`. A described voice keeps one seed over a job."""
    file_batch: int = 1
    """Segments of a file that are spoken at once at most: the unit that is repeated after a crash."""
    stream_batch: int = 1
    """The same of a stream."""
    max_segment_chars: int = 400
    speaks_numbers: bool = True
    """Its engine reads digits and abbreviations itself; else they are put in words before it is given the text."""
    slowest_s_per_char: float = 0.1
    """Bound for deadlines while nothing is learnt: five times what the slowest machine should need."""
    precisions: tuple[str, ...] = ("fp32",)
    """What it can be loaded in; the first is taken on a CPU unless somebody asks."""
    quantizations: tuple[str, ...] = ("none",)
    """What its engine can do with its weights; `int8` on a CPU only."""
    can_compile: bool = False
    """Its engine has a path for torch.compile."""
    weights_bytes: int = 0
    """In the first precision, all parts of the model."""
    work_bytes: int = 0
    """Beyond the weights while it speaks: libraries, caches, activations. Corrected by what this machine measures."""
    min_vram_gb: float = 0.0
    """Least memory of a whole GPU, in 1e9 bytes as cards are sold."""
    sources: tuple[HubSource, ...] = ()
    """Where `voiced pull` finds it; empty = only `voiced import` brings it."""
    files: tuple[str, ...] = ()
    """Patterns that must each match a file after import; a `.pth`, `.pt` or `.bin` there is `.safetensors` by then."""
    about: str = ""

    @property
    def needs_bytes(self) -> int:
        """Memory that it takes, before anything was measured."""
        return self.weights_bytes + self.work_bytes


_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


def weights_bytes(spec: ModelSpec, precision: str, quantization: str) -> int:
    """Return the size of a model's weights in memory, in bytes.

    Args:
        spec: The model.
        precision: `fp32`, `fp16` or `bf16`.
        quantization: `none` or `int8`; weights are then one byte each.
    """
    width = 1 if quantization == "int8" else _BYTES[precision]
    return spec.weights_bytes * width // _BYTES[spec.precisions[0]]
