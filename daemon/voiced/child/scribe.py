"""The scribe: the child that reads documents and writes audio files, so that a bad one costs one job.

``python -m voiced.child.scribe --link-fd N --parent PID``. One thread. Between two blocks of an audio file it
looks at the link, so that a long file neither hides it from the daemon nor outlives a `cancel`.

Frames to it, beside `ping` {n} -> `pong` {n, rss_bytes}, `cancel` {task} and `end`:

- `load`: memory_bytes, cpu_s; 0 = no limit. Always first; -> `ready`
- `prepare`: task, source, name, folder, language, default_language, max_chars, first_max_chars, truncate_chars,
  max_document_bytes, lexicon, spells_numbers; payload = UTF-8 text where `source` is empty. An empty `language` is
  found out, `truncate_chars` 0 keeps the text whole, `lexicon` is the user's file, empty = none.
  -> `prepared`: task, chars, original_chars, language, segments, title, is_truncated, author,
  document_language, cover. The title is the document's own, else its file's name; author and document_language (a
  BCP 47 tag) are what the document says, "" where it says nothing. Its language is used where the request has none
  and the text does not look like another.
  With a folder, the cleaned text and the plan are in its files `text` and `plan`, on the disk, and a cover in that
  which `cover` names: `cover.jpg`, `cover.png`, "" = there is none. Without, the payload is the plan of the text
  exactly as sent (its beginning, where `is_truncated`).
- `finish`: task, source, data_offset, samples, sample_rate_hz, target, format, target_rate_hz, title, author, album,
  track, tracks, language, comment, cover (a path or empty), loudness_lufs (null = as it is), gain_db (instead, of what
  this is a part of; null = none), folder (of the job: the chapters of its plan are marked; empty = none are)
  -> `progress`: task, fraction; at most four a second -> `finished`: task, bytes, samples, sample_rate_hz, notes
- `level`: task, source, data_offset, samples, sample_rate_hz, loudness_lufs
  -> `progress` as above -> `finished`: task, gain_db, notes
- `subtitles`: task, folder (of the job), target, format, sample_rate_hz, start, end (samples; 0 = all)
  -> `finished`: task, cues
- `reference`: task, sources, folder; recordings that become `ref-1.wav`, `ref-2.wav` ... in the folder
  -> `prepared`: task, recordings = [{file, sha256, seconds, sample_rate_hz}], notes

What goes wrong is `failed`: task, code (of `ErrorCode`), message; a `finish` that was cancelled too. A task over its
CPU time fails; where it cannot be interrupted, inside a library, the kernel ends this process at twice that.
"""

import argparse
import errno
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from voiced.child.asks import Finish, Level, Load, Prepare, References, SubtitlesOf, convert
from voiced.child.finishing import finish, level, write_subtitles
from voiced.child.inbox import Gone, Inbox
from voiced.child.lifeline import bind_to_parent
from voiced.child.preparing import prepare
from voiced.workers.link import ChildLink, Fields
from voiced_ipc.errors import (
    DocumentRefused,
    ErrorCode,
    InternalError,
    ReferenceRefused,
    StorageFailed,
    VoicedError,
)

if TYPE_CHECKING:
    from types import FrameType

    from voiced.text.lexicon_file import LexiconFile

logger = logging.getLogger(__name__)

_BROKEN = 3
"""Exit code of a scribe that met a fault of its own."""

PROGRESS_INTERVAL_S = 0.25
_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Wording(NamedTuple):
    """How a task words that it asks for too much."""

    error: type[VoicedError]
    remedy: str


_OF_DOCUMENTS = _Wording(DocumentRefused, "cut the document into parts")
_OF_RECORDINGS = _Wording(ReferenceRefused, "take a shorter recording")


class _OutOfTime(Exception):
    """A task has used up its CPU time."""


class Scribe:
    """The program between the frames."""

    def __init__(self, link: ChildLink, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._inbox = Inbox(link)
        self._clock = clock
        self._limits = Load()
        self._is_timed = False
        self._lexicons: LexiconFile | None = None

    def run(self) -> None:
        """Serve until the daemon says `end` or is gone."""
        try:
            while True:
                self._serve(*self._inbox.next())
        except (Gone, BrokenPipeError, ConnectionResetError):
            return

    def _serve(self, fields: Fields, payload: bytes) -> None:
        kind, task = fields["type"], fields.get("task", "")
        if kind == "end":
            raise Gone
        if kind == "ping":
            self._inbox.pong(fields)
        elif kind == "load":
            self._load(convert(fields, Load))
        elif kind == "prepare":
            with self._answering(task):
                self._prepare(convert(fields, Prepare), payload)
        elif kind == "finish":
            with self._answering(task):
                self._link.send(finish(convert(fields, Finish), self._progress_of(task)))
        elif kind == "level":
            with self._answering(task):
                self._link.send(level(convert(fields, Level), self._progress_of(task)))
        elif kind == "subtitles":
            with self._answering(task):
                self._link.send(write_subtitles(convert(fields, SubtitlesOf)))
        elif kind == "reference":
            with self._answering(task, _OF_RECORDINGS):
                self._make_references(convert(fields, References))
        elif kind != "cancel":  # of a task that is over
            self._fail(task, InternalError(f"The scribe knows no {kind!r}; restart voiced."))

    @contextmanager
    def _answering(self, task: object, wording: _Wording = _OF_DOCUMENTS) -> Iterator[None]:
        """Turn what goes wrong in a task into its one answer."""
        try:
            with self._time_limit():
                yield
        except VoicedError as error:
            self._fail(task, error)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error
        except _OutOfTime:
            message = f"It took more than {self._limits.cpu_s:g} s of computing; {wording.remedy}."
            self._fail(task, wording.error(message))
            raise Gone from None  # it was cut off anywhere, perhaps within an import: a fresh scribe goes on
        except MemoryError:
            mib = self._limits.memory_bytes >> 20
            message = f"It needs more than the {mib} MiB of memory allowed; {wording.remedy}."
            self._fail(task, wording.error(message))
            raise Gone from None
        except OSError as error:
            self._fail(task, _storage_error(error))
        except Gone:
            raise
        except Exception:
            # What broke may stay broken in this process: the daemon tries the task on a fresh one.
            logger.exception("task %s failed, the scribe ends", task)
            raise SystemExit(_BROKEN) from None

    def _fail(self, task: object, error: VoicedError) -> None:
        code: ErrorCode = error.code
        self._link.send({"type": "failed", "task": task, "code": code.value, "message": error.message})

    # -- limits ---------------------------------------------------------------------------------------

    def _load(self, limits: Load) -> None:
        self._limits = limits
        if limits.memory_bytes:
            # The heap and private mappings. The address space would count libraries and their threads too.
            _lower_limit(resource.RLIMIT_DATA, limits.memory_bytes)
        self._link.send({"type": "ready"})

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Interrupt what runs inside when the CPU time is over."""
        limit = self._limits.cpu_s
        if not limit:
            yield
            return
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        _lower_limit(resource.RLIMIT_CPU, int(used + 2 * limit) + 1)
        signal.signal(signal.SIGPROF, self._on_alarm)
        self._is_timed = True
        signal.setitimer(signal.ITIMER_PROF, limit)
        try:
            yield
        finally:
            self._is_timed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            _lift_limit(resource.RLIMIT_CPU)  # idle weeks must not add up to it

    def _on_alarm(self, number: int, frame: "FrameType | None") -> None:
        if self._is_timed:
            raise _OutOfTime

    # -- tasks ----------------------------------------------------------------------------------------

    def _prepare(self, task: Prepare, payload: bytes) -> None:
        from voiced.text.lexicon_file import LexiconFile

        self._lexicons = self._lexicons or LexiconFile()
        answer, plan = prepare(task, payload, self._lexicons)
        self._link.send(answer, plan)

    def _progress_of(self, task: object) -> Callable[[float], None]:
        """Return what a long task tells its progress to; it raises where the task is cancelled."""
        told = self._clock()

        def on_progress(fraction: float) -> None:
            nonlocal told
            self._inbox.look(task)
            if self._clock() - told >= PROGRESS_INTERVAL_S:
                told = self._clock()
                self._link.send({"type": "progress", "task": task, "fraction": fraction})

        return on_progress

    def _make_references(self, task: References) -> None:
        from voiced.child.reference import make_reference

        recordings: list[Fields] = []
        notes: list[str] = []
        for number, source in enumerate(task.sources, 1):
            self._inbox.look(task.task)
            name = f"ref-{number}.wav"
            which = "the recording" if len(task.sources) == 1 else f"recording {number}"
            try:
                made = make_reference(Path(source), Path(task.folder) / name)
            except ReferenceRefused as error:
                raise ReferenceRefused(f"{which} cannot become a voice: {error.message}") from error
            notes += [f"{which}: {note}" for note in made.notes]
            facts = {"sha256": made.sha256, "seconds": made.seconds, "sample_rate_hz": made.sample_rate_hz}
            recordings.append({"file": name, **facts})
        self._link.send({"type": "prepared", "task": task.task, "recordings": recordings, "notes": notes})


def _storage_error(error: OSError) -> StorageFailed:
    reason = error.strerror or "input/output error"
    if error.errno in _FULL:
        return StorageFailed(f"The disk is full ({reason}); make room and retry the job.")
    if error.errno == errno.EROFS:
        return StorageFailed(
            f"The folder cannot be written ({reason}); mount it for writing and retry the job."
        )
    return StorageFailed(
        f"A file could not be read or written ({reason}); look after the disk and retry the job."
    )


def _lower_limit(kind: int, value: int) -> None:
    """Set the soft limit; the hard one stays, so that the next task may have more time."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _lift_limit(kind: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (hard, hard))


def main() -> None:
    """Run the scribe on the link that the daemon handed over."""
    parser = argparse.ArgumentParser(prog="voiced.child.scribe")
    parser.add_argument("--link-fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    bind_to_parent(arguments.parent)
    # Nothing here gains from the threads of numpy's BLAS, and each costs memory that the limit counts.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    Scribe(ChildLink(arguments.link_fd)).run()


if __name__ == "__main__":
    main()
