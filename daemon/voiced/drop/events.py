"""Hints from the file system: watchdog's observer behind two calls, and the box where its hints wait.

Events may be lost, late or doubled, so they only say where to look. The observer's threads put paths into the box;
one other thread takes them out. A burst larger than the box becomes one wish for a scan.
"""

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from voiced.drop.verdict import CLAIMS_FOLDER

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

MAX_HINTS = 1024
"""More than this at once is cheaper to find by a scan, and may be the sign of a kernel queue that ran over."""


class HintBox:
    """Paths to look at, wishes for a scan, and the sleep of the thread that takes them; for many threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paths: dict[str, None] = {}
        self._wants_scan = False
        self._is_nudged = False
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the thread shall end."""
        return self._is_closed

    def post(self, path: str) -> None:
        """Add a path; the same one twice is one."""
        with self._changed:
            self._paths[path] = None
            if len(self._paths) > MAX_HINTS:
                self._paths.clear()
                self._wants_scan = True
            self._changed.notify()

    def want_scan(self) -> None:
        """Wish for a scan: something was missed."""
        with self._changed:
            self._wants_scan = True
            self._changed.notify()

    def nudge(self) -> None:
        """Wake the thread: something else has changed."""
        with self._changed:
            self._is_nudged = True
            self._changed.notify()

    def close(self) -> None:
        """Tell the thread to end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def wait(self, timeout_s: float) -> None:
        """Sleep until something has come, at most `timeout_s`."""
        with self._changed:
            self._changed.wait_for(self._has_come, min(timeout_s, threading.TIMEOUT_MAX))

    def wait_closed(self, timeout_s: float) -> None:
        """Sleep until the thread shall end, at most `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, timeout_s)

    def take(self) -> tuple[list[str], bool]:
        """Return the paths that came and whether a scan is wished for; the box is then empty."""
        with self._changed:
            paths, wants_scan = list(self._paths), self._wants_scan
            self._paths.clear()
            self._wants_scan = self._is_nudged = False
            return paths, wants_scan

    def _has_come(self) -> bool:
        return bool(self._paths) or self._wants_scan or self._is_nudged or self._is_closed


class FolderEvents:
    """The observer of one folder and all below it."""

    def __init__(self, box: HintBox) -> None:
        self._box = box
        self._root = ""
        self._claims = ""
        self._observer: BaseObserver | None = None
        self._threads: tuple[threading.Thread, ...] = ()
        self._alarm = _Alarm(box.want_scan)

    def start(self, root: Path) -> None:
        """Begin to post hints about `root`, a path without links in it.

        Raises:
            OSError: If the system gives no watch.
        """
        # Here, so that a daemon without a drop folder does not pay for it.
        from watchdog import events
        from watchdog.observers import Observer

        self._root = str(root)
        self._claims = f"{self._root}/{CLAIMS_FOLDER}/"
        kinds = [
            events.FileCreatedEvent,
            events.FileMovedEvent,
            events.FileClosedEvent,
            events.FileDeletedEvent,
            events.DirCreatedEvent,
            events.DirMovedEvent,
            events.DirDeletedEvent,
        ]
        logging.getLogger("watchdog").addHandler(self._alarm)
        _tame_watchdog()
        before = _watchdog_threads()
        observer: BaseObserver = Observer()
        try:
            observer.schedule(self, self._root, recursive=True, event_filter=kinds)  # type: ignore[arg-type]
            observer.start()
        except BaseException:
            # The observer has started a thread of its own by now.
            with contextlib.suppress(RuntimeError, OSError):
                observer.on_thread_stop()
            self._end_alarm()
            raise
        self._observer = observer
        self._threads = tuple(_watchdog_threads() - before)

    def stop(self) -> None:
        """Stop the observer and its threads; may be called at any time."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()
            self._end_alarm()

    def is_alive(self) -> bool:
        """Return whether hints can come."""
        return self._observer is not None and all(thread.is_alive() for thread in self._threads)

    def dispatch(self, event: "FileSystemEvent") -> None:
        """Post what an event is about; called by the observer's thread."""
        for raw in (event.src_path, event.dest_path):
            path = os.fsdecode(raw)
            if path == self._root:
                if event.event_type == "deleted":
                    self._box.want_scan()
            elif path.startswith(self._claims):
                # Our own renames; only the end of a writer is news.
                if event.event_type == "closed":
                    self._box.post(CLAIMS_FOLDER)
            elif path.startswith(self._root + "/"):
                self._box.post(path[len(self._root) + 1 :])

    def _end_alarm(self) -> None:
        logging.getLogger("watchdog").removeHandler(self._alarm)


def _tame_watchdog() -> None:
    """Take out of watchdog what hurts one who renames files in the watched folder himself.

    Its inotify reader keeps every rename for 0.5 s, and all events behind it, to pair old and new name: we need no
    pairs. And it warns where two reports of a new folder cross, which is no fault of anybody's.
    """
    with contextlib.suppress(ImportError):
        from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

        InotifyMoveEventGrouper.delay = 0.0
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)


def _watchdog_threads() -> set[threading.Thread]:
    """Its dispatcher, emitters and readers: hints need each of them, and the observer knows of some only."""
    return {thread for thread in threading.enumerate() if type(thread).__module__.startswith("watchdog.")}


class _Alarm(logging.Handler):
    """Wishes for a scan whenever watchdog warns: a queue that ran over, a folder that got no watch."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._ring = ring

    def emit(self, record: logging.LogRecord) -> None:
        self._ring()
