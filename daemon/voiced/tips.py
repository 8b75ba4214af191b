"""What helps: voices, texts, emotion, speed, this machine. Only what works here is told. Pure.

Numbers are those of the presets and of the engines' own limits; a hint for a piece of hardware stands only where that
hardware is.
"""

from typing import NamedTuple

from voiced.devices.hardware import GB, MIN_GPU_BYTES, Hardware

SMALL_GPU_CHARS, USUAL_GPU_CHARS = 200, 600
"""Segments that fit beside a voice model (S4 2.5.3): on cards of 4 GB and of 6 GB."""


class Tip(NamedTuple):
    """One hint."""

    topic: str
    """`voices`, `text`, `emotion`, `speed` or `machine`."""
    text: str


_VOICES = (
    "A voice is made of 10 to 30 seconds of clear speech by one person, without music, echo or other voices.",
    "Say with --text what is said in the recording: the likeness gains, with Qwen3-TTS above all.",
    "Several recordings of one person blend where the model can: `voiced voice add NAME A.wav B.wav`.",
    "Speak into the recording as the voice is to speak: its pace, its mood and its room come along.",
)
_TEXT = (
    "Punctuation makes the melody: commas breathe, dots end, question marks rise, dots in a row hesitate.",
    "The language is found out from the text; a short or mixed one is safer with --language.",
    "Names that come out wrong: `voiced lexicon add WORD SPOKEN` says them in your way, in every text.",
    "No text is too long: it is spoken in segments, each on its own, and joined without a cut.",
)
_EMOTION = (
    "Emotion comes from the recording: make a voice of an angry recording for anger, and one of a calm one.",
    "Split a text where its mood changes, and give each part the voice that fits.",
    "maya1 speaks as it is described (--describe 'a tired old man'), and knows <laugh>, <sigh> and <whisper>.",
    "Other models read such marks aloud or stumble over them: take out what a model does not know.",
)
_SPEED = (
    "Keep a model loaded between requests: `voiced load MODEL --keep-alive -1`, or preload in the settings.",
    "On a CPU the small voices are the quick ones: espeak at once, then piper, kokoro, mms.",
    "The first words come soonest by `voiced say`, which plays while it speaks; files are made on all cores.",
    "`voiced models` shows what each model takes; two small ones beside each other beat one that swaps.",
)


def tips_for(hardware: Hardware) -> tuple[Tip, ...]:
    """Return what helps on a machine, by topic."""
    topics = {
        "voices": _VOICES,
        "text": _TEXT,
        "emotion": _EMOTION,
        "speed": _SPEED,
        "machine": tuple(_machine(hardware)),
    }
    return tuple(Tip(topic, text) for topic, texts in topics.items() for text in texts)


def _machine(hardware: Hardware) -> list[str]:
    found = [
        "Models run where there is room, and move when the load does: `voiced device why` tells the reasons.",
        "`voiced lock cpu --for 2h` keeps the GPU free for a game; DEVICE=cpu or cuda does it for good.",
    ]
    if hardware.is_wsl:
        found.append("Under WSL2 the GPU counts as on Linux; keep models on the Linux side of the disk.")
    if hardware.is_apple_silicon:
        found.append("Quantisation and torch.compile are left out on Apple Silicon: they slow it down there.")
    for gpu in hardware.gpus:
        size = f"{gpu.memory_bytes / GB:.2f} GB"
        if 0 < gpu.memory_bytes < MIN_GPU_BYTES:
            found.append(
                f"{gpu.device} has {size}, less than the {MIN_GPU_BYTES / GB:.1f} GB that the large models need: "
                f"they take the CPU. DEVICE=cuda forces it; then segments of {SMALL_GPU_CHARS} characters fit."
            )
        elif gpu.memory_bytes:
            found.append(
                f"{gpu.device} has {size}: the large models run there, segments of {USUAL_GPU_CHARS} "
                "characters and more."
            )
    if not hardware.gpus and not hardware.has_mps:
        found.append("Without a GPU piper and kokoro are the best for their time; large models take minutes.")
    return found
