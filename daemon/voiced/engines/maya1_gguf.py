"""Maya1 as a GGUF file, through llama.cpp: quantised weights for machines without a GPU. SNAC is still torch's.

Prompt, grammar, sampling and codec are those of `voiced.engines.maya1`; llama.cpp only turns tokens into logits.
What it read is forgotten before every segment. Imported by the worker alone; its package comes as an overlay.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np
import torch

from voiced.engines.base import Capabilities, LoadSettings, LoadStep, OwnVoices, SegmentRequest
from voiced.engines.maya1_speech import CAPABILITIES, Cancelled, Sampler, speak_with
from voiced.engines.maya1_tokens import MOST_TOKENS, VOCABULARY
from voiced.engines.snac_codec import SnacCodec
from voiced.engines.torch_setup import prepare
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged, SynthesisFailed

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

_CODE = "1"
_FIRST_PART = "-00001-of-"


class Maya1GgufEngine(OwnVoices):
    """The engine; see the module for what it does."""

    capabilities: Capabilities = CAPABILITIES

    def __init__(self) -> None:
        self._model: Any = None
        self._codec: SnacCodec | None = None
        self._identity: dict[str, str] = {}
        self._cancelled = threading.Event()
        # Kept by this object: the library calls it for as long as it lives.
        self._abort = llama_cpp.ggml_abort_callback(lambda _: self._cancelled.is_set())

    @property
    def identity(self) -> Mapping[str, str]:
        """The model and its width."""
        return self._identity

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the model while it is iterated.

        Args:
            folder: One model.gguf, in one part or several, and the codec in `snac`.
            settings: How; the file decides about the precision.

        Raises:
            EngineLoadFailed: If the files are damaged or of another model.
            DeviceOutOfMemory: If there is not enough memory for the codec.
        """
        if folder is None:
            raise EngineLoadFailed(
                "Maya1 has no files of its own: `voiced import maya1:gguf FOLDER` brings them"
            )
        device = prepare(settings)
        self._model = _open(_file_of(folder), settings.threads)
        llama_cpp.llama_set_abort_callback(self._model.ctx, self._abort, None)
        self._identity = {"model": "maya1:gguf", "width": str(self._model.n_embd()), "code": _CODE}
        yield LoadStep(0.9, "language model")
        self._codec = SnacCodec(folder / "snac", device)
        yield LoadStep(1.0, "codec")

    def unload(self) -> None:
        """Let go of everything."""
        if self._model is not None:
            self._model.close()
        self._model = self._codec = None

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            UnknownVoice: If a segment describes no voice and names one that is not there.
            SynthesisFailed, DeviceOutOfMemory: If the model fails.
        """
        assert self._codec is not None
        self._cancelled = cancelled
        yield from speak_with(self._codec, segments, cancelled, self._text_ids, self._tokens)

    def _text_ids(self, text: str) -> list[int]:
        ids: list[int] = self._model.tokenize(text.encode(), add_bos=False, special=True)
        return ids

    def _tokens(self, prompt: Sequence[int], sampler: Sampler) -> Iterator[int]:
        """Draw token after token, from a memory that holds nothing of the segment before."""
        self._model.reset()
        self._read(prompt)
        while True:
            logits = self._logits()
            token = sampler.draw(
                torch.from_numpy(np.concatenate([logits[a:b] for a, b in sampler.allowed()]))
            )
            yield token
            self._read([token])

    def _read(self, ids: Sequence[int]) -> None:
        try:
            self._model.eval(ids)
        except RuntimeError as error:
            if self._cancelled.is_set():
                raise Cancelled from error
            raise SynthesisFailed(f"llama.cpp failed ({error}); the segment can be tried again") from error

    def _logits(self) -> Any:
        """Those after the last token that was read, where the library keeps them: copy what is needed."""
        first = llama_cpp.llama_get_logits_ith(self._model.ctx, -1)
        return np.ctypeslib.as_array(first, shape=(self._model.n_vocab(),))


def _file_of(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    if not files:
        raise ModelDamaged("the model has no *.gguf file: import or pull it again")
    if len(files) > 1 and _FIRST_PART not in files[0].name:
        names = ", ".join(file.name for file in files[:3])
        raise EngineLoadFailed(
            f"there are {len(files)} GGUF files ({names}): import a folder with one of them"
        )
    return files[0]


def _open(file: Path, threads: int) -> Any:
    try:
        model = llama_cpp.Llama(
            str(file),
            n_ctx=MOST_TOKENS,
            n_threads=threads or None,
            n_threads_batch=threads or None,
            verbose=False,
        )
    except (ValueError, RuntimeError) as error:
        raise EngineLoadFailed(
            f"{file.name} cannot be loaded ({error}): it is damaged, of a kind that this llama.cpp does not know, "
            "or there is not enough memory; import it again"
        ) from error
    architecture = model.metadata.get("general.architecture")
    if architecture != "llama" or model.n_vocab() < VOCABULARY:
        model.close()
        raise EngineLoadFailed(
            f"{file.name} is no Maya1 (a llama of at least {VOCABULARY} tokens): import the right file"
        )
    return model
