"""Frames of codes out of upstream's generation while it runs, and audio out of frames.

Upstream returns when a text is spoken to its end, and drops what would stream or stop it. So it runs in a thread that
hands over each frame from a hook and then waits: at every moment either the generation runs or the one who asked for
the frame, never both. That keeps the random numbers in order and needs no lock.

Imported by the engine of Qwen3-TTS; nobody else.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from voiced.engines.qwen3_rules import chunk_sizes
from voiced_ipc.errors import SynthesisFailed

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

_REACH_BEFORE = 2
"""Frames that the convolution before the codec's transformer reaches back: a kernel of 3."""
_REACH_AFTER = 10
"""Frames that the convolutions behind it reach back, by their kernels, strides and dilations; exact in fp64 (tests)."""
_WINDOWS_BEFORE = 2
"""Of the transformer's windows of attention: so much of a recording is heard before the first word."""


class Stopped(Exception):
    """Somebody asked for the end of a segment."""


@contextlib.contextmanager
def stopping(modules: Iterable[torch.nn.Module], is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Look before each call of `modules` whether to go on.

    Args:
        modules: Called often enough for a quick end.
        is_stopped: Looked at in the thread that calls them.

    Raises:
        Stopped: Out of a module's call.
    """

    def look(module: torch.nn.Module, inputs: object) -> None:
        if is_stopped():
            raise Stopped

    hooks = [module.register_forward_pre_hook(look) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def frames_of(talker: Any, generate: Callable[[], object]) -> Generator[torch.Tensor, None, None]:
    """Return the frames of codes that a generation makes, each when it is made.

    Args:
        talker: Upstream's, which `generate` calls once for each frame.
        generate: Runs in a thread of its own; what it raises is raised here.

    Leaving the iterator early ends the generation at the talker's next call.

    Raises:
        SynthesisFailed: If the model makes what are no numbers.
    """
    made: queue.SimpleQueue[torch.Tensor | BaseException | None] = queue.SimpleQueue()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def look(module: torch.nn.Module, inputs: object, output: Any) -> None:
        # Sampling would end the program's use of a GPU for good.
        if not torch.isfinite(output.logits[:, -1]).all():
            raise SynthesisFailed(
                "the model made what are no numbers: its files may be damaged, then pull or import it again"
            )

    def hand_over(module: torch.nn.Module, inputs: object, output: Any) -> None:
        codes = output.hidden_states[1]  # None where the talker only read its prompt
        if codes is not None:
            made.put(codes[0])
            if not wanted.get():
                raise Stopped

    def run() -> None:
        try:
            with torch.inference_mode():
                generate()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            made.put(error)
        else:
            made.put(None)

    thread = threading.Thread(target=run, name="talker", daemon=True)
    hooks = [module.register_forward_hook(look) for module in (talker, talker.code_predictor)]
    with hooks[0], hooks[1], talker.register_forward_hook(hand_over):
        thread.start()
        try:
            while isinstance(got := made.get(), torch.Tensor):
                yield got
                wanted.put(True)
            if got is not None:
                raise got
        finally:
            wanted.put(False)
            thread.join()


class Decoder:
    """Frames of codes to audio, piece by piece and as if it were one.

    Args:
        codec: Upstream's `Qwen3TTSTokenizer`.
    """

    def __init__(self, codec: Any) -> None:
        self._decoder = codec.model.decoder
        self._most_before = _WINDOWS_BEFORE * codec.config.decoder_config.sliding_window
        self.frame_samples: int = codec.get_decode_upsample_rate()

    @property
    def modules(self) -> list[torch.nn.Module]:
        """The smallest parts of the decoder: on a slow machine a whole block takes seconds."""
        return [module for module in self._decoder.modules() if not any(module.children())]

    def chunks(
        self, frames: Iterable[torch.Tensor], before: torch.Tensor | None, end: int
    ) -> Iterator["FloatArray"]:
        """Return the audio of frames in chunks, the first of them short.

        Args:
            frames: Each of shape [groups].
            before: Frames that are heard before and not spoken, of shape [frames, groups].
            end: The first code of the frame that ends the segment, should it come.
        """
        course = _Course(self._decoder)
        if before is not None:
            with torch.inference_mode():
                course.hear(before[-self._most_before :])
        fresh: list[torch.Tensor] = []
        sizes = chunk_sizes()
        size = next(sizes)
        for frame in frames:
            if int(frame[0]) == end:
                break
            fresh.append(frame)
            if len(fresh) == size:
                yield self._audio(course, fresh)
                fresh, size = [], next(sizes)
        if fresh:
            yield self._audio(course, fresh)

    def _audio(self, course: "_Course", frames: list[torch.Tensor]) -> "FloatArray":
        with torch.inference_mode():
            audio: FloatArray = course.audio(torch.stack(frames)).float().cpu().numpy()
        return audio


class _Course:
    """One segment's way through the codec's decoder, and what of it is remembered between two chunks.

    Step by step what `Qwen3TTSTokenizerV2Decoder.forward` does at once: the transformer goes on from its cache, the
    convolutions before and after it hear the few frames again that they reach back to.

    Args:
        decoder: Upstream's.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._most = decoder.config.codebook_size - 1
        self._cache: Any = None
        self._codes: torch.Tensor | None = None
        self._hidden: torch.Tensor | None = None

    def hear(self, codes: torch.Tensor) -> torch.Tensor:
        """Take frames in without speaking them, and return the transformer's output for them.

        Args:
            codes: Shape [frames, groups].
        """
        # A malformed code must not reach the codec, whatever made it.
        codes = codes.clamp(0, self._most)
        again = _joined(self._codes, codes, 0)
        known = len(again) - len(codes)
        self._codes = again[-_REACH_BEFORE:]
        entered = self._decoder.pre_conv(self._decoder.quantizer.decode(again.T[None]))[..., known:]
        output = self._decoder.pre_transformer(
            inputs_embeds=entered.transpose(1, 2), past_key_values=self._cache, use_cache=True
        )
        self._cache = output.past_key_values
        fresh: torch.Tensor = output.last_hidden_state.transpose(1, 2)
        self._hidden = _joined(self._hidden, fresh, -1)[..., -_REACH_AFTER:]
        return fresh

    def audio(self, codes: torch.Tensor) -> torch.Tensor:
        """Take frames in and return their audio, shape [samples].

        Args:
            codes: Shape [frames, groups].
        """
        earlier = self._hidden
        fresh = self.hear(codes)
        sound = _joined(earlier, fresh, -1)
        known = sound.shape[-1] - fresh.shape[-1]
        for pair in self._decoder.upsample:
            for block in pair:
                sound = block(sound)
        for block in self._decoder.decoder:
            sound = block(sound)
        made: torch.Tensor = sound.clamp(-1, 1)[0, 0, known * int(self._decoder.total_upsample) :]
        return made


def _joined(earlier: torch.Tensor | None, fresh: torch.Tensor, dim: int) -> torch.Tensor:
    return fresh if earlier is None else torch.cat((earlier, fresh), dim)
