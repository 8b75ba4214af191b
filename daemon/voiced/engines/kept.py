"""Weights that loading has to compute, kept for the next load: a safetensors file and what is known of it beside it.

What is read was looked at first: size, time and inode as they were, else the checksum. Whatever is wrong with it, it
is made anew and takes the file's place. Imported by engines with torch; nobody else.
"""

import contextlib
import errno
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from voiced.files.atomic import write_atomically
from voiced.models.weight_cache import WeightFacts, dump_weight_facts, read_weight_facts

logger = logging.getLogger(__name__)

Tensors = dict[str, torch.Tensor]


class Kept(NamedTuple):
    """Weights, and where they came from."""

    tensors: Tensors
    is_hit: bool
    what: str
    """In words, for a `LoadStep`."""


def weights_key(parts: Mapping[str, str]) -> str:
    """Return the key of computed weights: SHA-256 over everything that decides what they are, and torch's version.

    Args:
        parts: Such as the files with their sizes, precision, quantisation, and the version of the code that computes.
    """
    digest = hashlib.sha256()
    for name, value in sorted({**parts, "torch": version("torch")}.items()):
        for word in (name.encode(), value.encode()):
            digest.update(len(word).to_bytes(8, "little") + word)
    return digest.hexdigest()


def kept(folder: Path | None, key: str, model: str, make: Callable[[], Tensors]) -> Kept:
    """Return weights from the cache, else make and keep them.

    Args:
        folder: The cache; None = nothing is kept.
        key: See `weights_key`.
        model: Whose they are, for people.
        make: Computes them, on the CPU.
    """
    if folder is None:
        return Kept(make(), False, "weights computed")
    path = folder / f"{key}.safetensors"
    tensors, reason = _read(path)
    if tensors is not None:
        return Kept(tensors, True, "weights from the cache")
    tensors = make()
    try:
        _write(path, tensors, model, reason)
    except (OSError, SafetensorError) as error:
        for half in (path, path.with_suffix(".json")):
            with contextlib.suppress(OSError):
                half.unlink()
        logger.warning("weights of %s cannot be kept: %s", model, error)
        return Kept(tensors, False, "weights computed, not kept: the cache cannot be written")
    return Kept(tensors, False, f"weights computed and kept ({reason})")


def _read(path: Path) -> tuple[Tensors | None, str]:
    """What the cache has, or why it has nothing."""
    facts_path = path.with_suffix(".json")
    try:
        facts = read_weight_facts(facts_path)
        found = path.stat()
        if facts.torch != version("torch"):
            return None, f"made by torch {facts.torch}"
        if found.st_size != facts.size_bytes:
            return None, "file damaged"
        is_untouched = (found.st_mtime_ns, found.st_ino) == (facts.mtime_ns, facts.inode)
        if not is_untouched and _sha256(path) != facts.sha256:
            return None, "file damaged"
        tensors = load_file(path)
    except FileNotFoundError:
        return None, "first use"
    except (OSError, ValueError, SafetensorError) as error:
        logger.warning("kept weights cannot be used (%s): they are computed anew", error)
        return None, "file damaged"
    os.utime(facts_path)
    return tensors, ""


def _write(path: Path, tensors: Tensors, model: str, reason: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    room = os.statvfs(path.parent)
    if size > room.f_bavail * room.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    # The name that a sweep knows for what a crash left half written.
    temporary = path.parent / f".voiced-{os.urandom(8).hex()}.tmp"
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        temporary.chmod(0o600)
        digest = _sha256(temporary)
        path.with_suffix(".json").unlink(missing_ok=True)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    found = path.stat()
    facts = WeightFacts(
        model, version("torch"), digest, found.st_size, found.st_mtime_ns, found.st_ino, reason
    )
    write_atomically(path.with_suffix(".json"), dump_weight_facts(facts))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
