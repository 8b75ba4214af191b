"""The settings of voiced: one frozen `Config` from defaults < TOML < environment < command line.

One bad line never leaves the user mute: the default holds for that key, and a `Problem` names file, key and what is
allowed. Where the wrong default could hurt, that part closes instead: a bad device means the CPU, a bad folder means
that the drop folder is off. `voiced config --example` prints `example()`.

Read before the sockets are bound, so this module imports little: tomllib only where there is a file.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from voiced.config.keys import KEYS
from voiced.paths import Paths


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


class Problem(NamedTuple):
    """A setting that could not be used."""

    source: str
    """The file, or the environment variable."""
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.key}: {self.message}"


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
