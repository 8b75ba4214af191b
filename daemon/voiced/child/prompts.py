"""Voices of recordings, in a worker: from memory, from the cache's file, or made anew and kept.

A prompt fits one model alone: the file says of which it is, and one of another model is never handed to the engine.
Whatever is wrong with a file, it is made anew and takes the file's place.
"""

import hashlib
import io
import json
import logging
import math
import sys
import time
import wave
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from voiced.child.mailbox import PromptAsk, Recorded
from voiced.engines.base import Prompt, Reference
from voiced.files.atomic import write_atomically
from voiced.models.prompt_file import PromptFacts, facts_of, pack_facts
from voiced.models.tensor_header import header_of
from voiced_ipc.errors import ReferenceRefused, SynthesisFailed

logger = logging.getLogger(__name__)

MEMORY_BYTES = 64 << 20
"""Of prompts kept in a worker: hundreds of voices, and little beside any model."""
MAX_FILE_BYTES = 64 << 20
"""A longer file is no prompt: 60 s of reference are below 1 MB in every engine."""

_TYPES = {"F32": np.float32, "I64": np.int64, "F16": np.float16, "I32": np.int32, "U8": np.uint8}
_NAMES = {np.dtype(kind).newbyteorder("<"): name for name, kind in _TYPES.items()}


class Found(NamedTuple):
    """A prompt, and where it came from."""

    prompt: Prompt
    source: str
    """`memory`, `file` or `made`."""
    size_bytes: int
    took_ms: float
    reason: str = ""
    """Why it was made, or why it could not be kept."""


class _Held(NamedTuple):
    prompt: Prompt
    size_bytes: int
    is_on_disk: bool


class Prompts:
    """The prompts of one loaded model.

    Args:
        identity: What was really loaded.
        make: Of the engine.
        memory_bytes: What is kept in memory at most.
    """

    def __init__(
        self,
        identity: Mapping[str, str],
        make: Callable[[Sequence[Reference]], Prompt],
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._identity = dict(identity)
        self._make = make
        self._memory_bytes = memory_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def get(self, ask: PromptAsk) -> Found:
        """Return the prompt that is asked for.

        Raises:
            ReferenceRefused: If a recording cannot be read, or is not the one that was added.
            SynthesisFailed: If the engine makes something that is no voice.
            VoicedError: What the engine says of the recordings.
        """
        began = time.perf_counter()
        held = self._remembered(ask)
        if held is not None:
            return Found(_copy(held.prompt), "memory", held.size_bytes, _ms(began))
        kept, why = self._kept(ask)
        if kept is not None:
            self._remember(ask.key, kept, is_on_disk=True)
            return Found(_copy(kept), "file", _size(kept), _ms(began))
        try:
            prompt = _frozen(self._make([read_reference(reference) for reference in ask.references]))
        except ValueError as error:
            raise SynthesisFailed(
                "the engine made a voice of the recordings that holds no numbers"
            ) from error
        fault = self._keep(ask, prompt)
        self._remember(ask.key, prompt, is_on_disk=bool(ask.file) and not fault)
        reason = f"{why}; not kept: {fault}" if fault else why
        return Found(_copy(prompt), "made", _size(prompt), _ms(began), reason)

    # -- memory ---------------------------------------------------------------------------------------

    def _remembered(self, ask: PromptAsk) -> _Held | None:
        held = self._held.get(ask.key)
        # Whoever empties the cache wants it made anew; where nothing can be written, memory is all there is.
        if held is None or (held.is_on_disk and not Path(ask.file).exists()):
            return None
        self._held.move_to_end(ask.key)
        return held

    def _remember(self, key: str, prompt: Prompt, *, is_on_disk: bool) -> None:
        self._held[key] = _Held(prompt, _size(prompt), is_on_disk)
        self._held.move_to_end(key)
        while len(self._held) > 1 and sum(one.size_bytes for one in self._held.values()) > self._memory_bytes:
            self._held.popitem(last=False)

    # -- files ----------------------------------------------------------------------------------------

    def _kept(self, ask: PromptAsk) -> tuple[Prompt | None, str]:
        """What the cache has, or why it has nothing."""
        if not ask.file:
            return None, ask.reason or "no cache"
        try:
            prompt, facts = load_prompt(Path(ask.file))
        except FileNotFoundError:
            return None, ask.reason or "cleared"
        except (OSError, ValueError) as error:
            logger.warning("the prompt %s cannot be used (%s): it is made anew", ask.key[:12], error)
            return None, "file damaged"
        if facts.key != ask.key or dict(facts.identity) != self._identity:
            return None, f"other model: {facts.identity.get('model', '?')}"
        return prompt, ""

    def _keep(self, ask: PromptAsk, prompt: Prompt) -> str:
        """Write a prompt where it is looked for; return what went wrong."""
        if not ask.file:
            return ""
        path = Path(ask.file)
        facts = PromptFacts(ask.key, self._identity, ask.voice, ask.recordings, "", prompt.values)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, dump_prompt(prompt, facts))
        except OSError as error:
            logger.warning("the prompt %s cannot be kept: %s", ask.key[:12], error)
            return error.strerror or "the file cannot be written"
        return ""


def dump_prompt(prompt: Prompt, facts: PromptFacts) -> bytes:
    """Return the file of a prompt.

    Args:
        prompt: It.
        facts: Whose it is; the digest and the words are filled in here.
    """
    places: dict[str, Any] = {}
    data = io.BytesIO()
    for name, tensor in prompt.tensors.items():
        little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
        start = data.tell()
        data.write(little.tobytes())
        places[name] = {
            "dtype": _NAMES[little.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, data.tell()],
        }
    content = data.getvalue()
    facts = facts._replace(sha256=hashlib.sha256(content).hexdigest(), values=prompt.values)
    header = json.dumps({"__metadata__": pack_facts(facts), **places}).encode()
    header += b" " * (-len(header) % 8)  # the format wants the tensors aligned
    return len(header).to_bytes(8, "little") + header + content


def load_prompt(path: Path) -> tuple[Prompt, PromptFacts]:
    """Return a kept prompt, and what it says of itself.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no prompt, damaged, or has values that are no numbers.
    """
    with path.open("rb") as file:
        header = header_of(file)
        if header.data_bytes > MAX_FILE_BYTES:
            raise ValueError("it is too long for a prompt")
        facts = facts_of(header)
        content = file.read(header.data_bytes)
    if hashlib.sha256(content).hexdigest() != facts.sha256:
        raise ValueError("its checksum is wrong")
    tensors: dict[str, NDArray[Any]] = {}
    for name, place in header.tensors.items():
        if place.dtype not in _TYPES:
            raise ValueError("a tensor has a type that no prompt has")
        flat = np.frombuffer(
            content, np.dtype(_TYPES[place.dtype]).newbyteorder("<"), math.prod(place.shape), place.start
        )
        tensors[name] = flat.reshape(place.shape)
    return _frozen(Prompt(tensors, facts.values)), facts


def read_reference(recorded: Recorded) -> Reference:
    """Return a recording that the scribe wrote: mono WAV of 16 bits.

    Raises:
        ReferenceRefused: If it cannot be read, or is not the one that was added.
    """
    try:
        content = Path(recorded.path).read_bytes()
        if recorded.sha256 and hashlib.sha256(content).hexdigest() != recorded.sha256:
            raise ReferenceRefused(
                "a recording of the voice was changed since it was added: add the voice again"
            )
        with wave.open(io.BytesIO(content)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise wave.Error("not mono of 16 bits")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            rate = file.getframerate()
    except (OSError, wave.Error, EOFError) as error:
        raise ReferenceRefused(
            f"a recording of the voice cannot be read ({error}): add the voice again"
        ) from error
    return Reference((samples / 32768).astype(np.float32), rate, recorded.transcript)


def _frozen(prompt: Prompt) -> Prompt:
    """A prompt that nobody can change by mistake, with arrays of types that a file holds.

    Raises:
        ValueError: If a value is no finite number.
    """
    tensors = {}
    for name, tensor in prompt.tensors.items():
        fit = np.array(tensor, _fit_type(tensor.dtype), order="C")
        if np.issubdtype(fit.dtype, np.floating) and not np.isfinite(fit).all():
            raise ValueError("it has values that are no numbers")
        fit.flags.writeable = False
        tensors[name] = fit
    return Prompt(tensors, dict(prompt.values))


def _copy(prompt: Prompt) -> Prompt:
    """A copy for the engine: what it does to it stays within the task."""
    return Prompt({name: tensor.copy() for name, tensor in prompt.tensors.items()}, dict(prompt.values))


def _fit_type(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    native = dtype.newbyteorder("=")
    if native.newbyteorder("<") in _NAMES:
        return native
    return np.dtype(np.float32 if np.issubdtype(dtype, np.floating) else np.int64)


def _size(prompt: Prompt) -> int:
    return sum(int(tensor.nbytes) for tensor in prompt.tensors.values()) + sum(
        sys.getsizeof(value) for value in prompt.values.values()
    )


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000
