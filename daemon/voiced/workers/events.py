"""What the pool tells of models."""

from enum import Enum
from typing import NamedTuple

from voiced.workers.spawn import RunAs


class PoolEventKind(Enum):
    """What the pool tells."""

    LOADING = "loading"
    LOADED = "loaded"
    UNLOADED = "unloaded"
    REPLACED = "replaced"
    BROKEN = "broken"
    SWITCHED = "switched"


class PoolEvent(NamedTuple):
    """Something that happened to a model."""

    kind: PoolEventKind
    model: str
    run: RunAs
    """Where and how it runs, or did."""
    text: str = ""
    """The reason, or what was loaded last."""
    seconds: float = 0.0
    fraction: float = 0.0
    old_device: str = ""
    held_bytes: int = 0
    """Memory on a GPU that the worker held."""
