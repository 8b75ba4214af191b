"""The drop folder's own thread: it scans, takes hints, runs the intake, and keeps the observer alive.

Everything that touches the folder happens in this thread, because a slow mount may block any call for seconds. The
daemon's loop only calls `nudge`, `pause`, `resume` and `info`, which return at once. When nothing happens the
thread wakes for a scan every `scan_interval_s`, or every 2 s where the system gives no watch.
"""

import errno
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from voiced.drop.events import FolderEvents, HintBox
from voiced.drop.intake import Intake
from voiced.drop.lease import is_being_written, tells_writers
from voiced.drop.terms import DropHooks, DropSettings, Lease
from voiced.drop.verdict import CLAIMS_FOLDER
from voiced.files.names import printable

_logger = logging.getLogger(__name__)

_FALLBACK_SCAN_S = 2.0
_OBSERVER_RETRY_S = 60.0
_RESTART_S = 5.0
_NOTE_S = 600.0
"""How long `info` tells that the folder had to be made again."""
_SCAN_SHARE = 4
"""A scan that hints ask for waits four times as long as the last one took: at most a fifth of a core."""
_BURST_RESCAN_S = 2.0
"""After a burst another scan: what came while the first one ran may have been lost too."""


class DropInfo(NamedTuple):
    """What the drop folder's thread tells."""

    is_watched: bool
    """Files put into the folder are noticed."""
    waiting: int = 0
    """Files seen and not yet handed on."""
    detail: str = ""
    """What is wrong and what to do; empty when all is well."""


class DropWatcher:
    """Watches the drop folder; `claimed` and `refused` of the hooks are called from its thread.

    Args:
        settings: The folders and the rules.
        hooks: Where claims and refusals go, and how many claims are welcome.
        clock: Monotonic seconds.
        lease: Tells whether a file is being written; None = ask the kernel, where it can be asked.
    """

    def __init__(
        self,
        settings: DropSettings,
        hooks: DropHooks,
        *,
        clock: Callable[[], float] = time.monotonic,
        lease: Lease | None = None,
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._clock = clock
        self._lease = lease
        self._box = HintBox()
        self._info = DropInfo(False)
        self._is_paused = False
        self._thread = threading.Thread(target=self._run, name="voiced-drop", daemon=True)
        if any(folder == settings.drop for folder in (settings.failed, *settings.apart)):
            raise ValueError(f"{printable(settings.drop)} cannot be the drop folder and another one at once")
        # From here on of the thread alone.
        self._events = FolderEvents(self._box)
        self._observed: tuple[int, int] | None = None
        self._tells_writers = True
        self._observe_at = -math.inf
        self._scan_at = -math.inf
        self._scan_again_at = -math.inf
        self._problem = ""
        self._handicap = ""
        self._note = ""
        self._note_until = -math.inf

    def start(self) -> None:
        """Start the thread; it makes the folder where it is missing, and takes up claims of an earlier run."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End the thread and return whether it ended in time; one that hangs in a dead mount does not."""
        self._box.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def nudge(self) -> None:
        """Say that there is room again."""
        self._box.nudge()

    def pause(self) -> None:
        """Take and refuse nothing until `resume`; files go on being seen."""
        self._is_paused = True
        self._box.nudge()

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False
        self._box.nudge()

    def info(self) -> DropInfo:
        """Return how it stands."""
        return self._info

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._box.is_closed:
            try:
                self._work()
            except Exception as error:
                _logger.exception("the drop folder's thread failed and begins again")
                self._info = DropInfo(False, 0, f"failed ({error}) and begins again; the log tells more")
                self._box.wait_closed(_RESTART_S)
            finally:
                self._events.stop()
                self._observed = None
        self._info = DropInfo(False, detail="stopped")

    def _work(self) -> None:
        self._scan_at = -math.inf
        intake = Intake(self._settings, self._hooks, clock=self._clock, lease=self._ask_lease)
        while not self._box.is_closed:
            wait_s = self._step(intake)
            now = self._clock()
            detail = self._problem or intake.trouble or self._handicap or self._fresh_note(now)
            self._info = DropInfo(not self._problem, intake.waiting, detail)
            self._box.wait(max(0.0, min(wait_s, self._scan_at - now)))

    def _step(self, intake: Intake) -> float:
        """Do what is due; return in how many seconds the intake wants its next turn."""
        paths, wants_scan = self._box.take()
        if wants_scan or intake.needs_scan:
            self._scan_at = min(self._scan_at, self._scan_again_at)
        if self._clock() >= self._scan_at:
            self._scan(intake, is_burst=wants_scan)
        elif not self._problem:
            for path in paths:
                intake.hint(path, self._is_closed)
        if CLAIMS_FOLDER in paths:
            intake.hint_claims()
        return math.inf if self._problem else intake.turn(is_paused=self._is_paused)

    def _scan(self, intake: Intake, *, is_burst: bool) -> None:
        began = self._clock()
        is_new = self._tend_folder()
        if not self._problem:
            try:
                if is_new:
                    intake.recover()
                intake.scan(self._is_closed)
            except OSError as error:
                self._fail(f"cannot be read ({error.strerror}): check that it is there and yours")
        now = self._clock()
        took_s = now - began
        self._scan_again_at = now + _SCAN_SHARE * took_s
        interval_s = self._settings.scan_interval_s
        if self._problem or self._handicap:
            interval_s = min(interval_s, max(_FALLBACK_SCAN_S, _SCAN_SHARE * took_s))
        elif is_burst:
            interval_s = min(interval_s, max(_BURST_RESCAN_S, _SCAN_SHARE * took_s))
        self._scan_at = now + interval_s

    def _is_closed(self) -> bool:
        return self._box.is_closed

    def _ask_lease(self, path: Path) -> bool | None:
        if self._lease is not None:
            return self._lease(path)
        return is_being_written(path) if self._tells_writers else None

    # -- the folder and its observer ------------------------------------------------------------------

    def _tend_folder(self) -> bool:
        """Make the folder if it is missing, observe the one that is there now, return whether it is another one."""
        drop = self._settings.drop
        try:
            if not drop.exists():
                self._make_folder()
            found = drop.stat()
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        except OSError as error:
            gone = "its drive or its parent folder is gone; " if isinstance(error, FileNotFoundError) else ""
            self._fail(f"cannot be used ({gone}{error.strerror}): make it a folder that you can write")
            return False
        self._problem = ""
        identity = (found.st_dev, found.st_ino)
        is_new = identity != self._observed
        if is_new or not self._events.is_alive():
            self._observed = identity
            self._events.stop()
            if is_new or self._clock() >= self._observe_at:
                self._observe()
        return is_new

    def _make_folder(self) -> None:
        drop = self._settings.drop
        # Once it was there, a parent that is gone is a drive that was unplugged: what is made then hides in its place.
        drop.mkdir(mode=0o700, parents=self._observed is None, exist_ok=True)
        if self._observed is not None:
            self._note = (
                f"{printable(drop)} was gone and was made again; what lay in it is not there any more"
            )
            self._note_until = self._clock() + _NOTE_S
            _logger.warning("%s", self._note)

    def _observe(self) -> None:
        root = self._settings.drop.resolve()
        self._tells_writers = tells_writers(root)
        try:
            self._events.start(root)
        except (OSError, RuntimeError, ImportError) as error:
            self._observe_at = self._clock() + _OBSERVER_RETRY_S
            if not self._handicap:
                _logger.warning("the drop folder cannot be watched: %s", error)
            self._handicap = (
                f"changes cannot be watched ({_reason(error)}): the folder is looked through every "
                f"{_FALLBACK_SCAN_S:g} s instead{_remedy(error)}"
            )
        else:
            self._handicap = ""

    def _fail(self, what: str) -> None:
        problem = f"{printable(self._settings.drop)} {what}"
        if problem != self._problem:
            _logger.warning("%s", problem)
        self._problem = problem
        self._events.stop()

    def _fresh_note(self, now: float) -> str:
        return self._note if now < self._note_until else ""


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _remedy(error: Exception) -> str:
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EMFILE):
        return ""
    # ENOSPC: max_user_watches; EMFILE: max_user_instances. inotify(7)
    return (
        ". Too many programs watch files: "
        "`sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024` raises the limits"
    )
