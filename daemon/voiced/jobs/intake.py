"""From a request or a dropped text to a planned job: what is to be spoken, how, and in which segments.

Nothing is accepted here: the manager puts what comes out into the store, and only then anybody is told.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from voiced.config import Config
from voiced.drop.claim import Claim
from voiced.drop.sidecar import Wishes
from voiced.files.names import printable
from voiced.jobs import resolve
from voiced.jobs.assembly import Pauses
from voiced.jobs.casting import Casting
from voiced.jobs.job import Order, Speech, digest_of, stamp
from voiced.jobs.scribes import Scribes
from voiced.jobs.spool import PARTS_FOLDER, discard
from voiced.models.spec import ModelSpec
from voiced.paths import Paths
from voiced.segments import Plan, PlanDamaged, read_plan, unpack_plan
from voiced.text.lexicon import Lexicon
from voiced.text.plan import Limits, make_plan
from voiced.text.spoken import spoken_forms
from voiced.workers.link import Fields
from voiced_ipc.errors import (
    InternalError,
    InvalidRequest,
    StorageFailed,
)
from voiced_ipc.messages import Chapters, Lane, OnLongText, Output, Synthesize

_INLINE_CHARS = 4000
"""Texts up to this length with a known language are planned on the loop (a fraction of a millisecond)."""
FIRST_SEGMENT_CHARS = 80
"""The first segment of a stream ends at the first clause of at most so many characters."""
DEFAULT_LANGUAGE = "en"
SOURCE = "source"
"""Name of a handed-in document in its job's folder."""
_LANES = {Output.STREAM: Lane.INTERACTIVE, Output.FILE: Lane.NORMAL}


class Planned(NamedTuple):
    """A job that could be accepted."""

    order: Order
    plan: Plan
    spec: ModelSpec
    original_chars: int
    notes: tuple[str, ...] = ()


class Machine(NamedTuple):
    """What a request is told of the hardware."""

    tier: str = ""
    max_text_chars: int = 0
    """What `truncate` keeps on it; 0 = everything."""


class Intake:
    """Plans what comes in.

    Args:
        config: Fills in what a request leaves open; replaced on reload.
        paths: Where the spool lies.
        casting: Knows who speaks.
        scribes: Read documents and find out languages.
    """

    def __init__(self, config: Config, paths: Paths, casting: Casting, scribes: Scribes) -> None:
        self.config = config
        self.casting = casting
        self.lexicon = Lexicon()
        """How single words are spoken in small texts; replaced on reload. Scribes read the file themselves."""
        self.machine: Callable[[], Machine] = Machine
        """Tells what is known of the hardware by now."""
        self._paths = paths
        self._scribes = scribes

    def folder(self, job_id: str) -> Path:
        """Return a job's folder in the spool."""
        return self._paths.spool / job_id

    async def plan_stream(self, request: Synthesize, payload: bytes) -> Planned:
        """Return the planned stream.

        Raises:
            VoicedError: If it cannot be spoken as asked.
        """
        resolve.check_stream(request)
        cast = await self.casting.cast(request, self.config)
        speech, spec, language, likely, notes = cast
        text = _decoded(payload)
        truncate = self._truncate_chars(request, len(text))
        is_inline = language and len(text) <= _INLINE_CHARS and spec.speaks_numbers
        if is_inline and not truncate and not text.isspace():
            plan = make_plan(text, language=language, limits=self._limits(spec, is_stream=True))
            plan = spoken_forms(plan, text, self.lexicon)
            original = len(text)
        else:
            fields = self._prepare_fields(spec, language, likely, is_stream=True)
            fields["truncate_chars"] = truncate
            header, packed = await self._scribes.prepare(fields, payload)
            plan, original = _unpacked(packed), _int(header, "original_chars")
        self.casting.check_language_found(cast, plan.language)
        order = self._order(request, digest_of(request, payload), speech, plan)
        return Planned(order, plan, spec, original, notes)

    async def plan_file(self, request: Synthesize, payload: bytes) -> Planned:
        """Return the planned durable job; its text and plan lie in the spool.

        Raises:
            VoicedError: If it cannot be spoken as asked; nothing is left in the spool.
        """
        file_format = resolve.check_format(request.format or self.config.format)
        cast = await self.casting.cast(request, self.config)
        speech, spec, language, likely, notes = cast
        folder = self._make_folder(request.request_id)
        fields = self._prepare_fields(spec, language, likely, is_stream=False)
        fields |= {"folder": str(folder), "name": request.name}
        if request.incoming:
            fields["source"] = str(self._claim_incoming(request, folder))
        else:
            _decoded(payload)
        fields["truncate_chars"] = self._truncate_chars(request, len(payload))
        header, _ = await self._scribes.prepare(fields, payload)
        plan = read_plan(folder)
        self.casting.check_language_found(cast, plan.language)
        order = self._order(request, digest_of(request, payload), speech, plan)._replace(
            format=file_format,
            sample_rate_hz=request.sample_rate_hz,
            part=str(self.config.audio_folder / PARTS_FOLDER / f"{request.request_id}.part"),
            audio_folder=str(self.config.audio_folder),
        )
        order, more = self._of_document(order, header, plan)
        return Planned(order, plan, spec, _int(header, "original_chars"), (*notes, *more))

    def give_back(self, request: Synthesize) -> None:
        """A request was refused: its document goes back where the client put it, its folder goes."""
        folder = self.folder(request.request_id)
        with contextlib.suppress(OSError):
            (folder / SOURCE).rename(self._paths.incoming / request.request_id)
        discard(folder)

    def throw_away(self, request: Synthesize) -> None:
        """A request was cancelled: its document goes, wherever it is by now, and its folder."""
        if request.incoming == request.request_id:
            with contextlib.suppress(OSError):
                (self._paths.incoming / request.incoming).unlink()
        discard(self.folder(request.request_id))

    async def plan_claim(self, claim: Claim, wishes: Wishes) -> Planned:
        """Return the planned job of a dropped text; its text and plan lie in the spool.

        Args:
            claim: The text.
            wishes: What its sidecars say; the settings hold for what they leave open.

        Raises:
            VoicedError: If it cannot be read, or not be spoken as wished.
        """
        config = self.config
        request = resolve.wished_request(claim.job_id, wishes, config)
        file_format = resolve.check_format(request.format or config.format)
        cast = await self.casting.cast(request, self.config)
        speech, spec, language, likely, notes = cast
        folder = self._make_folder(claim.job_id)
        fields = self._prepare_fields(spec, language, likely, is_stream=False)
        fields |= {
            "folder": str(folder),
            "name": printable(claim.path.name),
            "source": os.fsdecode(claim.path),
        }
        header, _ = await self._scribes.prepare(fields)
        plan = read_plan(folder)
        self.casting.check_language_found(cast, plan.language)
        order = self._order(request, "", speech, plan)._replace(
            name=claim.path.name,
            format=file_format,
            part=str(config.audio_folder / PARTS_FOLDER / f"{claim.job_id}.part"),
            audio_folder=str(config.audio_folder / claim.relative.parent),
            relative=str(claim.relative),
            claim=str(claim.path),
            done_folder=str(config.done_folder),
            failed_folder=str(config.failed_folder),
        )
        order, more = self._of_document(order, header, plan)
        return Planned(order, plan, spec, _int(header, "original_chars"), (*notes, *more))

    def pauses(self) -> Pauses:
        """Return the pauses of new jobs."""
        config = self.config
        return Pauses(
            config.clause_pause_ms,
            config.sentence_pause_ms,
            config.paragraph_pause_ms,
            config.chapter_pause_ms,
        )

    def _make_folder(self, job_id: str) -> Path:
        folder = self.folder(job_id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageFailed(
                f"{folder} cannot be made: {error.strerror}; mend that and ask again"
            ) from error
        return folder

    # -- parts ----------------------------------------------------------------------------------------

    def _limits(self, spec: ModelSpec, *, is_stream: bool) -> Limits:
        return Limits(
            self.config.segment_chars or spec.max_segment_chars, FIRST_SEGMENT_CHARS if is_stream else 0
        )

    def _prepare_fields(self, spec: ModelSpec, language: str, likely: str, *, is_stream: bool) -> Fields:
        limits = self._limits(spec, is_stream=is_stream)
        return {
            "type": "prepare",
            "source": "",
            "name": "",
            "folder": "",
            "language": language,
            "default_language": likely or DEFAULT_LANGUAGE,
            "max_chars": limits.max_chars,
            "first_max_chars": limits.first_max_chars,
            "truncate_chars": 0,
            "max_document_bytes": self.config.max_document_mb << 20,
            "lexicon": str(self._paths.lexicon_file),
            "spells_numbers": not spec.speaks_numbers,
        }

    def _truncate_chars(self, request: Synthesize, chars: int) -> int:
        kept = self.machine().max_text_chars
        return kept if request.on_long_text is OnLongText.TRUNCATE and 0 < kept < chars else 0

    def _order(self, request: Synthesize, digest: str, speech: Speech, plan: Plan) -> Order:
        return Order(
            job_id=request.request_id,
            digest=digest,
            lane=request.lane or _LANES[request.output],
            output=request.output,
            name=Path(request.name).name or f"speech-{request.request_id[:8]}",
            speech=speech,
            format="pcm",
            sample_rate_hz=0,
            subtitles=request.subtitles,
            chapters=request.chapters,
            loudness_lufs=self.config.loudness_lufs
            if request.loudness_lufs is None
            else request.loudness_lufs,
            created=stamp(),
            chars=plan.chars,
            language=plan.language,
            segments=len(plan.segments),
        )

    def _of_document(self, order: Order, header: Fields, plan: Plan) -> tuple[Order, tuple[str, ...]]:
        """Return an order with what its document tells of itself, and what differs from what was asked for."""
        title, author, cover = (str(header.get(name) or "") for name in ("title", "author", "cover"))
        order = order._replace(title=title, author=author, cover=cover)
        if order.chapters is Chapters.FOLDER and len(plan.chapters) < 2:
            return order._replace(chapters=Chapters.ONE_FILE), ("it has no chapters: one file is made",)
        return order, ()

    def _claim_incoming(self, request: Synthesize, folder: Path) -> Path:
        """Take the document out of the incoming folder; the same request again finds it taken already."""
        if request.incoming != request.request_id:
            raise InvalidRequest("incoming must be the request's own id")
        source = folder / SOURCE
        if not source.exists():
            with contextlib.suppress(FileNotFoundError):
                (self._paths.incoming / request.incoming).rename(source)
        if not source.exists():
            raise InvalidRequest(f"no document {request.incoming} lies in {self._paths.incoming}")
        return source


def _decoded(payload: bytes) -> str:
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the text is not UTF-8: {error}") from error
    if not text.strip():
        raise InvalidRequest("the text is empty: send it as the payload")
    if "\0" in text:
        raise InvalidRequest("the text has NUL characters: is it a binary file?")
    return text


def _unpacked(packed: bytes) -> Plan:
    try:
        return unpack_plan(packed)
    except PlanDamaged as error:
        raise InternalError(f"the scribe's plan is damaged: {error}") from error


def _int(fields: Fields, key: str) -> int:
    value = fields[key]
    assert isinstance(value, int)
    return value
