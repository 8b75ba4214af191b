"""Sidecars: small TOML files beside a text, or in a folder, that say how it is to be spoken. Pure.

`NAME.voiced.toml` is one file's, with or without the suffix of NAME; `voiced.toml` is for all files in its folder and
below. The nearer one wins, key by key. A sidecar may be a stranger's: it gives words and numbers from a fixed list,
never a path and never a device, and one bad key does not hide the others.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

from voiced.config.keys import KEYS
from voiced.files.names import printable, shorten, split_suffix
from voiced_ipc.messages import Chapters, Subtitles

SIDECAR_END = ".voiced.toml"
FOLDER_SIDECAR = "voiced.toml"
MAX_SIDECAR_BYTES = 64 << 10
_MAX_PROBLEMS = 10
_MAX_BAD_LINES = 100
_SHOWN_CHARS = 40
_MAX_DESCRIPTION_CHARS = 1000
_MAX_DOTS = 1000
"""In a line: a key of very many parts costs the parser the square of their number."""
_ID = re.compile(r"[\w!][\w .:+@()-]*")
"""Of models, voices and languages: nothing that could lead to another folder."""
_SIDECAR = re.compile(r"(?:.*\.)?voiced(?: \(\d+\))?\.toml", re.DOTALL | re.IGNORECASE)
_LOUDNESS_LUFS = (-40.0, -5.0)


class Wishes(NamedTuple):
    """How a text is to be spoken, as far as somebody said; None = left open."""

    model: str | None = None
    voice: str | None = None
    language: str | None = None
    format: str | None = None
    speed: float | None = None
    pitch: float | None = None
    volume: float | None = None
    priority: str | None = None
    """A lane."""
    loudness: float | None = None
    """LUFS of the whole file; 0 = as it is."""
    subtitles: str | None = None
    chapters: str | None = None
    """One of `Chapters`."""
    description: str | None = None
    seed: int | None = None


class Sidecars(NamedTuple):
    """What all the sidecars of one text say together."""

    wishes: Wishes = Wishes()
    problems: tuple[str, ...] = ()
    """What could not be used of them, in words."""
    digests: tuple[str, ...] = ()
    """Of each that says something, and of what they say together: tell news from what is known."""

    def has_news(self, known: tuple[str, ...]) -> bool:
        """Return whether one of them says what is not known, and is heard: what a nearer one says too is not.

        One that went is no news.

        Args:
            known: The digests of an earlier time.
        """
        return digest_of(self.wishes) not in known and not set(self.digests) <= set(known)


class Rule(NamedTuple):
    """How one key is read."""

    parse: Callable[[object], Any]
    allowed: str
    """What is allowed, in words."""


def _id_of(key: str) -> Rule:
    def parse(value: object) -> str:
        name: str = KEYS[key].parse(value)
        if not _ID.fullmatch(name) or ".." in name:
            raise ValueError
        return name

    return Rule(parse, KEYS[key].allowed)


def _setting(key: str) -> Rule:
    return Rule(KEYS[key].parse, KEYS[key].allowed)


def _one_of(*words: str) -> Rule:
    def parse(value: object) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return Rule(parse, f"{', '.join(words[:-1])} or {words[-1]}")


def _loudness(value: object) -> float:
    if value is False or value == "off":
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if not _LOUDNESS_LUFS[0] <= value <= _LOUDNESS_LUFS[1]:
        raise ValueError
    return float(value)


def _description(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_DESCRIPTION_CHARS or "\0" in value:
        raise ValueError
    return value


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise ValueError
    return value


RULES: dict[str, Rule] = {
    "model": _id_of("model"),
    "voice": _id_of("voice"),
    "language": _id_of("language"),
    "format": _setting("format"),
    "speed": _setting("speed"),
    "pitch": _setting("pitch"),
    "volume": _setting("volume"),
    "priority": _setting("drop_lane"),
    "loudness": Rule(
        _loudness, f"off, or LUFS from {_LOUDNESS_LUFS[0]:g} to {_LOUDNESS_LUFS[1]:g}, such as -19"
    ),
    "subtitles": _one_of(*(kind.value for kind in Subtitles)),
    "chapters": _one_of(*(kind.value for kind in Chapters)),
    "description": Rule(
        _description, f"the voice or the manner in words, at most {_MAX_DESCRIPTION_CHARS} characters"
    ),
    "seed": Rule(_seed, "a whole number from 0 to 4294967295"),
}


def parse_sidecar(data: bytes) -> tuple[Wishes, tuple[str, ...]]:
    """Return what a sidecar says, and what could not be used of it; never raises, whatever the bytes are."""
    if len(data) > MAX_SIDECAR_BYTES:
        return Wishes(), (f"it is larger than {MAX_SIDECAR_BYTES >> 10} KiB",)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Wishes(), ("it is no UTF-8; save it as a plain text in UTF-8",)
    table, problems = _parse_toml(text)
    found: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value in table.items():
        rule = RULES.get(key)
        if rule is None:
            unknown.append(_shown(key))
            continue
        try:
            found[key] = rule.parse(value)
        except (ValueError, TypeError, OverflowError):
            problems.append(f"{key} = {_shown(value)} cannot be used; allowed: {rule.allowed}")
    if unknown:
        problems.append(f"{', '.join(_at_most(unknown))} cannot be set here; what can: {', '.join(RULES)}")
    return Wishes(**found), _at_most(problems)


def merged(*wishes: Wishes) -> Wishes:
    """Return all wishes as one: of each key the first that is said.

    Args:
        wishes: The nearest first.
    """
    said = (
        next((value for value in values if value is not None), None) for values in zip(*wishes, strict=True)
    )
    return Wishes(*said) if wishes else Wishes()


def digest_of(wishes: Wishes) -> str:
    """Return the digest of what a sidecar says; empty = it says nothing. Comments and order do not count."""
    if wishes == Wishes():
        return ""
    return hashlib.sha256(repr(wishes).encode("utf-8", "surrogatepass")).hexdigest()[:16]


# -- names --------------------------------------------------------------------------------------------


def is_sidecar(name: str) -> bool:
    """Return whether a file of this name is a sidecar: one file's, or a folder's, or one that had to get a number."""
    return _SIDECAR.fullmatch(name) is not None


def own_names(name: str) -> tuple[str, ...]:
    """Return the names that a file's own sidecar may have, the one that wins first.

    A name so long that a sidecar's would not fit has none, rather than one that it shares with others.
    """
    stem, suffix = split_suffix(name)
    stems = (name, stem) if suffix and stem else (name,)
    wished = ((stem, f"{stem}{SIDECAR_END}") for stem in stems)
    return tuple(sidecar for stem, sidecar in wished if shorten(stem, SIDECAR_END) == sidecar)


_Path = TypeVar("_Path", bound=PurePath)


def places(relative: _Path) -> tuple[_Path, ...]:
    """Return where sidecars of a file may lie below the drop folder, the nearest first.

    Args:
        relative: The file's own place below the drop folder.
    """
    own = (relative.with_name(name) for name in own_names(relative.name))
    return (*own, *(folder / FOLDER_SIDECAR for folder in relative.parents))


# -- parts --------------------------------------------------------------------------------------------


def _parse_toml(text: str) -> tuple[dict[str, Any], list[str]]:
    """Return the keys, and what is wrong; where the whole is no TOML, every line that is some for itself."""
    # Here, so that a daemon that meets no sidecar does not pay for it.
    import tomllib

    lines = text.splitlines()
    long = [number for number, line in enumerate(lines, 1) if line.count(".") > _MAX_DOTS]
    if not long:
        try:
            return tomllib.loads(text), []
        except (ValueError, RecursionError):
            pass
    table: dict[str, Any] = {}
    problems: list[str] = []
    bad: list[int] = []
    for number, line in enumerate(lines, 1):
        found = {} if number in long else _line(line)
        if found is None or number in long:
            bad.append(number)
            if len(bad) > _MAX_BAD_LINES:
                problems.append(f"it was not read beyond line {number}")
                break
            continue
        twice = [key for key in found if key in table]
        problems += [
            f"line {number}: {_shown(key)} stands there twice; the first one counts" for key in twice
        ]
        table = found | table
    shown = ", ".join(map(str, bad[:_MAX_PROBLEMS])) + (" and others" if len(bad) > _MAX_PROBLEMS else "")
    problems.insert(0, f"line {shown} cannot be read as TOML (words need quotes) and was left out")
    return table, problems


def _line(line: str) -> dict[str, Any] | None:
    import tomllib

    try:
        return tomllib.loads(line)
    except (ValueError, RecursionError):
        return None


def _at_most(problems: list[str]) -> tuple[str, ...]:
    if len(problems) <= _MAX_PROBLEMS:
        return tuple(problems)
    return (*problems[: _MAX_PROBLEMS - 1], f"and {len(problems) - _MAX_PROBLEMS + 1} more")


def _shown(value: object) -> str:
    """Return a key or a value fit for a message, however large or strange it is."""
    if isinstance(value, str):
        shown = printable(value.encode("utf-8", "backslashreplace").decode()[:_SHOWN_CHARS])
        return f"{shown!r}"
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of very many digits"
    return str(value).lower() if isinstance(value, bool) else str(value)
