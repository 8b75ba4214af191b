"""The prompt cache as the daemon keeps it: which prompts there are, for which model, and why one is not there.

The tensors are the workers' (`voiced.child.prompts`); here are keys, files, bounds and words for the log. The key
covers what a prompt is made of and which model really makes it, so that one of another model is never even looked at.
"""

import hashlib
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from voiced.files.atomic import sweep_temporaries
from voiced.models.cache_index import Bounds, CacheIndex, Entry, clear_folder
from voiced.models.prompt_file import SUFFIX, PromptFacts, read_facts
from voiced.models.voices import Recording, Voice, Voices, recordings_digest

logger = logging.getLogger(__name__)

MAX_ENTRIES = 5000
"""Prompts have some 10 to 500 kB; so many are listed and read at a start in a moment."""
_FILE = re.compile(r"([0-9a-f]{64})\.prompt")
_JOBS = 256
"""Jobs whose first prompt is remembered: each counts once, however many segments it has."""

Asked = dict[str, object]


def prompt_key(recordings: Sequence[tuple[str, str]], identity: Mapping[str, str]) -> str:
    """Return the key of a prompt: SHA-256, in hexadecimal.

    Args:
        recordings: SHA-256 and transcript of each, in their order.
        identity: What was really loaded: model, width, revision, precision, code ...

    Each field goes in with its length, so that no two ways to cut the same letters meet.
    """
    digest = hashlib.sha256()

    def add(*words: str) -> None:
        for word in words:
            data = word.encode()
            digest.update(len(data).to_bytes(8, "little") + data)

    add("prompt", "1", str(len(recordings)))
    for sha256, transcript in recordings:
        add(sha256, transcript)
    for name, value in sorted(identity.items()):
        add(name, value)
    return digest.hexdigest()


class PromptCache:
    """The prompts on the disk. Belongs to the loop.

    Args:
        folder: Where they lie.
        voices: What they are made of.
        max_bytes: Of all of them.
        clock: Seconds of the epoch.
    """

    def __init__(
        self, folder: Path, voices: Voices, max_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder = folder
        self._voices = voices
        self._clock = clock
        self._index = CacheIndex(Bounds(max_bytes, MAX_ENTRIES), self._path, self._unlink)
        self._has_read = False
        self._jobs: OrderedDict[tuple[str, str], None] = OrderedDict()

    @property
    def index(self) -> CacheIndex:
        """What there is; read from the disk when it is first asked for."""
        if not self._has_read:
            self._has_read = True
            self._read(self._index)
            self._index.prune()
        return self._index

    # -- asked by the scheduler -----------------------------------------------------------------------

    def ask(self, voice: str, digest: str, ready: Mapping[str, object]) -> Asked | None:
        """Return the `prompt` of a `speak` frame; None = no recordings make this voice.

        Args:
            voice: A voice that was added.
            digest: What it was when the job began.
            ready: What the worker said of itself.

        Raises:
            UnknownVoice: If it was removed or replaced since.
        """
        known = self._voices.get(voice, digest)
        identities = ready.get("identities")
        if not known.recordings or not isinstance(identities, list) or "prompt" not in identities:
            return None
        recordings = known.recordings if ready.get("can_blend") else known.recordings[:1]
        wanted = self._wanted(known, recordings, identity_of(ready))
        return {
            "key": wanted.key,
            "file": str(self._path(wanted.key)),
            "reason": "" if wanted.key in self.index else self.index.why_missed(wanted),
            "voice": voice,
            "recordings": wanted.content,
            "model": wanted.model,
            "references": [
                {
                    "path": str(known.folder / recording.file),
                    "sha256": recording.sha256,
                    "transcript": recording.transcript,
                }
                for recording in recordings
            ],
        }

    def told(self, job_id: str, asked: Mapping[str, object], answer: Mapping[str, object]) -> None:
        """Take note of where a worker had the voice from.

        Args:
            job_id: Whose segments it was for; hits of the same job count once.
            asked: What `ask` returned.
            answer: The worker's `prompt` frame.
        """
        key, model, voice = str(asked["key"]), str(asked["model"]), str(asked["voice"])
        source, reason = str(answer["source"]), str(answer.get("reason") or "")
        took_ms, size = float(str(answer["took_ms"])), int(str(answer["bytes"]))
        is_new_job = self._is_new(job_id, key)
        if source == "made":
            self.index.miss(reason)
            logger.info("prompt cache miss: %s for %s (%s), made in %.0f ms", voice, model, reason, took_ms)
        elif is_new_job:
            self.index.hit()
            logger.info("prompt cache hit: %s for %s, from %s in %.1f ms", voice, model, source, took_ms)
        path = self._path(key)
        try:
            size = path.stat().st_size
        except OSError:
            self.index.drop(key, "not kept")
            return
        for gone in self.index.put(Entry(key, model, voice, str(asked["recordings"]), size, self._clock())):
            logger.info("prompt cache: %s for %s went, the longest unused", gone.voice, gone.model)

    # -- asked by people ------------------------------------------------------------------------------

    def forget(self, voice: str) -> None:
        """Remove what was made of a voice: whoever takes a voice away wants nothing of it kept."""
        for entry in self.index.entries:
            if entry.voice == voice:
                self._unlink(entry.key)
                self.index.drop(entry.key, "voice removed")

    def clear(self) -> int:
        """Empty it, whoever made the files; return how many went.

        Raises:
            OSError: If one cannot be removed.
        """
        for entry in self.index.entries:
            self.index.drop(entry.key, "cleared")
        return clear_folder(self.folder)

    # -- the disk -------------------------------------------------------------------------------------

    def _read(self, index: CacheIndex) -> None:
        """Find what earlier runs made; what is not ours stays as it is."""
        sweep_temporaries(self.folder)
        try:
            names = [path for path in self.folder.iterdir() if _FILE.fullmatch(path.name)]
        except OSError:
            return
        entries = []
        for path in names:
            key = path.name.removesuffix(SUFFIX)
            try:
                facts, found = read_facts(path), path.stat()
                _check(facts, key)
            except OSError:
                continue
            except ValueError as error:
                logger.warning("prompt cache: %s cannot be used (%s) and was removed", path.name, error)
                self._unlink(key)
                index.drop(key, "file damaged")
                continue
            model = facts.identity.get("model", "")
            entries.append(Entry(key, model, facts.voice, facts.recordings, found.st_size, found.st_mtime))
        index.replace(entries, self._clock())

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"

    def _unlink(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("prompt cache: a file cannot be removed: %s", error)

    def _wanted(self, voice: Voice, recordings: Sequence[Recording], identity: Mapping[str, str]) -> Entry:
        key = prompt_key([(one.sha256, one.transcript) for one in recordings], identity)
        return Entry(
            key, identity.get("model", ""), voice.voice, recordings_digest(recordings), 0, self._clock()
        )

    def _is_new(self, job_id: str, key: str) -> bool:
        mark = (job_id, key)
        is_new = mark not in self._jobs
        self._jobs[mark] = None
        self._jobs.move_to_end(mark)
        while len(self._jobs) > _JOBS:
            self._jobs.popitem(last=False)
        return is_new


def identity_of(ready: Mapping[str, object]) -> dict[str, str]:
    """Return what a worker says that it really loaded."""
    identity = ready.get("identity")
    return {str(name): str(value) for name, value in identity.items()} if isinstance(identity, dict) else {}


def _check(facts: PromptFacts, key: str) -> None:
    if facts.key != key:
        raise ValueError("it has another's name")
