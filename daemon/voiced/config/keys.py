"""The keys of `voiced.toml`: in which table each stands, how it is read, and what is allowed, in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from voiced.audio.formats import FORMATS, LOUDNESS_LUFS

_LANES = ("interactive", "normal", "batch")
_DEVICES = "auto, cpu, cuda, cuda:N or mps"


class Key(NamedTuple):
    """How one key is read."""

    table: str
    parse: Callable[[object], Any]
    allowed: str
    """What is allowed, in words."""
    about: str
    variables: tuple[str, ...] = ()
    """Further environment names that are honoured, beside VOICED_<KEY>."""


def _number(low: float, high: float, kind: type = float) -> Callable[[object], Any]:
    def parse(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = kind(value)
        if not low <= number <= high or (isinstance(value, float) and number != value):
            raise ValueError
        return number

    return parse


def _loudness(value: object) -> float:
    if str(value).lower() in ("off", "0", "0.0"):
        return 0.0
    return float(_number(*LOUDNESS_LUFS)(value))


def _flag(value: object) -> bool:
    text = str(value).lower()
    if text in ("true", "1", "yes", "on"):
        return True
    if text in ("false", "0", "no", "off"):
        return False
    raise ValueError


def _word(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        text = str(value).lower()
        if text not in allowed:
            raise ValueError
        return text

    return parse


def _compile(value: object) -> str:
    text = str(value).lower()
    return text if text in ("auto", "force") else str(_flag(value)).lower()


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > 200 or "\0" in value:
        raise ValueError
    return value


def _names(value: object) -> tuple[str, ...]:
    listed = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError
    return tuple(_name(item) for item in listed)


def _device(value: object) -> str:
    text = str(value).lower()
    base, _, index = text.partition(":")
    if text in ("auto", "cpu", "cuda", "mps") or (base == "cuda" and index.isascii() and index.isdigit()):
        return text
    raise ValueError


def _folder(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    return Path(value).expanduser()


_FOLDER = "a folder: absolute, from ~, or below the folder Voiced"


KEYS: dict[str, Key] = {
    "model": Key("speech", _name, "an id that `voiced models` lists", "Which model speaks."),
    "voice": Key(
        "speech",
        _name,
        "an id that `voiced voices` lists",
        "Which voice; empty = the model's for the language.",
    ),
    "language": Key("speech", _name, "a BCP 47 tag such as en-GB", "Empty = found out from the text."),
    "format": Key("speech", _word(*FORMATS), ", ".join(FORMATS), "Format of the files made."),
    "loudness_lufs": Key(
        "speech",
        _loudness,
        "off, or {:g} to {:g}".format(*LOUDNESS_LUFS),
        "Loudness of the files made (EBU R 128), such as -23, as broadcast; 0 = off, as spoken.",
    ),
    "speed": Key("speech", _number(0.25, 4), "0.25 to 4", "1 = the voice's own speed, 2 = twice as fast."),
    "pitch": Key("speech", _number(0, 2), "0 to 2", "1 = the voice's own pitch."),
    "volume": Key("speech", _number(0, 2), "0 to 2", "1 = the voice's own volume."),
    "clause_pause_ms": Key("speech", _number(0, 10000, int), "0 to 10000", "Pause after a clause cut off."),
    "sentence_pause_ms": Key("speech", _number(0, 10000, int), "0 to 10000", "Pause between sentences."),
    "paragraph_pause_ms": Key("speech", _number(0, 30000, int), "0 to 30000", "Pause between paragraphs."),
    "chapter_pause_ms": Key("speech", _number(0, 60000, int), "0 to 60000", "Pause between chapters."),
    "drop_enabled": Key("folders", _flag, "true or false", "Whether the drop folder is watched."),
    "drop_folder": Key("folders", _folder, _FOLDER, "Texts put here become audio."),
    "audio_folder": Key("folders", _folder, _FOLDER, "Finished audio."),
    "done_folder": Key("folders", _folder, _FOLDER, "Texts whose audio is finished."),
    "failed_folder": Key("folders", _folder, _FOLDER, "Texts that could not be spoken, with the reason."),
    "scan_interval_s": Key(
        "folders", _number(1, 3600), "1 to 3600", "How often the drop folder is looked through."
    ),
    "settle_s": Key("folders", _number(0.1, 600), "0.1 to 600", "Quiet time where a writer cannot be seen."),
    "drop_lane": Key("folders", _word(*_LANES), ", ".join(_LANES), "Priority of dropped texts."),
    "subtitles": Key(
        "folders",
        _word("none", "vtt", "srt"),
        "none, vtt or srt",
        "Subtitles beside the audio of dropped texts.",
    ),
    "chapters": Key(
        "folders",
        _word("one-file", "folder"),
        "one-file or folder",
        "Dropped documents with chapters: one file with marks, or a folder with a file for each.",
    ),
    "drop_sidecars": Key(
        "folders", _flag, "true or false", "Whether NAME.voiced.toml beside a text says how it is spoken."
    ),
    "max_document_mb": Key("folders", _number(1, 4096, int), "1 to 4096", "Greatest document."),
    "device": Key("device", _device, _DEVICES, "Where models run; anything but auto locks.", ("DEVICE",)),
    "strict_device": Key("device", _flag, "true or false", "Refuse instead of taking another device."),
    "monitor_interval_s": Key("device", _number(1, 3600), "1 to 3600", "How often the load is measured."),
    "keep_gpu_asleep": Key(
        "device", _flag, "true or false", "Never wake a sleeping laptop GPU to measure it."
    ),
    "mixed_precision": Key(
        "device",
        _word("auto", "fp16", "bf16", "fp32"),
        "auto, fp16, bf16 or fp32",
        "Precision.",
        ("MIXED_PRECISION",),
    ),
    "quantization": Key(
        "device",
        _word("auto", "none", "int8"),
        "auto, none or int8",
        "Quantisation of weights.",
        ("QUANTIZATION",),
    ),
    "torch_compile": Key(
        "device",
        _compile,
        "auto, true, false or force",
        "torch.compile.",
        ("ENABLE_TORCH_COMPILE",),
    ),
    "threads": Key(
        "device",
        _number(0, 1024, int),
        "0 to 1024",
        "CPU threads of all workers; 0 = all cores.",
        ("OMP_NUM_THREADS",),
    ),
    "hold_on_battery": Key(
        "daemon", _flag, "true or false", "On battery, batch work of large models waits for mains power."
    ),
    "keep_awake": Key(
        "daemon", _flag, "true or false", "On mains power, no sleep by idleness while there is work."
    ),
    "queue_limit": Key("daemon", _number(1, 100000, int), "1 to 100000", "Unfinished jobs at most."),
    "workers": Key(
        "daemon", _number(0, 256, int), "0 to 256", "Segments spoken side by side on the CPU; 0 = cores."
    ),
    "keep_alive_s": Key(
        "daemon", _number(-1, 1e9), "-1 or seconds", "How long an idle model stays; -1 = for ever."
    ),
    "preload": Key(
        "daemon", _names, "a list of ids that `voiced models` lists", "Models that are loaded at the start."
    ),
    "prompt_cache_mb": Key(
        "daemon", _number(0, 1 << 20, int), "0 to 1048576", "Greatest size of the prompt cache."
    ),
    "weight_cache_gb": Key(
        "daemon", _number(0, 1 << 20, int), "0 to 1048576", "Greatest size of the weight cache."
    ),
    "segment_chars": Key("daemon", _number(0, 5000, int), "0 to 5000", "Greatest segment; 0 = the model's."),
    "segment_deadline_s": Key("daemon", _number(1, 3600), "1 to 3600", "Least time allowed for a segment."),
    "heartbeat_s": Key(
        "daemon", _number(0.5, 600), "0.5 to 600", "Silence after which a worker counts as hung."
    ),
    "attempts": Key("daemon", _number(1, 20, int), "1 to 20", "Attempts at a segment."),
    "shutdown_timeout_s": Key("daemon", _number(0, 600), "0 to 600", "Time for running segments at a stop."),
    "history_days": Key(
        "daemon", _number(0, 36500, int), "0 to 36500", "How long finished jobs are remembered."
    ),
    "log_level": Key(
        "daemon",
        _word("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "What the log tells.",
    ),
}
