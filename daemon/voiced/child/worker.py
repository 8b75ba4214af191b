"""The program of a worker that holds a model: `python -P -m voiced.child.worker --link-fd N --parent PID`.

The main thread loads the engine and speaks task after task. A second thread reads the link, so that a ping is
answered and a cancel arrives while a segment is spoken; the link's end, or `end`, ends the process at once, whatever
the engine is doing. Frames: `voiced.workers.link`. The only place that imports engines. `--overlay FOLDER` puts an
engine family's own packages first on the path, before anything of theirs is imported.
"""

import argparse
import importlib
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voiced.audio.check import Fault
from voiced.audio.hearing import peak_of
from voiced.child.lifeline import bind_to_parent
from voiced.child.mailbox import Mailbox, Task
from voiced.child.outlet import Outlet
from voiced.child.pieces import pieces_of
from voiced.child.prompts import Prompts
from voiced.child.self_test import self_test
from voiced.child.take import Take
from voiced.engines.base import Engine, Heard, LoadSettings, LoadStep, SegmentRequest
from voiced.workers.link import ChildLink, Fields
from voiced_ipc.errors import EngineLoadFailed, RequestRejected, SynthesisFailed, VoicedError

if TYPE_CHECKING:
    from voiced.engines.base import FloatArray

logger = logging.getLogger(__name__)

ENGINES = {
    "chatterbox": ("voiced.engines.chatterbox", "ChatterboxEngine"),
    "kokoro": ("voiced.engines.kokoro", "KokoroEngine"),
    "maya1": ("voiced.engines.maya1", "Maya1Engine"),
    "maya1-gguf": ("voiced.engines.maya1_gguf", "Maya1GgufEngine"),
    "openaudio": ("voiced.engines.openaudio", "OpenAudioEngine"),
    "piper": ("voiced.engines.piper", "PiperEngine"),
    "qwen3-mlx": ("voiced.engines.qwen3_mlx", "Qwen3MlxEngine"),
    "qwen3-tts": ("voiced.engines.qwen3_tts", "Qwen3TtsEngine"),
    "tone": ("voiced.engines.tone", "ToneEngine"),
    "vits": ("voiced.engines.vits", "VitsEngine"),
}
"""Engine name to module and class; imported when it is loaded."""

QUEUE = 3
"""Tasks that wait here, where they are quick: a daemon with many clients is late now and then by some of them."""

_IDENTITY = ("precision", "quantization", "revision")
"""What the `load` frame adds to the engine's own identity."""

EXIT_LOST_ENGINE = 3
"""Exit code: the engine failed and could not be loaded again."""


def _settings(fields: Fields) -> LoadSettings:
    cache = str(fields.get("cache") or "")
    return LoadSettings(
        model=str(fields.get("model") or ""),
        device=str(fields.get("device") or "cpu"),
        precision=str(fields.get("precision") or "fp32"),
        quantization=str(fields.get("quantization") or "none"),
        is_compiled=bool(fields.get("is_compiled")),
        threads=int(str(fields.get("threads") or 0)),
        cache=Path(cache) if cache else None,
    )


def to_pcm16(samples: "FloatArray", peak: float) -> bytes:
    """Return signed 16-bit little-endian PCM.

    Args:
        samples: Shape [frames], float32, nominal range [-1, 1]; values outside are clipped.
        peak: Their greatest absolute value.

    Raises:
        SynthesisFailed: If a value is not finite.

    Scale is 32767, symmetric, so that -1 and 1 are equally loud.
    """
    if not math.isfinite(peak):
        raise SynthesisFailed("the engine made samples that are no numbers; the segment can be tried again")
    scaled = (samples if peak <= 1.0 else np.clip(samples, -1.0, 1.0)) * np.float32(32767)
    pcm: bytes = np.rint(scaled, out=scaled).astype("<i2").tobytes()
    return pcm


class Worker:
    """An engine and the tasks for it.

    Args:
        mailbox: Tasks come from it, frames go to it.
        load: The `load` frame.
    """

    def __init__(self, mailbox: Mailbox, load: dict[str, Any]) -> None:
        self._mailbox = mailbox
        self._load_fields = load
        self._engine = self._load()
        self._prompts = Prompts(self.identity, lambda references: self._engine.make_voice(references))

    def _load(self) -> Engine:
        fields = self._load_fields
        name = str(fields.get("engine", ""))
        if name not in ENGINES:
            raise EngineLoadFailed(
                f"this version has no engine {name!r}: `voiced models` lists what there is"
            )
        module, cls = ENGINES[name]
        try:
            engine: Engine = getattr(importlib.import_module(module), cls)()
            folder = str(fields.get("folder") or "")
            for step in engine.load(Path(folder) if folder else None, _settings(fields)):
                self._tell(step)
        except ImportError as error:
            family = fields.get("family")
            remedy = f"voiced engine install {family}" if family else "pip install 'voiced[models]'"
            raise EngineLoadFailed(
                f"{fields.get('model') or name} cannot be loaded: {error}; `{remedy}` brings what it needs"
            ) from error
        return engine

    def _tell(self, step: LoadStep) -> None:
        self._mailbox.send({"type": "loading", "fraction": step.fraction, "what": step.what})

    @property
    def identity(self) -> dict[str, str]:
        """What was really loaded, all that decides whether a prompt fits."""
        asked = {name: str(self._load_fields.get(name) or "") for name in _IDENTITY}
        # Another kind of device rounds otherwise: a prompt made there is not the one that is made here.
        asked["device"] = str(self._load_fields.get("device") or "cpu").partition(":")[0]
        return {**{name: value for name, value in asked.items() if value}, **self._engine.identity}

    def announce(self) -> None:
        """Tell the daemon what the engine can do."""
        can = self._engine.capabilities
        own = (language for voice in can.voices for language in voice.languages)
        voices = [
            {
                **voice._asdict(),
                "languages": list(voice.languages),
                "language": next(iter(voice.languages), ""),
            }
            for voice in can.voices
        ]
        self._mailbox.send(
            {
                "type": "ready",
                "sample_rate_hz": can.sample_rate_hz,
                "slots": 1,
                "queue": QUEUE,
                "languages": list(dict.fromkeys([*own, *can.languages])),
                "voices": voices,
                "identities": list(can.identities),
                "identity": self.identity,
                "max_segment_chars": can.max_segment_chars,
                "reference_s": list(can.reference_s),
                "can_blend": can.can_blend,
                "can_cancel": can.can_cancel,
                "is_repeatable": can.is_repeatable,
                "max_batch": can.max_batch,
            }
        )

    def run(self) -> None:
        """Speak task after task; does not return."""
        while True:
            task = self._mailbox.next_task()
            self._mailbox.end_task(task, self._outcome(task))

    def _outcome(self, task: Task) -> Fields:
        """Speak a task and return the frame that ends it."""
        if task.cancelled.is_set():
            return {"type": "cancelled"}
        try:
            if task.is_test:
                self_test(self._engine, task.cancelled)
            else:
                self._speak(task)
        except RequestRejected as error:  # the engine looked and did nothing
            return _failure(error)
        except VoicedError as error:
            failure = _failure(error)
        except MemoryError:
            message = "there was not enough memory for a segment; close programs or choose a smaller model"
            failure = {"type": "failed", "code": "device-out-of-memory", "message": message}
        except Exception as error:  # an engine may raise anything; what it says may hold the text
            logger.error("the engine failed: %s", type(error).__name__)
            logger.debug("the engine failed", exc_info=error)
            message = f"the engine failed ({type(error).__name__}); the segment can be tried again"
            failure = {"type": "failed", "code": "synthesis-failed", "message": message}
        else:
            return {"type": "cancelled" if self._was_cancelled(task) else "done"}
        self._start_afresh()
        return {"type": "cancelled"} if self._was_cancelled(task) else failure

    def _was_cancelled(self, task: Task) -> bool:
        """A test cancels itself once it has heard enough."""
        return task.cancelled.is_set() and not task.is_test

    def _speak(self, task: Task) -> None:
        segments = self._with_prompt(task)
        max_batch = self._engine.capabilities.max_batch
        for first in range(0, len(segments), max_batch):
            if task.cancelled.is_set():
                return
            self._speak_batch(task, segments[first : first + max_batch])

    def _with_prompt(self, task: Task) -> tuple[SegmentRequest, ...]:
        """The task's segments with its voice, where recordings make it; the daemon is told where that came from."""
        if task.prompt is None:
            return task.segments
        found = self._prompts.get(task.prompt)
        self._mailbox.send(
            {
                "type": "prompt",
                "task": task.task,
                "key": task.prompt.key,
                "source": found.source,
                "bytes": found.size_bytes,
                "took_ms": found.took_ms,
                "reason": found.reason,
            }
        )
        return tuple(segment._replace(prompt=found.prompt) for segment in task.segments)

    def _speak_batch(self, task: Task, batch: tuple[SegmentRequest, ...]) -> None:
        """Speak some segments at once; a listener hears them as they are made, a file gets what was looked at."""
        is_kept = not task.is_stream
        takes = {request.place: Take(request, self._rate_hz, is_kept=is_kept) for request in batch}
        if task.is_stream:
            self._speak_aloud(task, batch, takes)
            return
        for place, chunk in self._chunks(task, batch):
            takes[place].hear(chunk, _peak(chunk))
        for take in takes.values():
            if not task.cancelled.is_set():
                self._send_best(task, take)

    def _speak_aloud(self, task: Task, batch: tuple[SegmentRequest, ...], takes: dict[int, Take]) -> None:
        outlets = {request.place: self._outlet(task, request.place) for request in batch}
        for place, chunk in self._chunks(task, batch):
            # Chunks come in order: the segments before this one are complete.
            while (earlier := next(iter(outlets))) != place:
                _end_aloud(outlets.pop(earlier), takes[earlier])
            peak = _peak(chunk)
            if not isinstance(chunk, Heard):
                outlets[place].hear(to_pcm16(chunk, peak))
            takes[place].hear(chunk, peak)
        if not task.cancelled.is_set():
            for place, outlet in outlets.items():
                _end_aloud(outlet, takes[place])

    def _send_best(self, task: Task, take: Take) -> None:
        """Send a segment of a file; one with a fault is spoken once more, and the better take is kept."""
        best, faults, other = take, take.faults(), take.other
        redone: tuple[Fault, ...] = ()
        if faults and other is not None:
            second = Take(other, self._rate_hz)
            for _, chunk in self._chunks(task, (other,)):
                second.hear(chunk, _peak(chunk))
            if task.cancelled.is_set():
                return
            redone = faults
            if len(now := second.faults()) < len(faults):
                best, faults = second, now
        outlet = self._outlet(task, take.request.place)
        outlet.hear(to_pcm16(best.samples, best.peak))
        outlet.finish(0, [], best.heard, faults=_words(faults), redone=_words(redone))

    def _outlet(self, task: Task, place: int) -> Outlet:
        return Outlet({"task": task.task, "index": place}, self._rate_hz, task.is_stream, self._mailbox.send)

    @property
    def _rate_hz(self) -> int:
        return self._engine.capabilities.sample_rate_hz

    def _chunks(
        self, task: Task, batch: tuple[SegmentRequest, ...]
    ) -> Iterator[tuple[int, "FloatArray | Heard"]]:
        """What the engine makes, up to a cancel; an engine that does not look is left at its next chunk."""
        for part in _parts(batch, task.max_chars):
            for place, chunk in self._engine.speak(part, task.cancelled):
                if task.cancelled.is_set():
                    return
                yield place, chunk

    def _start_afresh(self) -> None:
        """Drop the engine's state: what failed in the middle must not be heard in the next segment."""
        try:
            self._engine.unload()
            self._engine = self._load()
        except Exception:
            logger.exception("the engine cannot be loaded again")
            os._exit(EXIT_LOST_ENGINE)


def _parts(batch: tuple[SegmentRequest, ...], max_chars: int) -> Iterator[tuple[SegmentRequest, ...]]:
    """What one call to the engine takes: a batch as it is, or each segment of it piece by piece."""
    if not max_chars:
        yield batch
        return
    for request in batch:
        for piece in pieces_of(request.text, max_chars):
            yield (request._replace(text=piece),)


def _peak(chunk: "FloatArray | Heard") -> float:
    return 0.0 if isinstance(chunk, Heard) else peak_of(chunk)


def _end_aloud(outlet: Outlet, take: Take) -> None:
    outlet.send_rest()  # whoever listens does not wait for a look at what he hears
    outlet.finish(0, [], faults=_words(take.faults()))


def _words(faults: Sequence[Fault]) -> list[str]:
    return [fault.value for fault in faults]


def _failure(error: VoicedError) -> Fields:
    return {"type": "failed", "code": error.code.value, "message": error.message}


def main() -> int:
    """Run the worker until the daemon goes, and return its exit code."""
    parser = argparse.ArgumentParser(prog="voiced.child.worker")
    parser.add_argument("--link-fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--overlay", default="")
    options = parser.parse_args()
    bind_to_parent(options.parent)
    if options.overlay:
        sys.path.insert(0, options.overlay)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    link = ChildLink(options.link_fd)
    frame = link.receive()
    if frame is None or frame[0]["type"] != "load":
        return 0 if frame is None or frame[0]["type"] == "end" else 2
    mailbox = Mailbox(link)
    mailbox.start()  # a model may load for a minute: pings are answered meanwhile
    try:
        worker = Worker(mailbox, frame[0])
    except VoicedError as error:
        mailbox.send({"type": "refused", "code": error.code.value, "message": error.message})
        return 0
    except Exception as error:
        logger.exception("the model cannot be loaded")
        message = f"the model cannot be loaded ({type(error).__name__}: {error}); the log has the details"
        mailbox.send({"type": "refused", "code": EngineLoadFailed.code.value, "message": message})
        return 0
    worker.announce()
    worker.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
