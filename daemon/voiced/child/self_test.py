"""A moment of speech that nobody hears: whether a fresh worker would speak, before work is handed to it."""

import threading

import numpy as np

from voiced.engines.base import DESCRIPTION, PROMPT, Engine, Heard, Prompt, Reference, SegmentRequest
from voiced_ipc.errors import RequestRejected, SynthesisFailed

_TEXT = "One, two, three."
_DESCRIPTION = "A calm voice."
_RATE_HZ = 24000
_REFERENCE_S = 3.0


def self_test(engine: Engine, cancelled: threading.Event) -> None:
    """Speak a short text up to its first audio, and look at that.

    A model whose voices are all recordings is given one that no human spoke; where it refuses that, its weights have
    at least gone through the load's own checks.

    Args:
        engine: Loaded.
        cancelled: Set from another thread; the test ends soon after.

    Raises:
        SynthesisFailed: If what comes out are no numbers.
        VoicedError: What the engine raises.
    """
    can = engine.capabilities
    voice = can.voices[0] if can.voices else None
    languages = voice.languages if voice is not None else can.languages
    request = SegmentRequest(
        place=0,
        text=_TEXT,
        language=next(iter(languages), "en"),
        voice=voice.voice if voice is not None else "",
        seed=1,
        description=_DESCRIPTION if voice is None and DESCRIPTION in can.identities else "",
    )
    try:
        if voice is None and PROMPT in can.identities and DESCRIPTION not in can.identities:
            request = request._replace(prompt=_made_up_voice(engine))
        chunks = engine.speak((request,), cancelled)
        for _, chunk in chunks:
            if isinstance(chunk, Heard):  # not asked for
                continue
            if not np.isfinite(chunk).all():
                raise SynthesisFailed("the model makes samples that are no numbers on this device")
            if len(chunk):
                break
        # The engine ends as it does after a cancel, so that its state is clean for the first real segment.
        cancelled.set()
        for _ in chunks:
            pass
    except RequestRejected:
        return


def _made_up_voice(engine: Engine) -> Prompt:
    """A voice of a hum with its overtones, loud and soft as syllables are."""
    seconds = max(_REFERENCE_S, engine.capabilities.reference_s[0])
    time_s = np.arange(int(seconds * _RATE_HZ)) / _RATE_HZ
    hum = sum(np.sin(2 * np.pi * 130 * overtone * time_s) / overtone for overtone in range(1, 12))
    samples = 0.2 * hum * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time_s))
    return engine.make_voice([Reference(samples.astype(np.float32), _RATE_HZ)])
