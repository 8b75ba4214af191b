"""The studio: recordings that clients hand in, or words, become voices.

The scribe reads the recordings, since they may be anything; here they are claimed, named and published. Belongs to the
loop.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from voiced.jobs.job import stamp
from voiced.jobs.scribes import Scribes
from voiced.models.voices import Recording, Voice, Voices, check_name
from voiced.workers.link import Fields
from voiced_ipc.errors import InvalidRequest, StorageFailed
from voiced_ipc.messages import AddVoice

_INCOMING = re.compile(r"[A-Za-z0-9_-]{16,64}")
_NO_TRANSCRIPT = (
    "no transcript was given: some models clone a voice better where they know what is said (--text)"
)


class Added(NamedTuple):
    """A new voice, and what would make it better."""

    voice: Voice
    notes: tuple[str, ...] = ()


class Studio:
    """Makes voices.

    Args:
        voices: Those that there are.
        scribes: Read recordings.
        incoming: Where clients put them.
        owner_of: Returns the model that has a voice of this name of its own; empty = none that is known has.
    """

    def __init__(
        self, voices: Voices, scribes: Scribes, incoming: Path, owner_of: Callable[[str], str]
    ) -> None:
        self._voices = voices
        self._scribes = scribes
        self._incoming = incoming
        self._owner_of = owner_of
        self._turn = asyncio.Lock()

    async def add(self, request: AddVoice) -> Added:
        """Make a voice and return it; the same request again finds it made.

        Raises:
            InvalidRequest: If it cannot be made as asked.
            ReferenceRefused: If a recording cannot become a voice.
            StorageFailed: If the disk refuses. Nothing is kept, and an older voice is as it was.
        """
        check_name(request.voice)
        if not request.references and not request.description.strip():
            raise InvalidRequest("a voice needs a recording, or a description")
        async with self._turn:
            known = self._voices.same_name(request.voice)
            if known is not None and known.request_id == request.request_id:
                return Added(known)
            if known is not None and not request.replace:
                raise InvalidRequest(
                    f"there is a voice {known.voice} already: choose another name, or replace it (--replace)"
                )
            try:
                return await self._make(request)
            except OSError as error:
                raise StorageFailed(f"the voice could not be written: {error.strerror or error}") from error

    async def remove(self, voice: str) -> Voice:
        """Remove a voice and return what it was.

        Raises:
            UnknownVoice: If there is none of that name.
            StorageFailed: If the disk refuses.
        """
        async with self._turn:
            try:
                return await asyncio.to_thread(self._voices.remove, voice)
            except OSError as error:
                raise StorageFailed(f"the voice could not be removed: {error.strerror or error}") from error

    async def _make(self, request: AddVoice) -> Added:
        staging = self._voices.stage()
        claimed: list[Path] = []
        try:
            answer: Fields = {}
            for reference in request.references:
                claimed.append(self._claim(reference.incoming))
            if claimed:
                answer = await self._scribes.references([str(path) for path in claimed], str(staging))
            voice = Voice(
                request.voice,
                staging,
                _recordings(answer, [reference.transcript for reference in request.references]),
                request.description.strip(),
                request.language,
                stamp(),
                request.request_id,
            )
            voice = await asyncio.to_thread(self._voices.publish, staging, voice, replace=request.replace)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        finally:
            for path in claimed:
                path.unlink(missing_ok=True)
        return Added(voice, (*_notes(answer), *self._advice(voice)))

    def _claim(self, incoming: str) -> Path:
        """Take a recording out of the client's hands: nobody changes it while it is read."""
        source = self._incoming / incoming
        if not _INCOMING.fullmatch(incoming) or source.is_symlink() or not source.is_file():
            raise InvalidRequest(f"no recording {incoming} lies in {self._incoming}")
        claimed = self._incoming / f".voice-{os.urandom(8).hex()}"
        source.rename(claimed)
        return claimed

    def _advice(self, voice: Voice) -> list[str]:
        notes = []
        if voice.recordings and not any(recording.transcript for recording in voice.recordings):
            notes.append(_NO_TRANSCRIPT)
        owner = self._owner_of(voice.voice)
        if owner:
            notes.append(
                f"{owner} has a voice {voice.voice} of its own, which goes first there: "
                "another name would make this one usable with it"
            )
        return notes


def _recordings(answer: Fields, transcripts: list[str]) -> tuple[Recording, ...]:
    made: Any = answer.get("recordings", [])
    return tuple(
        Recording(
            str(one["file"]),
            str(one["sha256"]),
            float(one["seconds"]),
            int(one["sample_rate_hz"]),
            transcript.strip(),
        )
        for one, transcript in zip(made, transcripts, strict=True)
    )


def _notes(answer: Fields) -> tuple[str, ...]:
    notes: Any = answer.get("notes", [])
    return tuple(str(note) for note in notes)
