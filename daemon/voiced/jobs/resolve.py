"""What a request leaves open, filled in from the settings: pure decisions before a job is planned."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from voiced.audio.formats import FORMATS
from voiced.config import Config
from voiced.devices.lock import normal_device
from voiced.drop.sidecar import Wishes
from voiced.jobs.job import Speech
from voiced.models.catalogue import CATALOGUE
from voiced.models.spec import ModelSpec
from voiced.models.voices import Voice
from voiced_ipc.errors import DeviceUnavailable, InvalidRequest, UnknownLanguage, UnknownVoice
from voiced_ipc.messages import Chapters, Lane, Output, Subtitles, Synthesize

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


class Abilities(NamedTuple):
    """What a model can do, as its worker told when it was ready."""

    voices: tuple[VoiceRow, ...] = ()
    """Its own."""
    languages: tuple[str, ...] = ()
    """All that it speaks; none = it does not tell."""
    identities: tuple[str, ...] = ("speaker",)
    reference_s: tuple[float, float] = (0.0, 1e9)
    can_blend: bool = False

    def takes(self, voice: Voice) -> bool:
        """Return whether an added voice can be used."""
        return bool(
            (voice.recordings and "prompt" in self.identities)
            or (voice.description and "description" in self.identities)
        )


def abilities_of(ready: Mapping[str, Any]) -> Abilities:
    """Return what a worker's `ready` frame tells."""
    rows = (
        VoiceRow(str(row["voice"]), str(row["name"]), tuple(row["languages"]), str(row.get("gender", "")))
        for row in ready.get("voices", [])
    )
    shortest_s, longest_s = ready.get("reference_s", (0.0, 1e9))
    return Abilities(
        tuple(rows),
        tuple(ready.get("languages", [])),
        tuple(ready.get("identities", ["speaker"])),
        (float(shortest_s), float(longest_s)),
        bool(ready.get("can_blend")),
    )


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
        description=request.description,
    )


def check_device(wanted: str, spec: ModelSpec, *, is_strict: bool) -> tuple[str, str]:
    """Return the device of this request (empty = as decided), and what differs from the one asked for.

    Raises:
        InvalidRequest: If it is no device.
        DeviceUnavailable: If the model cannot run there, and strict mode forbids another.
    """
    device = normal_device(wanted) if wanted else ""
    if device in ("", "auto") or (not spec.has_gpu_path and device == "cpu"):
        return "", ""
    if spec.has_gpu_path:
        return device, ""
    message = f"{spec.model} runs on the CPU only, not on {device}"
    if is_strict:
        raise DeviceUnavailable(message)
    return "cpu", message


def ignored_controls(request: Synthesize, spec: ModelSpec) -> tuple[str, ...]:
    """Return what the request sets and the model has no means for, in words."""
    asked = {"speed": request.speed, "pitch": request.pitch, "volume": request.volume}
    ignored = [name for name, value in asked.items() if value != 1.0 and name not in spec.controls]
    return (f"{spec.model} has no {' and no '.join(ignored)} to set",) if ignored else ()


def check_format(name: str) -> str:
    """Return the file format.

    Raises:
        InvalidRequest: If it cannot be written.
    """
    if name not in FORMATS:
        raise InvalidRequest(f"no format {name!r}; formats: {', '.join(FORMATS)}")
    return name


def check_stream(request: Synthesize) -> None:
    """Refuse what a stream cannot have, rather than leaving it out silently.

    Raises:
        InvalidRequest: Naming the field.
    """
    if request.incoming:
        raise InvalidRequest("a stream takes its text as the payload; ask for output=file")
    if request.sample_rate_hz:
        raise InvalidRequest("a stream has the engine's own rate in this version; leave sample_rate_hz out")
    if request.subtitles is not Subtitles.NONE or request.chapters is not Chapters.ONE_FILE:
        raise InvalidRequest("subtitles and chapters belong to a file; ask for output=file")


def wished_request(job_id: str, wishes: Wishes, config: Config) -> Synthesize:
    """Return the request for a dropped text, as its sidecars wish it; the settings hold for what they leave open.

    Args:
        job_id: Of the claim.
        wishes: What they say.
        config: The settings.
    """
    said = {key: value for key, value in wishes._asdict().items() if value is not None}
    fields = {key: said[key] for key in _WISHED_FIELDS if key in said}
    return Synthesize(
        request_id=job_id,
        output=Output.FILE,
        lane=Lane(wishes.priority or config.drop_lane),
        subtitles=Subtitles(wishes.subtitles or config.subtitles),
        chapters=Chapters(wishes.chapters or config.chapters),
        loudness_lufs=wishes.loudness,
        **fields,
    )


_WISHED_FIELDS = ("model", "voice", "language", "format", "speed", "pitch", "volume", "description", "seed")


def choose_voice(
    speech: Speech, can: Abilities, added: Voice | None, *, is_seeded: bool
) -> tuple[Speech, VoiceRow | None, tuple[str, ...]]:
    """Return the speech with its voice settled, the model's own voice where it is one, and what differs.

    A model's own voice goes before an added one of the same name.

    Args:
        speech: What was asked for.
        can: What the model can do.
        added: The added voice of the name that was asked for.
        is_seeded: The request names its seed.

    Raises:
        UnknownVoice: If there is no such voice.
        InvalidRequest: If the model cannot speak with it, or needs a voice and none was asked for; with the remedy.
    """
    model, name = speech.model, speech.voice
    if not name:
        _check_no_voice(speech, can)
        return speech, None, ()
    is_own = name.partition("+")[0] in {row.voice for row in can.voices}
    if added is None or is_own:
        if not can.voices and "speaker" not in can.identities:
            raise UnknownVoice(f"no voice {name!r} was added for {model}: {_HOW_TO_ADD}")
        row = find_voice(list(can.voices), name, model)
        return speech._replace(voice=row.voice), row, ()
    if not can.takes(added):
        others = ", ".join(spec.model for spec in CATALOGUE.values() if spec.identity == added.kind)
        made_of = "recordings" if added.recordings else "words"
        raise InvalidRequest(
            f"{model} cannot speak with {added.voice}, which is made of {made_of}; models that can: {others}"
        )
    speech = speech._replace(voice_digest=added.digest)
    if added.recordings and "prompt" in can.identities:
        return speech, None, _check_recordings(added, can, model)
    if speech.description:
        raise InvalidRequest(f"the voice {added.voice} is a description itself: give one of the two")
    # The same words with another seed are another person.
    seed = speech.seed if is_seeded else int(added.digest[:8], 16)
    return speech._replace(description=added.description, seed=seed), None, ()


_HOW_TO_ADD = "`voiced voice add NAME RECORDING.wav` makes a voice, `--voice NAME` asks for it"


def _check_no_voice(speech: Speech, can: Abilities) -> None:
    if not can.voices and "prompt" in can.identities and "description" not in can.identities:
        raise InvalidRequest(f"{speech.model} has no voice of its own: {_HOW_TO_ADD}")


def _check_recordings(voice: Voice, can: Abilities, model: str) -> tuple[str, ...]:
    used = voice.recordings if can.can_blend else voice.recordings[:1]
    shortest_s, longest_s = can.reference_s
    for recording in used:
        if not shortest_s <= recording.seconds <= longest_s:
            raise InvalidRequest(
                f"{model} makes a voice of recordings from {shortest_s:g} to {longest_s:g} s; "
                f"one of {voice.voice} has {recording.seconds:.1f} s: add a voice with another one"
            )
    if len(used) < len(voice.recordings):
        return (f"{model} takes one recording: the first of {len(voice.recordings)} is used",)
    return ()


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


def check_language(voices: Sequence[VoiceRow], language: str, model: str, others: Sequence[str] = ()) -> str:
    """Return the language asked for.

    Args:
        voices: The model's own.
        language: The tag.
        model: For the message.
        others: Languages that it speaks with voices that were added.

    Raises:
        UnknownLanguage: If no voice speaks it.
    """
    wanted = language.lower().replace("_", "-")
    known = [*others, *(spoken for row in voices for spoken in row.languages)]
    if is_spoken(wanted, known) or (not known and not voices):  # a model may not tell: its engine will
        return wanted
    raise UnknownLanguage(f"{model} does not speak {language!r} (`voiced voices` lists the languages)")


def is_spoken(language: str, languages: Sequence[str]) -> bool:
    """Return whether a language, or its base, is one of those."""
    base = language.lower().partition("-")[0]
    return any(base == spoken.lower().partition("-")[0] for spoken in languages)
