"""The voices that were added: a folder for each, with its recordings and `voice.json`.

A voice appears, changes and goes by a rename: it is whole or it is not there. Belongs to the loop; what writes to the
disk (`publish`, `remove`, `sweep`) may be called on another thread, one call at a time.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from voiced.files.atomic import fsync_folder, write_atomically
from voiced_ipc.errors import InvalidRequest, UnknownVoice

logger = logging.getLogger(__name__)

VOICE_FILE = "voice.json"
_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_RECORDING = re.compile(r"ref-[1-9][0-9]?\.wav")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STAGING, _REPLACED = ".adding-", ".replaced-"
_MAX_JSON_BYTES = 1 << 20


class Recording(NamedTuple):
    """One recording of a voice."""

    file: str
    """Name in the voice's folder."""
    sha256: str
    seconds: float
    sample_rate_hz: int
    transcript: str = ""


class Voice(NamedTuple):
    """A voice that was added."""

    voice: str
    folder: Path
    recordings: tuple[Recording, ...] = ()
    description: str = ""
    language: str = ""
    """BCP 47 tag of what is said in the recordings; empty = unknown."""
    created: str = ""
    request_id: str = ""
    """Of the request that added it: the same one again finds it done."""

    @property
    def digest(self) -> str:
        """What the voice is made of: another digest is another voice, whatever its name."""
        return _digest("voice", self.description, *_contents(self.recordings))

    @property
    def seconds(self) -> float:
        """Length of its recordings together."""
        return sum(recording.seconds for recording in self.recordings)

    @property
    def kind(self) -> str:
        """`prompt` where recordings make it, else `description`."""
        return "prompt" if self.recordings else "description"


def recordings_digest(recordings: Sequence[Recording]) -> str:
    """Return a digest of what recordings hold and what is said in them."""
    return _digest("recordings", *_contents(recordings))


def check_name(voice: str) -> str:
    """Return the name of a new voice.

    Raises:
        InvalidRequest: If it cannot be one.
    """
    if not _NAME.fullmatch(voice):
        raise InvalidRequest(
            f"{voice!r} cannot be the name of a voice: 1 to 64 letters without accents, digits, - and _"
        )
    return voice


class Voices:
    """All voices that were added.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._voices: dict[str, Voice] | None = None

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._folder

    def all(self) -> list[Voice]:
        """Return them, sorted by name; what cannot be read is left out, with a word in the log."""
        if self._voices is None:
            self._voices = {voice.voice: voice for voice in map(_read, _folders(self._folder)) if voice}
        return sorted(self._voices.values(), key=lambda voice: voice.voice)

    def find(self, voice: str) -> Voice | None:
        """Return a voice; None = there is none of that name."""
        return next((known for known in self.all() if known.voice == voice), None)

    def get(self, voice: str, digest: str) -> Voice:
        """Return the voice that a job began with.

        Raises:
            UnknownVoice: If it was removed, or replaced by another, since.
        """
        known = self.find(voice)
        if known is None:
            raise UnknownVoice(f"the voice {voice} was removed since the job began: add it again, then retry")
        if known.digest != digest:
            raise UnknownVoice(
                f"the voice {voice} was replaced since the job began: ask for the text anew, "
                "or bring the old recordings back and retry"
            )
        return known

    def same_name(self, voice: str) -> Voice | None:
        """Return the voice whose folder a new one of this name would take: some disks know no capital letters."""
        return next((known for known in self.all() if known.voice.lower() == voice.lower()), None)

    def stage(self) -> Path:
        """Return a fresh folder for a voice in the making.

        Raises:
            OSError: If it cannot be made.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = self._folder / f"{_STAGING}{os.urandom(8).hex()}"
        folder.mkdir(mode=0o700)
        return folder

    def publish(self, staging: Path, voice: Voice, *, replace: bool = False) -> Voice:
        """Make a staged folder the voice, and return it.

        Args:
            staging: From `stage`, with the recordings in it.
            voice: What it is; its folder is filled in.
            replace: Put it in the place of one of the same name.

        Raises:
            InvalidRequest: If there is one, and it is not to be replaced.
            OSError: If it cannot be written; an older one is as it was.
        """
        known = self.same_name(voice.voice)
        if known is not None and not replace:
            raise InvalidRequest(
                f"there is a voice {known.voice} already: choose another name, or replace it"
            )
        voice = voice._replace(folder=self._folder / voice.voice)
        for recording in voice.recordings:
            _sync_file(staging / recording.file)
        write_atomically(staging / VOICE_FILE, _dump(voice).encode())
        aside = self._folder / f"{_REPLACED}{known.voice}" if known else None
        if known is not None and aside is not None:
            _remove_tree(aside)
            known.folder.rename(aside)
        try:
            staging.rename(voice.folder)
        except OSError:
            if known is not None and aside is not None:
                aside.rename(known.folder)
            raise
        fsync_folder(self._folder)
        if aside is not None:
            _remove_tree(aside)
        self._voices = None
        return voice

    def remove(self, voice: str) -> Voice:
        """Remove a voice and return what it was.

        Raises:
            UnknownVoice: If there is none of that name.
            OSError: If it cannot be removed.
        """
        known = self.find(voice)
        if known is None:
            raise UnknownVoice(f"no voice {voice!r} was added; `voiced voice list` shows those that were")
        aside = self._folder / f"{_STAGING}{os.urandom(8).hex()}"
        known.folder.rename(aside)
        fsync_folder(self._folder)
        _remove_tree(aside)
        self._voices = None
        return known

    def sweep(self) -> None:
        """Put in order what an earlier end left: half-made voices go, a half-replaced one comes back."""
        for folder in _folders(self._folder, hidden=True):
            with contextlib.suppress(OSError):
                if folder.name.startswith(_STAGING):
                    _remove_tree(folder)
                elif folder.name.startswith(_REPLACED):
                    place = self._folder / folder.name.removeprefix(_REPLACED)
                    if place.exists():
                        _remove_tree(folder)
                    else:
                        folder.rename(place)


# -- files --------------------------------------------------------------------------------------------


def _folders(folder: Path, *, hidden: bool = False) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        one for one in found if one.name.startswith(".") is hidden and one.is_dir() and not one.is_symlink()
    ]


def read_voice(folder: Path, voice: str) -> Voice:
    """Return the voice in a folder.

    Args:
        folder: With its recordings and `voice.json`.
        voice: Its name.

    Raises:
        OSError, ValueError, KeyError, TypeError: If there is none.
        InvalidRequest: If that is no name.
    """
    with (folder / VOICE_FILE).open("rb") as file:
        return _load(folder, voice, file.read(_MAX_JSON_BYTES))


def _read(folder: Path) -> Voice | None:
    try:
        return read_voice(folder, folder.name)
    except InvalidRequest:
        return None  # a folder of somebody else's
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        logger.warning("the voice in %s cannot be read (%s): add it again", folder.name, error)
        return None


def _dump(voice: Voice) -> str:
    fields = voice._asdict()
    fields.pop("folder")
    fields["recordings"] = [recording._asdict() for recording in voice.recordings]
    return json.dumps({"version": _VERSION, **fields}, indent=1, ensure_ascii=False)


def _load(folder: Path, voice: str, text: bytes) -> Voice:
    fields = json.loads(text)
    if fields["version"] != _VERSION:
        raise ValueError("made by another version")
    recordings = tuple(_recording(one) for one in fields["recordings"])
    words = {name: fields[name] for name in ("description", "language", "created", "request_id")}
    if not all(isinstance(word, str) for word in words.values()):
        raise ValueError("a word is none")
    if not recordings and not words["description"]:
        raise ValueError("nothing makes a voice of it")
    return Voice(check_name(voice), folder, recordings, **words)


def _recording(fields: dict[str, Any]) -> Recording:
    recording = Recording(
        fields["file"],
        fields["sha256"],
        float(fields["seconds"]),
        int(fields["sample_rate_hz"]),
        fields["transcript"],
    )
    if not _RECORDING.fullmatch(recording.file) or not _SHA256.fullmatch(recording.sha256):
        raise ValueError("a recording has no name or no checksum")
    if not isinstance(recording.transcript, str):
        raise TypeError("a transcript is no text")
    return recording


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_tree(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


# -- digests ------------------------------------------------------------------------------------------


def _contents(recordings: Sequence[Recording]) -> list[str]:
    return [word for recording in recordings for word in (recording.sha256, recording.transcript)]


def _digest(*words: str) -> str:
    """Over words with their lengths: `ab` + `c` is not `a` + `bc`."""
    digest = hashlib.sha256()
    for word in words:
        data = word.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
