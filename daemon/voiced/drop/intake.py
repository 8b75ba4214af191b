"""The intake of the drop folder: which files wait, and each one's way from the first look to the claim.

A scan is the truth, a hint only says where to look. All of it belongs to one thread (`watch.py` runs it); time and
the lease are passed in, so that a test can play both. State is bounded: of the files that wait, the oldest
`MAX_CANDIDATES` are known by name, the others are counted and found by the next scan.
"""

import heapq
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voiced.drop.claim import claim_file, refuse, write_note
from voiced.drop.custody import RETRY_S, Custody
from voiced.drop.handed import Handed, own_places
from voiced.drop.sidecar_reader import SidecarReader
from voiced.drop.terms import DropHooks, DropSettings, Lease
from voiced.drop.verdict import Action, Facts, Rules, Verdict, examine, is_passed_over, look
from voiced.drop.walk import Walk, split
from voiced.files.names import printable

_logger = logging.getLogger(__name__)

MAX_CANDIDATES = 4096
MAX_CLAIMS = 32
"""Claims in one turn, so that a stop or a pause is never far."""
_MAX_LOOKS = 512
_MAX_LEFT = 4096
# Linux tells of a close a moment before the writer counts as gone, so the first look after a hint may be too early.
_WRITER_WAITS_S = (0.002, 0.02, 0.2, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class _Candidate:
    """A file seen and not yet taken."""

    version: tuple[int, ...] = ()
    quiet_since: float = 0.0
    look_at: float = 0.0
    looks: int = 0
    is_ready: bool = False
    """Only room is missing."""


class Intake:
    """Looks, waits, claims and refuses; one turn at a time."""

    def __init__(
        self, settings: DropSettings, hooks: DropHooks, *, clock: Callable[[], float], lease: Lease
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._clock = clock
        self._lease = lease
        self._rules = Rules(os.geteuid(), settings.max_bytes, settings.settle_s)
        reader = SidecarReader(settings.drop, self._judge, self._is_shared)
        self._handed = Handed(reader, hooks)
        self._custody = Custody(settings, hooks, self._judge, reader, self._handed)
        self._walk = Walk(settings.drop, (settings.failed, *settings.apart), self._handed.note)
        self._device: int | None = None
        self._candidates: dict[str, _Candidate] = {}
        self._uncounted = 0
        self._left: dict[str, tuple[int, ...]] = {}
        self._troubled = ("", "")

    @property
    def waiting(self) -> int:
        """Files seen and not yet handed on."""
        return len(self._candidates) + self._uncounted + len(self._custody)

    @property
    def trouble(self) -> str:
        """What keeps files from being taken or refused, and what to do; empty when all is well."""
        name, trouble = self._troubled
        return trouble if name in self._candidates else self._custody.trouble or self._walk.unreadable

    @property
    def needs_scan(self) -> bool:
        """Whether only a scan can name the files that are next."""
        return self._uncounted > 0 and len(self._candidates) < MAX_CANDIDATES // 2

    # -- finding --------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up the claims that an earlier run left.

        Raises:
            OSError: If they cannot be read.
        """
        self._custody.recover(self._clock())

    def scan(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Look through the whole folder; what is known keeps its history.

        Raises:
            OSError: If the drop folder itself is gone or cannot be read.
        """
        self._device = self._settings.drop.stat().st_dev
        self._walk.begin()
        self._handed.prune()
        counter = itertools.count()
        found = self._walk.entries("", should_stop)
        oldest = heapq.nsmallest(MAX_CANDIDATES, _counted(found, counter))
        known = self._candidates
        self._candidates = {relative: known.get(relative) or _Candidate() for _, relative in oldest}
        self._uncounted = next(counter) - len(oldest)

    def hint(self, relative: str, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Look at one entry, and below it if it is a folder: something happened there."""
        if self._walk.is_apart(relative):
            return
        if any(is_passed_over(part) for part in relative.split("/")):
            self._walk.note_passed_over(*split(relative))
            return
        path = self._settings.drop / relative
        if path.is_dir() and not path.is_symlink():
            for _, found in self._walk.entries(relative, should_stop):
                self._hint_file(found)
        elif os.path.lexists(path):
            self._hint_file(relative)
        else:
            self._candidates.pop(relative, None)

    def hint_claims(self) -> None:
        """Look at the held claims: a writer may have gone."""
        self._custody.hint()

    def _hint_file(self, relative: str) -> None:
        found = self._candidates.get(relative)
        if found is not None:
            found.look_at, found.looks = 0.0, 0
        elif len(self._candidates) < MAX_CANDIDATES:
            self._candidates[relative] = _Candidate()
        else:
            self._uncounted = max(self._uncounted, 1)

    # -- deciding -------------------------------------------------------------------------------------

    def turn(self, *, is_paused: bool = False) -> float:
        """Take, refuse or postpone what is due; return in how many seconds the next turn is, inf for never.

        Args:
            is_paused: Nothing is taken or refused; claims that are held are handed on.
        """
        now = self._clock()
        self._custody.turn(now)
        if is_paused:
            return max(self._custody.next_at - now, 0.0)
        self._handed.turn(now)
        next_at = self._handed.next_at
        room = min(self._hooks.room() - len(self._custody), MAX_CLAIMS)
        looks = 0
        for relative, candidate in list(self._candidates.items()):
            if candidate.look_at > now:
                next_at = min(next_at, candidate.look_at)
                continue
            if candidate.is_ready and room <= 0:
                continue
            if looks >= _MAX_LOOKS:
                next_at = now
                break
            looks += 1
            room -= self._consider(relative, candidate, room > 0, now)
            if relative in self._candidates and not candidate.is_ready:
                next_at = min(next_at, candidate.look_at)
        if room <= 0 and self._is_more_ready() and self._hooks.room() > len(self._custody):
            return 0.0
        return max(min(next_at, self._custody.next_at) - now, 0.0)

    def _is_more_ready(self) -> bool:
        return any(candidate.is_ready for candidate in self._candidates.values())

    def _consider(self, relative: str, candidate: _Candidate, has_room: bool, now: float) -> int:
        """Look at a candidate and do what is due; return how many claims that took."""
        try:
            facts = look(self._settings.drop / relative)
        except OSError:
            del self._candidates[relative]
            return 0
        if not facts.size and self._walk.has_download(split(relative)[0]):
            facts = facts._replace(has_download=True)
        if self._left.get(relative) == facts.version:
            del self._candidates[relative]
            return 0
        if candidate.version != facts.version:
            candidate.version, candidate.quiet_since = facts.version, now
        verdict = self._judge(self._settings.drop / relative, facts, now - candidate.quiet_since)
        candidate.is_ready = verdict.action is Action.TAKE
        if verdict.action is Action.WAIT:
            candidate.look_at = now + self._wait_s(verdict, candidate.looks)
            candidate.looks += 1
        elif verdict.action is Action.SKIP:
            del self._candidates[relative]
        elif verdict.action is Action.REFUSE:
            self._refuse(relative, facts, verdict.reason, now)
        elif has_room:
            return self._take(relative, candidate, now)
        return 0

    def _judge(self, path: Path, facts: Facts, quiet_s: float) -> Verdict:
        def being_written() -> bool | None:
            # Another file system mounted inside may not know leases; the quiet rule holds everywhere.
            return self._lease(path) if self._device in (None, facts.device) else None

        try:
            return examine(facts, self._rules, quiet_s, being_written)
        except FileNotFoundError:
            return Verdict(Action.SKIP)

    def _is_shared(self, place: Path) -> bool:
        """Return whether a text that waits has this sidecar too: `book.voiced.toml` is book.txt's and book.epub's."""
        folder = str(place.parent)
        here = (Path(relative) for relative in self._candidates if (split(relative)[0] or ".") == folder)
        return any(place in own_places(relative) for relative in here)

    def _wait_s(self, verdict: Verdict, looks: int) -> float:
        if verdict.wait_s is not None:
            return max(verdict.wait_s, 0.01)
        return _WRITER_WAITS_S[min(looks, len(_WRITER_WAITS_S) - 1)]

    def _take(self, relative: str, candidate: _Candidate, now: float) -> int:
        try:
            claim = claim_file(self._settings.drop, Path(relative))
        except FileNotFoundError:
            del self._candidates[relative]
            return 0
        except OSError as error:
            self._postpone(relative, error, "cannot be taken", now)
            return 0
        del self._candidates[relative]
        self._custody.take(claim, candidate.version, candidate.quiet_since, now)
        return 1

    def _refuse(self, relative: str, facts: Facts, reason: str, now: float) -> None:
        path, failed = self._settings.drop / relative, self._settings.failed
        message = f"{printable(path.name)} cannot be spoken: {reason}"
        try:
            lies = refuse(path, failed, Path(relative), message, may_copy=facts.size == 0)
        except OSError as error:
            if not os.path.lexists(path):
                del self._candidates[relative]
                return
            if not self._leave(relative, facts, message):
                self._postpone(relative, error, "cannot be moved to Failed", now)
                return
            lies = path
        del self._candidates[relative]
        _logger.info("refused %s: %s", printable(relative), reason)
        self._hooks.refused(lies, message)

    def _leave(self, relative: str, facts: Facts, message: str) -> bool:
        """Leave alone until it changes what is refused and cannot be moved; return whether a note tells so."""
        path = self._settings.drop / relative
        whereabouts = f"It cannot be moved and still lies at {printable(path)}; move it away yourself."
        try:
            write_note(self._settings.failed / relative, whereabouts, Path(relative), message)
        except OSError:
            return False
        if len(self._left) >= _MAX_LEFT:
            del self._left[next(iter(self._left))]
        self._left[relative] = facts.version
        return True

    def _postpone(self, relative: str, error: OSError, what: str, now: float) -> None:
        candidate = self._candidates[relative]
        candidate.look_at = now + RETRY_S
        candidate.is_ready = False
        trouble = (
            f"{printable(relative)} {what}: {error.strerror or error}. Check that there is room on the disk and that "
            f"the folders can be written; it is tried again every {RETRY_S:g} s"
        )
        self._troubled = (relative, trouble)
        if not candidate.looks:
            _logger.warning("%s", trouble)
        candidate.looks += 1


def _counted(
    entries: Iterator[tuple[int, str]], counter: "itertools.count[int]"
) -> Iterator[tuple[int, str]]:
    for entry in entries:
        next(counter)
        yield entry
