"""Claims that were handed on and whose texts are not done yet: a sidecar that comes late is still theirs.

Belongs to the intake's thread, which is not told when a job ends: a claim is over when its text has left its place.
"""

import math
import os
from pathlib import Path

from voiced.drop.claim import Claim
from voiced.drop.sidecar import Sidecars, own_names, places
from voiced.drop.sidecar_reader import SidecarReader
from voiced.drop.terms import DropHooks

_WAITS_S = (0.25, 30.0)
"""Between the first two looks at a sidecar that is still being written, and at most."""


class Handed:
    """Knows which sidecars are awaited by whom, and tells of those that come.

    Args:
        reader: Reads them.
        hooks: Where a claim is told once more, with what is said of it now.
    """

    def __init__(self, reader: SidecarReader, hooks: DropHooks) -> None:
        self._reader = reader
        self._hooks = hooks
        self._claims: dict[str, tuple[Claim, Sidecars]] = {}
        self._awaited: dict[str, set[str]] = {}
        """Ids of jobs by where a sidecar of theirs may lie."""
        self._due: dict[str, tuple[float, float]] = {}
        """Sidecars that were seen, when to look at them, and how long to wait after that."""
        self._known: dict[str, tuple[int, ...] | None] = {}
        """How the folders' sidecars looked that all claims below know of."""

    def add(self, claim: Claim, sidecars: Sidecars) -> None:
        """Remember a claim, and what its job was told."""
        self._claims[claim.job_id] = (claim, sidecars)
        for place in places(claim.relative):
            self._awaited.setdefault(str(place), set()).add(claim.job_id)

    def prune(self) -> None:
        """Forget the claims that are over."""
        for claim, _ in list(self._claims.values()):
            if not os.path.lexists(claim.path):
                self._forget(claim)
        if not self._claims:
            self._known.clear()

    def _forget(self, claim: Claim) -> None:
        del self._claims[claim.job_id]
        for place in map(str, places(claim.relative)):
            self._awaited[place].discard(claim.job_id)
            if not self._awaited[place]:
                del self._awaited[place]

    def note(self, relative: str) -> None:
        """A sidecar was seen; costs a look-up where nobody awaits it."""
        if relative in self._awaited:
            self._due[relative] = 0.0, _WAITS_S[0]

    @property
    def next_at(self) -> float:
        """When the next look is due, inf for never."""
        return min((look_at for look_at, _ in self._due.values()), default=math.inf)

    def turn(self, now: float) -> None:
        """Look at the sidecars that are due, and tell the claims that they are news to."""
        for relative, (look_at, wait_s) in list(self._due.items()):
            if look_at > now:
                continue
            if self._consider(relative, now):
                self._due[relative] = now + wait_s, min(2 * wait_s, _WAITS_S[1])
            else:
                del self._due[relative]

    def _consider(self, relative: str, now: float) -> bool:
        """Return whether it is to be looked at again."""
        version = self._reader.version(Path(relative))
        if version is None or self._known.get(relative) == version:
            return False
        is_waiting = False
        for job_id in sorted(self._awaited.get(relative, ())):
            claim, told = self._claims[job_id]
            if not os.path.lexists(claim.path):
                self._forget(claim)
                continue
            sidecars, is_busy = self._reader.gather(claim, now)
            is_waiting |= is_busy
            if not is_busy and (
                sidecars.has_news(told.digests) or not set(sidecars.problems) <= set(told.problems)
            ):
                self._claims[job_id] = (claim, sidecars)
                self._hooks.claimed(claim, sidecars)
        if not is_waiting:
            self._known[relative] = version
        return is_waiting


def own_places(relative: Path) -> set[Path]:
    """Return where a text's own sidecars may lie below the drop folder."""
    return {relative.with_name(name) for name in own_names(relative.name)}
