"""What a request leaves open, filled in from the settings: pure decisions before a job is planned."""

from voiced.audio.formats import FORMATS
from voiced.config import Config
from voiced.devices.lock import normal_device
from voiced.drop.sidecar import Wishes
from voiced.jobs.job import Speech
from voiced.models.spec import ModelSpec
from voiced_ipc.errors import DeviceUnavailable, InvalidRequest
from voiced_ipc.messages import Chapters, Lane, Output, Subtitles, Synthesize


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
