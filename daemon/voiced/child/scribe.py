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
  track, tracks, language, comment, cover (a path or empty), loudness_lufs (null = as it is), folder (of the job: the
  chapters of its plan are marked; empty = none are)
  -> `progress`: task, fraction; at most four a second -> `finished`: task, bytes, samples, sample_rate_hz, notes
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
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from voiced.child.lifeline import bind_to_parent, rss_bytes
from voiced.workers.link import MAX_PAYLOAD_BYTES, ChildLink, Fields
from voiced_ipc.errors import (
    DocumentRefused,
    ErrorCode,
    InternalError,
    JobCancelled,
    ReferenceRefused,
    StorageFailed,
    VoicedError,
)

if TYPE_CHECKING:
    from types import FrameType

    from voiced.audio.subtitles import Cue
    from voiced.segments import Plan
    from voiced.text.lexicon_file import LexiconFile
    from voiced.timeline import Mark

logger = logging.getLogger(__name__)

_BROKEN = 3
"""Exit code of a scribe that met a fault of its own."""

PROGRESS_INTERVAL_S = 0.25
_COVERS = {"image/jpeg": "cover.jpg", "image/png": "cover.png"}
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What this process may use."""

    memory_bytes: int = 0
    cpu_s: float = 0.0


class Prepare(msgspec.Struct, frozen=True, kw_only=True):
    """A document or text to plan."""

    task: int
    source: str = ""
    name: str = ""
    folder: str = ""
    language: str = ""
    default_language: str = "en"
    max_chars: int = 400
    first_max_chars: int = 0
    truncate_chars: int = 0
    max_document_bytes: int = 64 << 20
    lexicon: str = ""
    spells_numbers: bool = False
    """The engine speaks letters only."""


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """A spool to make a file of."""

    task: int
    source: str
    data_offset: int
    samples: int
    sample_rate_hz: int
    target: str
    format: str
    target_rate_hz: int = 0
    """0 = the spool's."""
    title: str = ""
    author: str = ""
    album: str = ""
    language: str = ""
    comment: str = ""
    cover: str = ""
    """A path; empty = none."""
    folder: str = ""
    """Of the job, whose chapters are marked; empty = none are."""
    track: int = 0
    tracks: int = 0
    """Which file of how many; 0 = it is the only one."""
    loudness_lufs: float | None = None
    """None = as it is."""


class SubtitlesOf(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose text goes beside its sound."""

    task: int
    folder: str
    """Of the job: its text, plan and timeline."""
    target: str
    format: str
    """`vtt` or `srt`."""
    sample_rate_hz: int
    start: int = 0
    end: int = 0
    """Samples of the job that the file is about; 0 = to its end."""


class References(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings to make a voice of."""

    task: int
    sources: list[str]
    folder: str


class _Wording(NamedTuple):
    """How a task words that it asks for too much."""

    error: type[VoicedError]
    remedy: str


_OF_DOCUMENTS = _Wording(DocumentRefused, "cut the document into parts")
_OF_RECORDINGS = _Wording(ReferenceRefused, "take a shorter recording")

_Task = TypeVar("_Task", Load, Prepare, Finish, SubtitlesOf, References)


class _Gone(Exception):
    """The daemon has closed the link, or said `end`."""


class _OutOfTime(Exception):
    """A task has used up its CPU time."""


class Inbox:
    """The link as this program reads it: frames wait here while a task looks for those that concern it."""

    def __init__(self, link: ChildLink) -> None:
        self._link = link
        self._waiting: deque[tuple[Fields, bytes]] = deque()

    def next(self) -> tuple[Fields, bytes]:
        """Return the next frame; waits for it.

        Raises:
            _Gone: If there will be none.
        """
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def look(self, task: int) -> None:
        """Answer what has come meanwhile.

        Raises:
            JobCancelled: If `task` was cancelled.
            _Gone: If the daemon is gone.
        """
        while select.select([self._link], [], [], 0)[0]:
            self._read()
        for frame in list(self._waiting):
            fields, _ = frame
            if fields["type"] == "ping":
                self._waiting.remove(frame)
                self.pong(fields)
            elif fields["type"] == "cancel" and fields.get("task") == task:
                self._waiting.remove(frame)
                raise JobCancelled("The job was cancelled.")

    def pong(self, ping: Fields) -> None:
        """Answer a ping."""
        self._link.send({"type": "pong", "n": ping.get("n"), "rss_bytes": rss_bytes()})

    def _read(self) -> None:
        frames = self._link.receive_ready()
        if frames is None:
            raise _Gone
        self._waiting.extend(frames)


class Scribe:
    """The program between the frames."""

    def __init__(self, link: ChildLink, clock: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._inbox = Inbox(link)
        self._clock = clock
        self._limits = Load()
        self._is_timed = False
        self._lexicon: LexiconFile | None = None

    def run(self) -> None:
        """Serve until the daemon says `end` or is gone."""
        try:
            while True:
                self._serve(*self._inbox.next())
        except (_Gone, BrokenPipeError, ConnectionResetError):
            return

    def _serve(self, fields: Fields, payload: bytes) -> None:
        kind, task = fields["type"], fields.get("task", "")
        if kind == "end":
            raise _Gone
        if kind == "ping":
            self._inbox.pong(fields)
        elif kind == "load":
            self._load(_convert(fields, Load))
        elif kind == "prepare":
            with self._answering(task):
                self._prepare(_convert(fields, Prepare), payload)
        elif kind == "finish":
            with self._answering(task):
                self._finish(_convert(fields, Finish))
        elif kind == "subtitles":
            with self._answering(task):
                self._write_subtitles(_convert(fields, SubtitlesOf))
        elif kind == "reference":
            with self._answering(task, _OF_RECORDINGS):
                self._make_references(_convert(fields, References))
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
            raise _Gone from error
        except _OutOfTime:
            message = f"It took more than {self._limits.cpu_s:g} s of computing; {wording.remedy}."
            self._fail(task, wording.error(message))
            raise _Gone from None  # it was cut off anywhere, perhaps within an import: a fresh scribe goes on
        except MemoryError:
            mib = self._limits.memory_bytes >> 20
            message = f"It needs more than the {mib} MiB of memory allowed; {wording.remedy}."
            self._fail(task, wording.error(message))
            raise _Gone from None
        except OSError as error:
            self._fail(task, _storage_error(error))
        except _Gone:
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
        from voiced.segments import pack_plan
        from voiced.text.documents import Document, read_document
        from voiced.text.language import settle_language
        from voiced.text.lexicon_file import LexiconFile
        from voiced.text.plan import Limits, make_plan, truncate
        from voiced.text.spoken import spoken_forms

        if task.source:
            document = read_document(Path(task.source), task.max_document_bytes, name=task.name)
        else:
            document = Document(Path(task.name).stem, _decode(payload, is_cleaned=bool(task.folder)))
        text = truncate(document.text, task.truncate_chars) if task.truncate_chars else document.text
        language = task.language or settle_language(text, document.language, task.default_language)
        limits = Limits(task.max_chars, task.first_max_chars)
        chapters = [chapter for chapter in document.chapters if chapter.start < len(text)]
        plan = make_plan(text, language=language, limits=limits, chapters=chapters)
        self._lexicon = self._lexicon or LexiconFile()
        lexicon = self._lexicon.get(Path(task.lexicon) if task.lexicon else None)
        packed = pack_plan(spoken_forms(plan, text, lexicon, spells_numbers=task.spells_numbers))
        cover = _COVERS[document.cover.media_type] if document.cover and task.folder else ""
        if task.folder:
            files = {"text": text.encode(), "plan": packed}
            if document.cover:
                files[cover] = document.cover.data
            _write_durably(Path(task.folder), files)
        elif len(packed) > MAX_PAYLOAD_BYTES:
            raise DocumentRefused("The text is too long to be sent; hand it in as a file.")
        answer: Fields = {
            "type": "prepared",
            "task": task.task,
            "chars": len(text),
            "original_chars": len(document.text),
            "language": language,
            "segments": len(plan.segments),
            "title": document.title,
            "is_truncated": len(text) < len(document.text),
            "author": document.author,
            "document_language": document.language,
            "cover": cover,
        }
        self._link.send(answer, b"" if task.folder else packed)

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

    def _write_subtitles(self, task: SubtitlesOf) -> None:
        from voiced.audio.subtitles import write_srt, write_vtt

        cues = list(_cues(task))
        written = write_srt(cues) if task.format == "srt" else write_vtt(cues)
        target = Path(task.target)
        _write_durably(target.parent, {target.name: written.encode()})
        self._link.send({"type": "finished", "task": task.task, "cues": len(cues)})

    def _finish(self, task: Finish) -> None:
        from voiced.audio.tags import Tags
        from voiced.audio.writers import Spool, Target, encode

        told = self._clock()

        def on_progress(fraction: float) -> None:
            nonlocal told
            self._inbox.look(task.task)
            if self._clock() - told >= PROGRESS_INTERVAL_S:
                told = self._clock()
                self._link.send({"type": "progress", "task": task.task, "fraction": fraction})

        spool = Spool(Path(task.source), task.data_offset, task.samples, task.sample_rate_hz)
        rate = task.target_rate_hz or task.sample_rate_hz
        tags = Tags(
            task.title,
            task.author,
            task.album,
            task.language,
            task.comment,
            Path(task.cover) if task.cover else None,
            _chapters(Path(task.folder)) if task.folder else (),
            task.track,
            task.tracks,
        )
        target = Target(Path(task.target), task.format, rate, tags, task.loudness_lufs)
        made = encode(spool, target, on_progress)
        answer: Fields = {
            "type": "finished",
            "task": task.task,
            "bytes": made.size_bytes,
            "samples": made.samples,
            "sample_rate_hz": made.sample_rate_hz,
            "notes": list(made.notes),
        }
        self._link.send(answer)


def _cues(task: SubtitlesOf) -> "Iterator[Cue]":
    """The lines of a stretch of a job, in seconds from its beginning."""
    from voiced.audio.subtitles import Cue
    from voiced.timeline import read_timeline, spoken_lines

    folder = Path(task.folder)
    plan, rate = _read_plan(folder), task.sample_rate_hz
    with (folder / "text").open("rb") as text:
        for line in spoken_lines(plan, read_timeline(folder)):
            if line.start_sample < task.start or (task.end and line.start_sample >= task.end):
                continue
            segment = plan.segments[line.segment]
            text.seek(segment.byte_start)
            words = " ".join(text.read(segment.byte_end - segment.byte_start).decode().split())
            start, end = line.start_sample - task.start, line.end_sample - task.start
            yield Cue(start / rate, end / rate, words)


def _chapters(folder: Path) -> "tuple[Mark, ...]":
    from voiced.timeline import chapter_marks, read_timeline

    return chapter_marks(_read_plan(folder), read_timeline(folder))


def _read_plan(folder: Path) -> "Plan":
    from voiced.segments import PlanDamaged, unpack_plan

    try:
        return unpack_plan((folder / "plan").read_bytes())
    except PlanDamaged as error:
        raise StorageFailed(f"The plan of the job is damaged ({error}); hand the text in again.") from error


def _convert(fields: Fields, kind: type[_Task]) -> _Task:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InternalError(f"The scribe was asked in a wrong way ({error}); restart voiced.") from error


def _decode(payload: bytes, *, is_cleaned: bool) -> str:
    from voiced.text.cleaning import clean
    from voiced.text.documents import refuse_empty

    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise DocumentRefused("The text is not UTF-8; send it as UTF-8, or as a file.") from error
    text = clean(text) if is_cleaned else text
    refuse_empty(text)
    return text


def _write_durably(folder: Path, files: dict[str, bytes]) -> None:
    """Write files whole or not at all, in their order."""
    for name, content in files.items():
        temporary = folder / f".{name}.new"
        temporary.unlink(missing_ok=True)  # left over from a crash
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
