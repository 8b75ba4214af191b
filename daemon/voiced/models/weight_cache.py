"""The weight cache as the daemon keeps it: what loading had to compute, so that the next load only maps a file.

Workers read and write it themselves (`voiced.engines.kept`), each model in a folder of its own: a safetensors file
and, beside it, a small JSON file that says what it is; its time of change is the last use. Here it is bounded, listed
and emptied.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from voiced.files.atomic import sweep_temporaries
from voiced.models.cache_index import Bounds, CacheIndex, Entry, Tally, clear_folder

logger = logging.getLogger(__name__)

MAX_ENTRIES = 200
FORMAT = "voiced-weights"
_KEY = re.compile(r"[0-9a-f]{64}")
_MAX_JSON_BYTES = 64 << 10


class WeightFacts(NamedTuple):
    """What the small file says."""

    model: str
    torch: str
    """Version of the torch that wrote it."""
    sha256: str
    size_bytes: int
    mtime_ns: int
    inode: int
    """Of the tensors' file: where all three are as they were, it is not read only to check it."""
    reason: str = ""
    """Why it had to be made."""


def read_weight_facts(path: Path) -> WeightFacts:
    """Return what is said of an entry.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it says nothing that can be used.
    """
    with path.open("rb") as file:
        fields = json.loads(file.read(_MAX_JSON_BYTES))
    if not isinstance(fields, dict) or fields.pop("format", "") != FORMAT:
        raise ValueError("it is not ours")
    try:
        facts = WeightFacts(**fields)
    except TypeError as error:
        raise ValueError("it does not say what it is") from error
    words, numbers = (facts.model, facts.torch, facts.sha256, facts.reason), facts[3:6]
    if not all(isinstance(word, str) for word in words) or not all(type(one) is int for one in numbers):
        raise ValueError("it does not say what it is")
    return facts


def dump_weight_facts(facts: WeightFacts) -> bytes:
    """Return the small file of an entry."""
    return json.dumps({"format": FORMAT, **facts._asdict()}).encode()


def installed_torch() -> str:
    """Return the version of torch, without importing it; empty = there is none."""
    from importlib import metadata  # 10 ms that a daemon without kept weights need not spend

    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


class WeightCache:
    """The prepared weights on the disk. Belongs to the loop.

    Args:
        folder: Where they lie.
        max_bytes: Of all of them.
        torch_version: Returns the version that is installed, empty = none is; None = look.
    """

    def __init__(self, folder: Path, max_bytes: int, torch_version: Callable[[], str] | None = None) -> None:
        self.folder = folder
        self._index = CacheIndex(Bounds(max_bytes, MAX_ENTRIES), self._path, self._remove)
        self._torch_version = torch_version or installed_torch
        self._inodes: dict[str, int] = {}
        self._has_read = False

    @property
    def index(self) -> CacheIndex:
        """What there is; read from the disk when it is first asked for."""
        if not self._has_read:
            self.look()
        return self._index

    def look(self) -> None:
        """See what workers did since the last look: count hits and misses, and keep to the bounds.

        What a load used has another time of change; what it had to make is another file.
        """
        is_first, self._has_read = not self._has_read, True
        if is_first:
            sweep_temporaries(self.folder)
            self._remove_halves()
        before = {entry.key: entry for entry in self._index.entries}
        found, inodes = [], {}
        for path, facts in self._scan():
            entry = self._entry(path, facts)
            found.append(entry)
            inodes[entry.key] = facts.inode
            known = before.get(entry.key)
            if is_first:
                continue
            if known is None or self._inodes.get(entry.key) != facts.inode:
                self._index.miss(facts.reason)
                logger.info("weight cache miss: %s (%s)", facts.model, facts.reason)
            elif entry.used_s != known.used_s:
                self._index.hit()
                logger.info("weight cache hit: %s", facts.model)
        self._inodes = inodes
        self._index.replace(found, time.time())
        for entry in self._index.prune():
            logger.info("weight cache: weights of %s went, the longest unused", entry.model)

    def clear(self) -> int:
        """Empty it, whoever made the files; return how many entries and strange files went.

        Raises:
            OSError: If one cannot be removed.
        """
        for entry in self.index.entries:
            self._index.drop(entry.key, "cleared")
        self._inodes.clear()
        folders = [path for path in self.folder.glob("*") if path.is_dir() and not path.is_symlink()]
        return sum(map(clear_folder, [self.folder, *folders]))

    @property
    def tally(self) -> Tally:
        """How it has served."""
        return self._index.tally

    def _scan(self) -> list[tuple[Path, WeightFacts]]:
        paths = self._ours(".json")
        version = self._torch_version() if paths else ""
        found = []
        for path in paths:
            try:
                facts = read_weight_facts(path)
            except OSError:
                continue
            except ValueError as error:
                logger.warning("weight cache: %s cannot be used (%s) and was removed", path.name, error)
                self._remove(self._key(path))
                continue
            if version and facts.torch != version:
                logger.info("weight cache: weights of %s went, made by torch %s", facts.model, facts.torch)
                self._remove(self._key(path))
                continue
            found.append((path, facts))
        return found

    def _remove_halves(self) -> None:
        """Tensors of ours that nothing is said of: a crash came between the two files."""
        for path in self._ours(".safetensors"):
            if not path.with_suffix(".json").exists():
                self._remove(self._key(path))

    def _ours(self, suffix: str) -> list[Path]:
        """Files with a name of ours, in the folder and in those of single models."""
        found = [*self.folder.glob(f"*{suffix}"), *self.folder.glob(f"*/*{suffix}")]
        return [path for path in found if _KEY.fullmatch(path.stem)]

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self.folder).with_suffix(""))

    def _entry(self, path: Path, facts: WeightFacts) -> Entry:
        used_s = path.stat().st_mtime if path.exists() else 0.0
        key = self._key(path)
        return Entry(key, facts.model, "", key, facts.size_bytes, used_s)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _remove(self, key: str) -> None:
        for suffix in (".json", ".safetensors"):
            try:
                (self.folder / f"{key}{suffix}").unlink(missing_ok=True)
            except OSError as error:
                logger.warning("weight cache: a file cannot be removed: %s", error)
