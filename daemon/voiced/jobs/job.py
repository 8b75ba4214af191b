"""A job: what was asked (`Order`, never changes), how far it is (`Progress`), and both together (`Job`).

Values only. The store keeps them as JSON; names and paths may hold bytes that are no UTF-8 (surrogate escapes).
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from voiced_ipc.messages import Chapters, JobState, Lane, Output, Subtitles, Synthesize

_LANES = list(Lane)


class Speech(NamedTuple):
    """How a text is to be spoken."""

    model: str
    voice: str = ""
    """Empty = the model's voice for the language of each segment."""
    speed: float = 1.0
    pitch: float = 1.0
    volume: float = 1.0
    seed: int = 0
    device: str = ""
    keep_alive_s: float | None = None
    description: str = ""
    """The voice, or the manner of speaking, in words."""
    voice_digest: str = ""
    """What the voice was made of when the job began, where it was added; empty = a voice of the model."""


class Order(NamedTuple):
    """What was asked and planned; fixed when the job is accepted."""

    job_id: str
    digest: str
    """Over everything that was asked: the same id with another digest is another request."""
    lane: Lane
    output: Output
    name: str
    """File name without folders: of the document, else made from the job's id."""
    speech: Speech
    format: str
    sample_rate_hz: int
    """Of the output; 0 = the engine's."""
    subtitles: Subtitles
    created: str
    chars: int
    language: str
    segments: int
    part: str = ""
    """The file that grows while the job runs, in the file system of the finished one; empty for a stream."""
    audio_folder: str = ""
    """Where the finished file goes, with the sub-folders of a dropped text."""
    relative: str = ""
    """Place of a dropped text below the drop folder."""
    claim: str = ""
    """Where the dropped text lies while the job runs; it goes to the done or failed folder."""
    done_folder: str = ""
    failed_folder: str = ""
    title: str = ""
    """As the document says; empty = its name."""
    author: str = ""
    cover: str = ""
    """Name of the picture in the job's folder; empty = there is none."""
    chapters: Chapters = Chapters.ONE_FILE
    loudness_lufs: float = 0.0
    """Of the whole file; 0 = as it is."""
    sidecars: tuple[str, ...] = ()
    """Digests of what the sidecars of a dropped text said when it was planned."""


class Progress(NamedTuple):
    """How far a job is; written with every group of audio that reaches the disk."""

    segments_done: int = 0
    """Segments whose audio is in the spool: the next attempt goes on here."""
    data_bytes: int = 0
    """Bytes of PCM in the spool; what lies beyond is cut off after a crash."""
    sample_rate_hz: int = 0
    """The engine's rate; 0 before the first audio."""
    device: str = ""
    work_s: float = 0.0
    first_audio_ms: float | None = None
    words_spoken: int = 0
    words_missed: int = 0
    faulty_segments: int = 0
    source: str = ""
    """Where the dropped text lies now, once it has left the claim."""
    path: str = ""
    """The final name, committed before the file appears under it."""
    error_code: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()
    precision: str = ""


class Job(NamedTuple):
    """An order and how far it is."""

    order: Order
    state: JobState
    progress: Progress
    updated: str
    number: int = 0
    """Grows with every job: their order of arrival."""

    @property
    def job_id(self) -> str:
        """The request's id."""
        return self.order.job_id

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts jobs: the lane, then the arrival."""
        return _LANES.index(self.order.lane), self.number

    @property
    def audio_s(self) -> float:
        """Seconds of audio in the spool."""
        rate = self.progress.sample_rate_hz
        return self.progress.data_bytes / 2 / rate if rate else 0.0

    def moved(self, state: JobState, **progress: Any) -> "Job":
        """Return the job in another state, with some of its progress replaced."""
        return self._replace(
            state=state,
            progress=self.progress._replace(**progress),
            updated=stamp(),
        )


def stamp() -> str:
    """Return the present moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def digest_of(request: Synthesize, payload: bytes) -> str:
    """Return the digest that tells a repeated request from another one with the same id.

    What may differ between two attempts at the same request (the credit) is left out.
    """
    asked = [str(getattr(request, field)) for field in request.__struct_fields__ if field != "credit_bytes"]
    return hashlib.sha256(b"\0".join([*(item.encode() for item in asked), payload])).hexdigest()


def segment_seed(seed: int, index: int) -> int:
    """Return the seed of a segment: the same alone and in a run, another for each segment."""
    return int.from_bytes(hashlib.sha256(b"%d/%d" % (seed, index)).digest()[:4], "little")


def dump_order(order: Order) -> str:
    """Return the order as JSON."""
    fields = order._asdict()
    fields["speech"] = order.speech._asdict()
    for name in ("lane", "output", "subtitles", "chapters"):
        fields[name] = fields[name].value
    return json.dumps(fields)


def load_order(text: str) -> Order:
    """Return the order in `text`.

    Raises:
        ValueError, TypeError, KeyError: If it is none.
    """
    fields = json.loads(text)
    fields["speech"] = Speech(**fields["speech"])
    fields["lane"] = Lane(fields["lane"])
    fields["output"] = Output(fields["output"])
    fields["subtitles"] = Subtitles(fields["subtitles"])
    fields["chapters"] = Chapters(fields.get("chapters", Chapters.ONE_FILE.value))
    fields["sidecars"] = tuple(fields.get("sidecars", ()))
    return Order(**fields)


def dump_progress(progress: Progress) -> str:
    """Return the progress as JSON."""
    return json.dumps(progress._asdict())


def load_progress(text: str) -> Progress:
    """Return the progress in `text`.

    Raises:
        ValueError, TypeError: If it is none.
    """
    fields = json.loads(text)
    fields["notes"] = tuple(fields["notes"])
    return Progress(**fields)
