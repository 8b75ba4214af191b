"""What a scribe is asked, as values; the frames stand in `voiced.child.scribe`."""

from typing import TypeVar

import msgspec

from voiced.workers.link import Fields
from voiced_ipc.errors import InternalError


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
    gain_db: float | None = None
    """Of the whole of which this is a part; None = it is not amplified."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A spool to measure, before files are made of its parts."""

    task: int
    source: str
    data_offset: int
    samples: int
    sample_rate_hz: int
    loudness_lufs: float


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


_Ask = TypeVar("_Ask", Load, Prepare, Finish, Level, SubtitlesOf, References)


def convert(fields: Fields, kind: type[_Ask]) -> _Ask:
    """Return a frame as the value that it is.

    Raises:
        InternalError: If the daemon asked in a wrong way.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise InternalError(f"The scribe was asked in a wrong way ({error}); restart voiced.") from error
