"""Kokoro 82M: voices by name in English, Spanish, French, Hindi, Italian and Portuguese, on any CPU.

Its phonemes come from espeak (see `kokoro_phonemes` for what that means); Japanese and Chinese need dictionaries
that are not in the overlay, so those voices are not offered. Speed and volume are the engine's own; it has no pitch.
A segment is one chunk, unless it has more phonemes than the model takes at once. The precision `bf16` or `fp16` is
automatic casting over weights of fp32: faster, and another sound. espeak (GPL) lives in this worker process only.
"""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from voiced.engines.base import (
    Capabilities,
    EngineVoice,
    Heard,
    LoadSettings,
    LoadStep,
    OwnVoices,
    SegmentRequest,
)
from voiced.engines.espeak import EspeakFailed
from voiced.engines.kokoro_model import load_model, network
from voiced.engines.kokoro_phonemes import LANGUAGES, MOST_SYMBOLS, Phonemizer, spoken_pieces
from voiced.engines.torch_setup import dtype_of, memory_named, prepare, seed_all
from voiced.engines.weights import tensors_of
from voiced.word_times import WordTime
from voiced_ipc.errors import (
    EngineLoadFailed,
    ModelDamaged,
    SynthesisFailed,
    UnknownLanguage,
    UnknownVoice,
)

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

SAMPLE_RATE_HZ = 24000
USUAL_VOICES = ("af_heart", "bf_emma", "ef_dora", "ff_siwis", "hf_alpha", "if_sara", "pf_dora")
"""The best of each language by the model card's grades; where it is not there, the first by name."""
_STYLE = 256
"""A voice's width: half of it for the sound, half for the melody; the network has it fixed."""
_GENDERS = {"f": "female", "m": "male"}


class _Cancelled(Exception):
    """Somebody asked for it, inside the network."""


class _Loaded(NamedTuple):
    """What `load` made."""

    model: nn.Module
    symbols: Mapping[str, int]
    voices: Mapping[str, torch.Tensor]
    """Shape [510, 1, 256]: a row for each number of symbols."""
    phonemizer: Phonemizer
    device: torch.device
    dtype: torch.dtype


class KokoroEngine(OwnVoices):
    """The engine; see the module for what it does."""

    def __init__(self) -> None:
        self.capabilities = Capabilities(sample_rate_hz=SAMPLE_RATE_HZ)
        self.identity: Mapping[str, str] = {}
        self._loaded: _Loaded | None = None
        self._cancelled = threading.Event()

    def load(self, folder: Path | None, settings: LoadSettings) -> Iterator[LoadStep]:
        """Load the network and its voices.

        Args:
            folder: With `config.json`, `kokoro-v*.safetensors` and `voices/*.safetensors`.
            settings: Its model, device, precision and threads count.

        Raises:
            ModelDamaged: If a file is missing or damaged.
            EngineLoadFailed: If the weights are another network's, or there is no espeak.
            DeviceOutOfMemory: If the device has not enough memory.
        """
        if folder is None:
            raise EngineLoadFailed("kokoro has no folder: `voiced pull kokoro` brings its files")
        device = prepare(settings)
        network()
        yield LoadStep(0.1, "packages imported")
        try:
            phonemizer = Phonemizer()
        except EspeakFailed as error:
            raise EngineLoadFailed(f"kokoro's phonemes: {error}") from error
        voices = _voices(folder / "voices")
        yield LoadStep(0.2, f"the phonemes and {len(voices)} voices are ready")
        with memory_named("kokoro's weights"):
            model, config = load_model(folder)
            model = model.to(device)
        for module in model.modules():
            if not any(module.children()):
                module.register_forward_pre_hook(self._look)
        self._loaded = _Loaded(model, config["vocab"], voices, phonemizer, device, dtype_of(settings))
        self.capabilities = self.capabilities._replace(
            voices=tuple(_described(voice) for voice in voices), can_cancel=True
        )
        self.identity = {"model": settings.model, "width": str(config["hidden_dim"]), "code": "1"}
        yield LoadStep(1.0, "the network is loaded")

    def unload(self) -> None:
        """Let go of everything."""
        self._loaded = None

    def speak(
        self, segments: Sequence[SegmentRequest], cancelled: threading.Event
    ) -> Iterator[tuple[int, "FloatArray | Heard"]]:
        """Return (place, chunk) pairs in order; see `voiced.engines.base.Engine.speak`.

        Raises:
            UnknownVoice: If there is no such voice.
            UnknownLanguage: If the segment's language is none of those that it speaks.
            DeviceOutOfMemory: If there was no memory for a segment.
            SynthesisFailed: If espeak made no phonemes.
        """
        assert self._loaded is not None, "speak comes after load"
        self._cancelled = cancelled
        for request in segments:
            voice, language = choose(request.voice, request.language, tuple(self._loaded.voices))
            try:
                said = self._loaded.phonemizer.pronounce(request.text, language, self._loaded.symbols)
            except EspeakFailed as error:
                raise SynthesisFailed(str(error)) from error
            seed_all(request.seed)
            begins: list[int] = []
            length = 0
            for piece in spoken_pieces(said.symbols):
                try:
                    with memory_named("a segment"):
                        samples, lasting = self._samples(piece, voice, request.speed)
                except _Cancelled:
                    return
                yield request.place, samples * request.volume
                begins += (length + begin for begin in itertools.accumulate(lasting[:-2]))
                length += len(samples)
            if request.tells_words:
                yield request.place, Heard(tuple(WordTime(place, begins[at]) for at, place in said.words))

    def _samples(self, symbols: str, voice: str, speed: float) -> tuple["FloatArray", list[int]]:
        """The sound of some symbols; and how many samples the silence before lasts, each of them, and that behind."""
        assert self._loaded is not None
        loaded = self._loaded
        numbers = [0, *(loaded.symbols[symbol] for symbol in symbols), 0]
        style = loaded.voices[voice][len(symbols) - 1].to(loaded.device)
        is_cast = loaded.dtype is not torch.float32
        casting = torch.autocast(loaded.device.type, loaded.dtype) if is_cast else contextlib.nullcontext()
        model: Any = loaded.model
        with torch.inference_mode(), casting:
            audio, frames = model.forward_with_tokens(
                torch.tensor([numbers], device=loaded.device), style, float(speed)
            )
        samples: FloatArray = audio.float().reshape(-1).cpu().numpy()
        counts: list[int] = frames.reshape(-1).tolist()  # at once: each look at a GPU waits for it
        frame = len(samples) // sum(counts)  # every frame of the network becomes as many samples
        return samples, [count * frame for count in counts]

    def _look(self, module: nn.Module, inputs: Any) -> None:
        """Before each layer: the network is left at once."""
        if self._cancelled.is_set():
            raise _Cancelled


def choose(voice: str, language: str, voices: Sequence[str]) -> tuple[str, str]:
    """Return the voice and the language, as the phonemes know it, of a request.

    Args:
        voice: Empty = the usual one of the language.
        language: BCP 47 tag; empty = the voice's own. A voice may speak any language, with an accent.
        voices: All there are.

    Raises:
        UnknownVoice: If there is no such voice, or none for the language.
        UnknownLanguage: If it is none of those that Kokoro speaks here.
    """
    if voice and voice not in voices:
        raise UnknownVoice(f"kokoro has no voice {voice!r}; `voiced voices kokoro` lists what there is")
    letter = _letter(language, voice) if language or not voice else voice[0]
    if voice:
        return voice, LANGUAGES[letter]
    own = [name for name in voices if name[0] == letter]
    usual = [name for name in USUAL_VOICES if name in own]
    if not own:
        raise UnknownVoice(f"kokoro has no voice for {language} here; name one of {', '.join(voices[:5])}")
    return (usual or own)[0], LANGUAGES[letter]


def _letter(language: str, voice: str) -> str:
    """The letter of a language; of its regions the exact one, else the voice's own, else the first."""
    wanted = (language or "en-US").lower().replace("_", "-")
    tags = {letter: tag.lower() for letter, tag in LANGUAGES.items()}
    same = [letter for letter, tag in tags.items() if tag.partition("-")[0] == wanted.partition("-")[0]]
    if not same:
        spoken = ", ".join(LANGUAGES.values())
        raise UnknownLanguage(f"kokoro does not speak {language!r} here; it speaks {spoken}")
    exact = [letter for letter in same if tags[letter] == wanted]
    return (exact or [letter for letter in same if letter == voice[:1]] or same)[0]


def _described(voice: str) -> EngineVoice:
    name = voice.partition("_")[2].replace("_", " ").title()
    return EngineVoice(voice, name, (LANGUAGES[voice[0]],), _GENDERS.get(voice[1:2], ""))


def _voices(folder: Path) -> dict[str, torch.Tensor]:
    """The voices of languages that are spoken here, mapped; the usual one of each language before the others."""
    files = {file.stem: file for file in folder.glob("*.safetensors") if file.stem[0] in LANGUAGES}
    if not files:
        raise ModelDamaged(f"{folder} holds no voice: pull or import kokoro again")
    order = sorted(files, key=lambda name: (name[0], name not in USUAL_VOICES, name))
    return {name: _voice(files[name]) for name in order}


def _voice(file: Path) -> torch.Tensor:
    table = tensors_of([file]).get("tensor")
    if table is None or table.shape != (MOST_SYMBOLS, 1, _STYLE) or not torch.isfinite(table).all():
        raise ModelDamaged(f"{file.name} is no voice of this kokoro: pull or import it again")
    return table.float()
