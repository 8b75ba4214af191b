"""What the drop folder's parts agree on: the folders and rules, whom they tell, who knows of writers."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from voiced.drop.claim import Claim
from voiced.drop.sidecar import Sidecars
from voiced.drop.verdict import Facts, Verdict

Lease = Callable[[Path], bool | None]
"""Tells whether somebody writes a file; None = that cannot be told."""
Judge = Callable[[Path, Facts, float], Verdict]
"""Gives the verdict on a file, from the facts and for how many seconds it was quiet."""


class DropSettings(NamedTuple):
    """Where the folders lie, and the rules."""

    drop: Path
    failed: Path
    max_bytes: int
    settle_s: float = 2.0
    scan_interval_s: float = 30.0
    apart: tuple[Path, ...] = ()
    """Folders that may lie below the drop folder and are not looked into; `failed` is one of them by itself."""
    has_sidecars: bool = True
    """Whether files beside the texts may say how they are spoken."""


class DropHooks(NamedTuple):
    """What the intake asks and tells; all are called from its thread."""

    claimed: Callable[[Claim, Sidecars], None]
    """A file is ours, and this is said of it. An id that is known already is a claim of an earlier run, or one of
    which something else is said now."""
    refused: Callable[[Path, str], None]
    """A file was refused: where it lies now, and why."""
    room: Callable[[], int]
    """How many more claims are welcome; counts those that `claimed` has told."""
