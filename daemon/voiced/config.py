"""The settings of voiced: one frozen `Config` from defaults < TOML < environment < command line.

One bad line never leaves the user mute: the default holds for that key, and a `Problem` names file, key and what is
allowed. Where the wrong default could hurt, that part closes instead: a bad device means the CPU, a bad folder means
that the drop folder is off. `voiced config --example` prints `example()`.

Read before the sockets are bound, so this module imports little: tomllib only where there is a file.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from voiced.audio.formats import FORMATS, LOUDNESS_LUFS
from voiced.paths import Paths

LANES = ("interactive", "normal", "batch")
DEVICES = "auto, cpu, cuda, cuda:N or mps"


class Config(NamedTuple):
    """The settings; the keys of `voiced.toml` are these names below the tables that `KEYS` tells."""

    model: str = "espeak"
    voice: str = ""
    language: str = ""
    format: str = "wav"
    loudness_lufs: float = 0.0
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0
    clause_pause_ms: int = 80
    sentence_pause_ms: int = 250
    paragraph_pause_ms: int = 600
    chapter_pause_ms: int = 1500

    drop_enabled: bool = True
    drop_folder: Path = Path("Drop")
    audio_folder: Path = Path("Audio")
    done_folder: Path = Path("Done")
    failed_folder: Path = Path("Failed")
    scan_interval_s: float = 30.0
    settle_s: float = 2.0
    drop_lane: str = "batch"
    subtitles: str = "none"
    chapters: str = "one-file"
    drop_sidecars: bool = True
    max_document_mb: int = 64

    device: str = "auto"
    strict_device: bool = False
    monitor_interval_s: float = 5.0
    keep_gpu_asleep: bool = True
    mixed_precision: str = "auto"
    quantization: str = "auto"
    torch_compile: str = "auto"
    threads: int = 0

    hold_on_battery: bool = True
    keep_awake: bool = True

    queue_limit: int = 512
    workers: int = 0
    keep_alive_s: float = 300.0
    preload: tuple[str, ...] = ()
    prompt_cache_mb: int = 512
    weight_cache_gb: int = 20
    segment_chars: int = 0
    segment_deadline_s: float = 30.0
    heartbeat_s: float = 5.0
    attempts: int = 3
    shutdown_timeout_s: float = 10.0
    history_days: int = 90
    log_level: str = "info"


class Key(NamedTuple):
    """How one key is read."""

    table: str
    parse: Callable[[object], Any]
    allowed: str
    """What is allowed, in words."""
    about: str
    variables: tuple[str, ...] = ()
    """Further environment names that are honoured, beside VOICED_<KEY>."""


class Problem(NamedTuple):
    """A setting that could not be used."""

    source: str
    """The file, or the environment variable."""
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.message}"


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
    "drop_lane": Key("folders", _word(*LANES), ", ".join(LANES), "Priority of dropped texts."),
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
    "device": Key("device", _device, DEVICES, "Where models run; anything but auto locks.", ("DEVICE",)),
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

_CLOSED: dict[str, tuple[str, Any]] = {
    # key that is wrong: (key that closes, the closed value)
    "device": ("device", "cpu"),
    "strict_device": ("strict_device", True),
    "drop_enabled": ("drop_enabled", False),
    "drop_sidecars": ("drop_sidecars", False),
    "drop_folder": ("drop_enabled", False),
    "audio_folder": ("drop_enabled", False),
    "done_folder": ("drop_enabled", False),
    "failed_folder": ("drop_enabled", False),
}


def load_config(
    paths: Paths, environ: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> tuple[Config, tuple[Problem, ...]]:
    """Return the settings and what could not be used of them; never raises for a bad setting.

    Args:
        paths: Where the file lies; relative folders are below `paths.home`.
        environ: The environment; None = this process's. A `.env` beside the file comes first.
        overrides: From the command line.
    """
    env = _dotenv(paths.config / ".env") | dict(os.environ if environ is None else environ)
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    closed: dict[str, tuple[str, Any]] = {}
    for source, key, value in [
        *_from_file(paths.config_file, problems),
        *_from_environment(env),
        *(("command line", key, value) for key, value in (overrides or {}).items()),
    ]:
        try:
            values[key] = KEYS[key].parse(value)
            closed.pop(key, None)  # mended by a source that goes before
        except (ValueError, TypeError, OverflowError, RuntimeError):  # int(inf); the home of no user
            message = f"{value!r} cannot be used; allowed: {KEYS[key].allowed}"
            if key in _CLOSED:
                name, closed_value = closed[key] = _CLOSED[key]
                message += f" ({name} = {str(closed_value).lower()} until it is mended)"
            problems.append(Problem(source, key, message))
    # Last, so that no good line for the closed key opens it again.
    return _absolute(Config(**values | dict(closed.values())), paths.home), tuple(problems)


def _absolute(config: Config, home: Path) -> Config:
    folders = ("drop_folder", "audio_folder", "done_folder", "failed_folder")
    return config._replace(**{name: home / getattr(config, name) for name in folders})


def _from_file(file: Path, problems: list[Problem]) -> list[tuple[str, str, object]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(str(file), "file", f"cannot be read ({error}); the defaults hold"))
        return []
    import tomllib

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        tables, message = _good_lines(text, error)
        problems.append(Problem(str(file), "file", message))
    found: list[tuple[str, str, object]] = []
    for table, content in tables.items():
        if not isinstance(content, dict):
            problems.append(Problem(str(file), table, f"stands outside a table; tables: {_tables()}"))
            continue
        for key, value in content.items():
            if key in KEYS and KEYS[key].table == table:
                found.append((str(file), key, value))
            else:
                problems.append(Problem(str(file), f"{table}.{key}", _unknown(key)))
    return found


def _good_lines(text: str, error: Exception) -> tuple[dict[str, Any], str]:
    """One line that is no TOML must not cost the others: leave out the line that the parser stops at."""
    import re
    import tomllib

    lines = text.splitlines()
    dropped: list[int] = []
    for _ in range(len(lines)):
        place = re.search(r"at line (\d+)", str(error))
        number = int(place[1]) if place else len(lines)
        number = min(number, len(lines))
        while number in dropped and number > 1:
            number -= 1
        dropped.append(number)
        lines[number - 1] = ""
        try:
            tables = tomllib.loads("\n".join(lines))
        except tomllib.TOMLDecodeError as again:
            error = again
            continue
        return tables, f"line {', '.join(map(str, sorted(dropped)))} is no TOML and was left out"
    return {}, "is no TOML; the defaults hold"


def _from_environment(env: Mapping[str, str]) -> list[tuple[str, str, object]]:
    found: list[tuple[str, str, object]] = []
    for key, rule in KEYS.items():
        for variable in (*rule.variables, f"VOICED_{key.upper()}"):
            if env.get(variable, "") != "":
                found.append((variable, key, env[variable]))
    if env.get("FORCE_TORCH_COMPILE", "") == "1":
        found.append(("FORCE_TORCH_COMPILE", "torch_compile", "force"))
    return found


def _dotenv(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip().removeprefix("export "): value.strip().strip("\"'") for name, _, value in pairs}


def _unknown(key: str) -> str:
    if key in KEYS:
        return f"belongs into the table [{KEYS[key].table}]"
    import difflib

    near = difflib.get_close_matches(key, KEYS, n=1)
    return "no such setting" + (f"; did you mean {KEYS[near[0]].table}.{near[0]}?" if near else "")


def _tables() -> str:
    return ", ".join(dict.fromkeys(f"[{rule.table}]" for rule in KEYS.values()))


def example() -> str:
    """Return a commented `voiced.toml` with every key at its default."""
    lines = ["# The settings of voiced. Every line shows its default; take away the # to change it.", ""]
    table = ""
    for key, rule in KEYS.items():
        if rule.table != table:
            table = rule.table
            lines += [f"[{table}]", ""]
        value = Config._field_defaults[key]
        shown = str(value).lower() if isinstance(value, bool) else value
        shown = f'"{shown}"' if isinstance(value, str | Path) else shown
        shown = list(value) if isinstance(value, tuple) else shown
        variables = "".join(f", environment {name}" for name in rule.variables)
        lines += [f"# {rule.about} Allowed: {rule.allowed}{variables}.", f"# {key} = {shown}", ""]
    return "\n".join(lines)
