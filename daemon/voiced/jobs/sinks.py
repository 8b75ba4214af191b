"""Where the audio of a job goes: to a reader in chunks, or into its growing file.

Both are bounded: `is_behind` holds the scheduler back, so a slow reader or a slow disk costs its own job alone.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from voiced.jobs.job import Job, Progress
from voiced.jobs.spool import PartFile
from voiced.jobs.store import Store
from voiced.timeline import Placed, Span, TimelineFile
from voiced_ipc import messages as m
from voiced_ipc.errors import StreamStalled, VoicedError

logger = logging.getLogger(__name__)

STREAM_AHEAD_S = 30.0
"""Audio that may wait for a slow reader."""
STALL_S = 30.0
"""A reader that grants no credit for so long has lost its stream."""
PROGRESS_S = 0.25
GROUP_BYTES = 4 << 20
GROUP_S = 1.0
_BEHIND_BYTES = 16 << 20
RETRY_S = 0.02


class Sent(Enum):
    """What became of a reply."""

    YES = "yes"
    FULL = "full"
    """The peer does not read; try again later."""
    GONE = "gone"


class Peer(Protocol):
    """Who asked."""

    def send(self, reply: m.Reply, payload: bytes | memoryview | None = None) -> Sent:
        """Send a reply without waiting."""


class StreamSink:
    """Sends audio as credit allows, progress between, and the end.

    Args:
        peer: The reader.
        request: What it asked.
        sample_rate_hz: Of the audio.
        on_lost: Called with the reason when the reader is gone or stalled.
        on_read: Called when something was sent: more may be made.
        on_over: Called when the last message was sent.
    """

    def __init__(
        self,
        peer: Peer,
        request: m.Synthesize,
        sample_rate_hz: int,
        on_lost: Callable[[VoicedError], None],
        on_read: Callable[[], None],
        on_over: Callable[[], None],
    ) -> None:
        self._peer = peer
        self._id = request.request_id
        self._credit = request.credit_bytes
        self._ahead_bytes = int(STREAM_AHEAD_S * sample_rate_hz * 2)
        self._on_lost = on_lost
        self._on_read = on_read
        self._on_over = on_over
        self._pending: deque[memoryview] = deque()
        """Audio that has no credit yet, in pieces that were never copied."""
        self._pending_bytes = 0
        self._sequence = 0
        self._sent_bytes = 0
        self._stalled_s = 0.0
        """For how long nothing could be sent that waits."""
        self._ticked_at = 0.0
        self._is_written = False
        self._tell: Callable[[], m.JobInfo] | None = None
        self._opening: m.Accepted | None = None
        """Comes before everything else, also where there is no room for it at the moment."""
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        """The next attempt at a peer that did not take what its credit allows."""
        self._is_over = False

    def start(self, accepted: m.Accepted, tell: Callable[[], m.JobInfo]) -> None:
        """Begin with the acceptance, and tell progress; `tell` gives the job as it stands."""
        self._tell = tell
        self._opening = accepted
        self._ticked_at = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(PROGRESS_S, self._tick)
        self._pump()

    @property
    def is_behind(self) -> bool:
        """Whether the reader is more than 30 s behind."""
        return self._pending_bytes > self._ahead_bytes

    @property
    def samples(self) -> int:
        """Samples given to the reader."""
        return self._sent_bytes // 2

    def grant(self, credit_bytes: int) -> None:
        """The reader allows more."""
        self._credit += credit_bytes
        self._pump()
        self._on_read()

    def write(self, pcm: bytes) -> None:
        """Take audio, and send what credit allows."""
        if pcm:
            self._pending.append(memoryview(pcm))
            self._pending_bytes += len(pcm)
        self._pump()

    def place(self, segment: int, span: Span, heard: bytes) -> None:
        """The reader is told by what it hears."""

    def mark(self, progress: Progress, *, is_last: bool) -> None:
        """Streams are not durable: nothing to write."""

    def finish(self) -> None:
        """All audio was written; the end follows the last of it."""
        self._is_written = True
        self._pump()

    def fail(self, error: VoicedError) -> None:
        """End now, with the reason."""
        if not self._is_over:
            self._close()
            reply = m.ErrorReply(request_id=self._id, code=error.code.value, message=error.message)
            self._send_last(reply, time.monotonic() + STALL_S)

    def _send_last(self, reply: m.ErrorReply, until: float) -> None:
        """Send the reason of the end; while there is no room for it at the moment, try again until `until`."""
        if self._peer.send(reply) is Sent.FULL and time.monotonic() < until:
            asyncio.get_running_loop().call_later(RETRY_S, self._send_last, reply, until)

    def _pump(self) -> None:
        if self._opening is not None and not self._is_over:
            if not self._send(self._opening):
                return
            self._opening = None
        while self._pending and self._credit > 0 and not self._is_over:
            first = self._pending[0]
            size = min(len(first), self._credit, m.MAX_CHUNK_BYTES) & ~1
            if size == 0:
                break
            reply = m.AudioChunk(request_id=self._id, job_id=self._id, sequence=self._sequence)
            if not self._send(reply, first[:size]):
                return
            if size == len(first):
                self._pending.popleft()
            else:
                self._pending[0] = first[size:]
            self._pending_bytes -= size
            self._sequence += 1
            self._credit -= size
            self._sent_bytes += size
            self._stalled_s = 0.0
        if self._is_written and not self._pending and not self._is_over:
            assert self._tell is not None
            done = m.Done(request_id=self._id, job=self._tell(), samples=self.samples)
            if self._send(done):
                self._close()

    def _send(self, reply: m.Reply, payload: memoryview | None = None) -> bool:
        sent = self._peer.send(reply, payload)
        if sent is Sent.GONE:
            self._lose(VoicedError("the reader of the stream is gone"))
        elif sent is Sent.FULL:
            if self._again is not None:
                self._again.cancel()
            self._again = asyncio.get_running_loop().call_later(RETRY_S, self._pump)
        return sent is Sent.YES

    def _tick(self) -> None:
        if self._is_over:
            return
        self._timer = asyncio.get_running_loop().call_later(PROGRESS_S, self._tick)
        # A tick that comes late was slept through: the reader, who slept too, is given the time all the same.
        now = time.monotonic()
        passed_s, self._ticked_at = min(now - self._ticked_at, 2 * PROGRESS_S), now
        # What waits has no credit, or a peer that grants and does not read.
        if self._opening or self._pending or self._is_written:
            self._stalled_s += passed_s
            if self._stalled_s > STALL_S:
                self._lose(StreamStalled(f"nothing was read for {STALL_S:.0f} s; the stream was ended"))
                return
        if self._opening:
            return
        assert self._tell is not None
        info = self._tell()
        progress = m.Progress(
            request_id=self._id,
            job_id=self._id,
            segments=info.segments,
            segments_done=info.segments_done,
            audio_s=info.audio_s,
        )
        if self._peer.send(progress) is Sent.GONE:
            self._lose(VoicedError("the reader of the stream is gone"))

    def _lose(self, error: VoicedError) -> None:
        if not self._is_over:
            self.fail(error)
            self._on_lost(error)

    def close(self) -> None:
        """A stream has no files."""

    def _close(self) -> None:
        self._is_over = True
        self._pending.clear()
        self._pending_bytes = 0
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        self._on_over()


class FileSink:
    """Gathers audio into groups and has the store write each with its ledger: at most 1 s of work or 4 MB.

    Args:
        part: The growing file.
        timeline: Where its segments lie, and when their words are heard.
        store: Writes it.
        job: Gives the job as it stands, for the ledger.
        on_written: Called when the last group is on disk.
        on_failed: Called when the disk refuses.
        on_room: Called when a group was written: more may be made.
    """

    def __init__(
        self,
        part: PartFile,
        timeline: TimelineFile,
        store: Store,
        job: Callable[[], Job],
        on_written: Callable[[], None],
        on_failed: Callable[[VoicedError], None],
        on_room: Callable[[], None],
    ) -> None:
        self._part = part
        self._timeline = timeline
        self._places: list[Placed] = []
        """Of the group's segments, and which is the first."""
        self._first_place = job().progress.segments_done
        self._store = store
        self._job = job
        self._on_written = on_written
        self._on_failed = on_failed
        self._on_room = on_room
        self._offset = job().progress.data_bytes
        self._group: list[bytes] = []
        self._group_bytes = 0
        self._in_store_bytes = 0
        self._group_began = time.monotonic()
        self._unwritten: Progress | None = None
        """The last mark, while its group is not with the store."""
        self._is_over = False

    @property
    def is_behind(self) -> bool:
        """Whether the disk is so far behind that no more should be made."""
        return self._group_bytes + self._in_store_bytes > _BEHIND_BYTES

    def write(self, pcm: bytes) -> None:
        """Take audio."""
        self._group.append(pcm)
        self._group_bytes += len(pcm)

    def place(self, segment: int, span: Span, heard: bytes) -> None:
        """Remember where a segment lies and when its words are heard; they come in the order of the plan."""
        assert segment == self._first_place + len(self._places)
        self._places.append(Placed(span, heard))

    def mark(self, progress: Progress, *, is_last: bool) -> None:
        """Hand the group to the store when it is large or old enough, or the last."""
        is_due = (
            is_last or self._group_bytes >= GROUP_BYTES or time.monotonic() - self._group_began >= GROUP_S
        )
        self._unwritten = progress
        if is_due:
            self._write_group(is_last=is_last)

    def _write_group(self, *, is_last: bool) -> None:
        progress, self._unwritten = self._unwritten, None
        if self._is_over or progress is None:
            return
        chunks, size, offset = self._group, self._group_bytes, self._offset
        self._group, self._group_bytes = [], 0
        self._offset += size
        self._in_store_bytes += size
        self._group_began = time.monotonic()
        job = self._job()
        places, first = self._places, self._first_place
        self._places, self._first_place = [], first + len(places)
        write_audio = self._part.writer(offset, chunks)
        write_places = self._timeline.writer(first, places)

        def write() -> None:
            write_audio()
            if places:
                write_places()

        written = self._store.update(job._replace(progress=progress), write)
        written.add_done_callback(lambda done: self._written(done, size, is_last=is_last))

    def finish(self) -> None:
        """Nothing more comes; the last `mark` has handed everything over."""

    def fail(self, error: VoicedError) -> None:
        """What was spoken so far stays for a retry."""

    def close(self) -> None:
        """Hand over what was marked, and have the part closed after it."""
        self._write_group(is_last=False)
        self._is_over = True
        self._store.do(lambda _connection: self._close_files())

    def _close_files(self) -> None:
        self._part.close()
        self._timeline.close()

    def _written(self, done: "asyncio.Future[None]", size: int, *, is_last: bool) -> None:
        self._in_store_bytes -= size
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or self._is_over:
            return
        if isinstance(error, VoicedError):
            self._is_over = True
            self._on_failed(error)
        elif is_last:
            self._on_written()
        else:
            self._on_room()
