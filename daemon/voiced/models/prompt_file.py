"""A kept prompt, as a file: a safetensors file whose metadata says what it is and whom it fits.

The worker writes and reads the tensors (`voiced.child.prompts`); the daemon reads only what is told here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from voiced.models.tensor_header import TensorHeader, read_header

FORMAT, VERSION = "voiced-prompt", "1"
SUFFIX = ".prompt"


class PromptFacts(NamedTuple):
    """What a kept prompt says of itself."""

    key: str
    identity: Mapping[str, str]
    """Of the model that made it."""
    voice: str
    recordings: str
    """Digest of the recordings that it was made of."""
    sha256: str
    """Of the tensors' bytes."""
    values: Mapping[str, str]
    """The prompt's words."""


def pack_facts(facts: PromptFacts) -> dict[str, str]:
    """Return the metadata of a file."""
    return {
        "format": FORMAT,
        "version": VERSION,
        **facts._replace(identity={}, values={})._asdict(),
        "identity": json.dumps(dict(facts.identity), sort_keys=True),
        "values": json.dumps(dict(facts.values), sort_keys=True),
    }


def facts_of(header: TensorHeader) -> PromptFacts:
    """Return what a file's metadata says.

    Raises:
        ValueError: If it is no prompt of this version.
    """
    found = header.metadata
    if (found.get("format"), found.get("version")) != (FORMAT, VERSION):
        raise ValueError("it is no prompt of this version")
    try:
        plain = {name: found[name] for name in ("key", "voice", "recordings", "sha256")}
        return PromptFacts(identity=_words(found["identity"]), values=_words(found["values"]), **plain)
    except (KeyError, RecursionError) as error:
        raise ValueError("it does not say what it is") from error


def read_facts(path: Path) -> PromptFacts:
    """Return what a file says of itself; its tensors are not read.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no prompt of this version.
    """
    return facts_of(read_header(path))


def _words(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("it does not say what it is")
    return found
