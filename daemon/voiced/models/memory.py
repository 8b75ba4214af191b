"""Whether a model fits into memory, and who must go for it: pure decisions, and what this machine has measured.

The first estimate is the catalogue's; from the first load on it is what models of this kind really took here.
"""

import json
import math
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from voiced.models.spec import ModelSpec, weights_bytes

GIB = 2**30
QUANTILE = 0.9
"""Of the measured sizes: one bad day does not keep a model out for ever."""
MARGIN = 1.05
"""On top of what was measured: no two runs are the same."""
_KEPT = 50


class Verdict(Enum):
    """What becomes of a load."""

    FITS = "fits"
    EVICT = "evict"
    """Idle models go first."""
    WAIT = "wait"
    """It would fit once others have ended their work."""
    REFUSE = "refuse"


class Holder(NamedTuple):
    """A loaded model on the device in question."""

    model: str
    size_bytes: int
    is_idle: bool
    is_pinned: bool
    """Kept for ever by somebody's wish: given up last."""
    idle_since_s: float
    """Monotonic."""


class Admission(NamedTuple):
    """Whether a model may be loaded now."""

    verdict: Verdict
    evict: tuple[str, ...] = ()
    reason: str = ""


class Room(NamedTuple):
    """Memory of a device, in bytes; a total of 0 = not known."""

    available_bytes: int = 0
    total_bytes: int = 0
    reserve_bytes: int = 0
    """Left to the rest of the machine."""


def admit(need_bytes: int, room: Room, holders: Iterable[Holder], device: str = "cpu") -> Admission:
    """Return whether a model may be loaded, and which idle ones go first.

    Args:
        need_bytes: What it is expected to take.
        room: Of the device; where it is not known nothing is refused.
        holders: The models that are loaded there.
        device: For the words.
    """
    if not room.total_bytes:
        return Admission(Verdict.FITS)
    left = room.available_bytes - room.reserve_bytes
    if need_bytes <= left:
        return Admission(Verdict.FITS)
    holders = list(holders)
    idle = sorted(
        (holder for holder in holders if holder.is_idle), key=lambda one: (one.is_pinned, one.idle_since_s)
    )
    evicted: list[str] = []
    for holder in idle:
        left += holder.size_bytes
        evicted.append(holder.model)
        if need_bytes <= left:
            return Admission(Verdict.EVICT, tuple(evicted), f"{', '.join(evicted)} made room")
    busy = sum(holder.size_bytes for holder in holders if not holder.is_idle)
    if need_bytes <= left + busy:
        return Admission(Verdict.WAIT, reason="waits until another model has ended its work and made room")
    return Admission(Verdict.REFUSE, reason=_refusal(need_bytes, room, device))


def _refusal(need_bytes: int, room: Room, device: str) -> str:
    needs = f"it needs {_gib(need_bytes)} of memory on {device}"
    if need_bytes > room.total_bytes - room.reserve_bytes:
        return f"{needs}, which has {_gib(room.total_bytes)}: take a smaller model"
    return (
        f"{needs}, where {_gib(room.available_bytes)} are free and {_gib(room.reserve_bytes)} stay free: "
        "close programs, or take a smaller model"
    )


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"


class Kind(NamedTuple):
    """What a measured size belongs to."""

    model: str
    device: str
    """`cpu`, `cuda` or `mps`."""
    precision: str
    quantization: str


def kind_of(spec: ModelSpec, device: str, precision: str, quantization: str) -> Kind:
    """Return what the size of a model on a device belongs to."""
    return Kind(spec.model, device.partition(":")[0], precision, quantization)


class Sizes:
    """What models took on this machine: their greatest size of each life, the last lives of each kind.

    Args:
        kept: As `dump` gave it.
    """

    def __init__(self, kept: str = "") -> None:
        self._sizes: dict[Kind, list[int]] = _load(kept)

    def learn(self, kind: Kind, size_bytes: int) -> None:
        """Take in the greatest size of one worker."""
        if size_bytes > 0:
            self._sizes[kind] = [*self._sizes.get(kind, []), size_bytes][-_KEPT:]

    def is_measured(self, kind: Kind) -> bool:
        """Return whether this machine knows."""
        return kind in self._sizes

    def estimate(self, spec: ModelSpec, kind: Kind) -> int:
        """Return the bytes that a model will take.

        Args:
            spec: It.
            kind: Where and how.
        """
        measured = sorted(self._sizes.get(kind, []))
        if measured:
            return int(measured[math.ceil(QUANTILE * len(measured)) - 1] * MARGIN)
        return weights_bytes(spec, kind.precision, kind.quantization) + spec.work_bytes

    def dump(self) -> str:
        """Return everything measured, for the settings."""
        return json.dumps([[*kind, sizes] for kind, sizes in self._sizes.items()])


def _load(kept: str) -> dict[Kind, list[int]]:
    try:
        rows = json.loads(kept or "[]")
        return {Kind(*map(str, row[:4])): [int(size) for size in row[4]][-_KEPT:] for row in rows}
    except (ValueError, TypeError, IndexError):
        return {}  # measured again soon enough
