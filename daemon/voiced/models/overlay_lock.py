"""The locks of engine families: which packages an overlay holds, each with its version and its hashes. Pure.

A lock is what `uv pip compile --no-deps --generate-hashes` writes of the `.in` file beside it; `.ci/lock` makes them
all anew. It names no address: the packages come from wherever the user's pip looks.
"""

import re
from typing import NamedTuple

FORBIDDEN = ("numpy", "safetensors", "soundfile", "soxr", "torch", "torchvision", "triton", "voiced")
"""Distributions of the main environment: a second copy in an overlay would be loaded into the same process."""
FORBIDDEN_START = ("cuda-", "nvidia-")
"""What torch brings along, by the beginnings of their names."""

_ENTRY = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"(?: ; (?P<marker>[^\\]+?))?"
    r"(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)"
)


class Pin(NamedTuple):
    """One package of a lock."""

    name: str
    """As `normal_name` has it."""
    version: str
    marker: str
    """For which machines and Pythons it is meant; empty = for all."""
    hashes: tuple[str, ...]
    """SHA-256 of each file that may be installed, in hex."""


def parse_lock(text: str) -> tuple[Pin, ...]:
    """Return the packages of a lock, in its order.

    Raises:
        ValueError: If a line is anything else than a pinned package with SHA-256 hashes; addresses and options too.
    """
    pins = []
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ValueError(f"not a package with version and hashes: {entry[:80]}")
        hashes = tuple(part.rpartition(":")[2] for part in match["hashes"].split())
        pins.append(Pin(normal_name(match["name"]), match["version"], match["marker"] or "", hashes))
    return tuple(pins)


def normal_name(name: str) -> str:
    """Return a distribution's name as indexes compare it: `Piper_TTS` and `piper-tts` are one."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_forbidden(name: str) -> bool:
    """Return whether a distribution belongs to the main environment alone.

    Args:
        name: As `normal_name` has it.
    """
    return name in FORBIDDEN or name.startswith(FORBIDDEN_START)
