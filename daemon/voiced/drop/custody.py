"""Claims on their way: taken from the folder, and handed on as soon as nobody can write them any more.

A writer who had the file open before the claim may go on after the rename. Belongs to the intake's thread.
"""

import logging
import math
from dataclasses import dataclass

from voiced.drop.claim import Claim, discard_claim, find_claims, refuse
from voiced.drop.handed import Handed
from voiced.drop.sidecar import Sidecars
from voiced.drop.sidecar_reader import SidecarReader
from voiced.drop.terms import DropHooks, DropSettings, Judge
from voiced.drop.verdict import Action, Facts, Verdict, look
from voiced.files.names import printable

_logger = logging.getLogger(__name__)

_HELD_LOOKS_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
RETRY_S = 30.0
"""How long a file that could not be moved is left in peace."""

_SIDECAR_WAIT_S = 10.0
"""For so long a claim waits for a sidecar that is being written; one that comes later is told later."""


@dataclass(slots=True)
class _Held:
    """A claim that somebody may still write, or that the receiver has not been told of."""

    claim: Claim
    version: tuple[int, ...]
    quiet_since: float
    look_at: float = 0.0
    looks: int = 0
    ready_since: float | None = None
    """Since when only a sidecar is missing."""


class Custody:
    """The claims that are ours and not handed on yet.

    Args:
        settings: The folders.
        hooks: Where claims and refusals go.
        judge: Gives the verdict on a file.
        reader: Reads the sidecars.
        handed: Is told what was handed on.
    """

    def __init__(
        self, settings: DropSettings, hooks: DropHooks, judge: Judge, reader: SidecarReader, handed: Handed
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._judge = judge
        self._reader = reader
        self._handed = handed
        self._held: dict[str, _Held] = {}
        self._troubled = ("", "")

    def __len__(self) -> int:
        """Claims that are held."""
        return len(self._held)

    @property
    def trouble(self) -> str:
        """What keeps a claim from being refused; empty when all is well."""
        job_id, trouble = self._troubled
        return trouble if job_id in self._held else ""

    @property
    def next_at(self) -> float:
        """When the next look is due, inf for never."""
        return min((held.look_at for held in self._held.values()), default=math.inf)

    def recover(self, now: float) -> None:
        """Take up the claims that an earlier run left.

        Raises:
            OSError: If they cannot be read.
        """
        for claim in find_claims(self._settings.drop):
            self._held.setdefault(claim.job_id, _Held(claim, (), now))

    def hint(self) -> None:
        """Look at all of them: a writer may have gone."""
        for held in self._held.values():
            held.look_at = 0.0

    def take(self, claim: Claim, version: tuple[int, ...], quiet_since: float, now: float) -> None:
        """Take over a claim just made, and hand it on if that can be."""
        held = _Held(claim, version, quiet_since)
        self._held[claim.job_id] = held
        self._check(held, now)

    def turn(self, now: float) -> None:
        """Hand on, or refuse, what is due."""
        for held in list(self._held.values()):
            if held.look_at <= now:
                self._check(held, now)

    def _check(self, held: _Held, now: float) -> None:
        claim = held.claim
        try:
            facts = look(claim.path)
        except OSError:
            _logger.warning("the claimed file of job %s is gone", claim.job_id)
            del self._held[claim.job_id]
            discard_claim(claim)
            return
        if facts.version != held.version:
            held.version, held.quiet_since = facts.version, now
        verdict = self._judge(claim.path, facts, now - held.quiet_since)
        if verdict.action is Action.WAIT:
            self._wait(held, verdict, now)
        elif verdict.action is Action.REFUSE:
            self._refuse(held, facts, verdict.reason, now)
        else:
            self._hand_on(held, now)

    def _wait(self, held: _Held, verdict: Verdict, now: float) -> None:
        pause_s = _HELD_LOOKS_S[min(held.looks, len(_HELD_LOOKS_S) - 1)]
        held.look_at = now + min(pause_s, verdict.wait_s or pause_s)
        held.looks += 1

    def _hand_on(self, held: _Held, now: float) -> None:
        claim, sidecars = held.claim, Sidecars()
        if self._settings.has_sidecars:
            sidecars, is_waiting = self._reader.gather(claim, now)
            held.ready_since = now if held.ready_since is None else held.ready_since
            if is_waiting and now - held.ready_since < _SIDECAR_WAIT_S:
                self._wait(held, Verdict(Action.WAIT), now)
                return
            self._handed.add(claim, sidecars)
        del self._held[claim.job_id]
        self._hooks.claimed(claim, sidecars)

    def _refuse(self, held: _Held, facts: Facts, reason: str, now: float) -> None:
        claim = held.claim
        message = f"{printable(claim.relative.name)} cannot be spoken: {reason}"
        try:
            lies = refuse(claim, self._settings.failed, claim.relative, message, may_copy=facts.size == 0)
        except OSError as error:
            held.look_at = now + RETRY_S
            trouble = f"{printable(claim.relative)} cannot be moved to Failed: {error.strerror or error}"
            self._troubled = (claim.job_id, trouble)
            return
        del self._held[claim.job_id]
        self._hooks.refused(lies, message)
