"""What a request leaves open, filled in from the settings: pure decisions before a job is planned."""

from typing import NamedTuple

from voiced.config import Config
from voiced.devices.lock import normal_device
from voiced.jobs.job import Speech
from voiced.models.spec import ModelSpec
from voiced_ipc.errors import DeviceUnavailable, InvalidRequest, UnknownLanguage, UnknownVoice
from voiced_ipc.messages import Subtitles, Synthesize

FORMATS = ("wav", "flac")
INLINE_CHARS = 4000
"""Texts up to this length with a known language are planned on the loop (a fraction of a millisecond)."""


class VoiceRow(NamedTuple):
    """A voice as its worker listed it."""

    voice: str
    name: str
    languages: tuple[str, ...]
    gender: str = ""

    @property
    def language(self) -> str:
        """Its first language."""
        return self.languages[0] if self.languages else ""


def resolve_speech(request: Synthesize, config: Config, seed: int) -> Speech:
    """Return how the request is to be spoken.

    Args:
        request: What was asked.
        config: Fills in what was not.
        seed: Of the job, where the request names none.
    """
    return Speech(
        model=request.model or config.model,
        voice=request.voice or ("" if request.language or request.model else config.voice),
        speed=request.speed * config.speed,
        pitch=request.pitch * config.pitch,
        volume=request.volume * config.volume,
        seed=seed if request.seed is None else request.seed,
        device=request.device,
        keep_alive_s=request.keep_alive_s,
    )


def check_device(wanted: str, spec: ModelSpec, *, is_strict: bool) -> tuple[str, str]:
    """Return the device of this request (empty = as decided), and what differs from the one asked for.

    Raises:
        InvalidRequest: If it is no device.
        DeviceUnavailable: If the model cannot run there, and strict mode forbids another.
    """
    device = normal_device(wanted) if wanted else ""
    if device in ("", "auto", "cpu") or spec.has_gpu_path:
        return device, ""
    message = f"{spec.model} runs on the CPU only, not on {device}"
    if is_strict:
        raise DeviceUnavailable(message)
    return "cpu", message


def check_format(name: str) -> str:
    """Return the file format.

    Raises:
        InvalidRequest: If it cannot be written.
    """
    if name not in FORMATS:
        raise InvalidRequest(f"no format {name!r}; formats: {', '.join(FORMATS)}")
    return name


def check_unserved(request: Synthesize) -> None:
    """Refuse what the protocol knows and this version does not do, rather than leaving it out silently.

    Raises:
        InvalidRequest: Naming the field.
    """
    if request.subtitles is not Subtitles.NONE:
        raise InvalidRequest("subtitles are not made by this version")


def find_voice(voices: list[VoiceRow], voice: str, model: str) -> VoiceRow:
    """Return the voice asked for, by its id or by its language (`fr`); `name+variant` keeps its variant.

    Raises:
        UnknownVoice: Naming some that there are.
    """
    base, plus, variant = voice.partition("+")
    for matches in (lambda row: row.voice == base, lambda row: base.lower() in row.languages):
        for row in filter(matches, voices):
            return row._replace(voice=f"{row.voice}{plus}{variant}")
    import difflib

    near = difflib.get_close_matches(base, [row.voice for row in voices], n=3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise UnknownVoice(f"{model} has no voice {voice!r}{hint} (`voiced voices` lists all)")


def check_language(voices: list[VoiceRow], language: str, model: str) -> str:
    """Return the language asked for.

    Raises:
        UnknownLanguage: If no voice speaks it.
    """
    wanted = language.lower().replace("_", "-")
    base = wanted.partition("-")[0]
    for row in voices:
        for spoken in row.languages:
            if spoken.lower() == wanted or spoken.lower().partition("-")[0] == base:
                return wanted
    raise UnknownLanguage(f"{model} does not speak {language!r} (`voiced voices` lists the languages)")
