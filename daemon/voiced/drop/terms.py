"""What the drop folder's parts agree on: the folders and rules, whom they tell, who knows of writers."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from voiced.drop.claim import Claim

Lease = Callable[[Path], bool | None]
"""Tells whether somebody writes a file; None = that cannot be told."""


class DropSettings(NamedTuple):
    """Where the folders lie, and the rules."""

    drop: Path
    failed: Path
    max_bytes: int
    settle_s: float = 2.0
    scan_interval_s: float = 30.0
    apart: tuple[Path, ...] = ()
    """Folders that may lie below the drop folder and are not looked into; `failed` is one of them by itself."""


class DropHooks(NamedTuple):
    """What the intake asks and tells; all are called from its thread."""

    claimed: Callable[[Claim], None]
    """A file is ours. An id that is known already is a claim of an earlier run: nothing new."""
    refused: Callable[[Path, str], None]
    """A file was refused: where it lies now, and why."""
    room: Callable[[], int]
    """How many more claims are welcome; counts those that `claimed` has told."""
