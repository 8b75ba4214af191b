"""What a cache holds: its entries by last use, what is to go when it grows over its bounds, and how it has served.

The daemon keeps it in memory; the files are the truth, and their times of change tell the last use over restarts.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_GONE_ENTRIES = 1000
"""Keys whose end is remembered, so that the next miss can be explained."""
_TOUCH_S = 60.0
"""Uses within it are one use: a book must not write a time for each segment."""
_AHEAD_S = 1.0
"""Between two entries whose last uses lay in the future."""


class Entry(NamedTuple):
    """One entry."""

    key: str
    model: str
    """The model really loaded when it was made."""
    voice: str
    content: str
    """Digest of what it was made of, whatever the model."""
    size_bytes: int
    used_s: float
    """When it was last used, seconds of the epoch."""


class Bounds(NamedTuple):
    """What a cache holds itself to."""

    max_bytes: int
    max_entries: int


class Tally(NamedTuple):
    """How a cache has served since the start of the daemon."""

    hits: int = 0
    misses: int = 0
    last_miss: str = ""


def to_evict(entries: Iterable[Entry], bounds: Bounds, kept: str = "") -> list[Entry]:
    """Return the entries that must go, the longest unused first.

    Args:
        entries: All of them.
        bounds: What is allowed.
        kept: Key of one that stays whatever it weighs: it was just asked for.
    """
    by_age = sorted(entries, key=lambda entry: (entry.used_s, entry.key))
    count, size = len(by_age), sum(entry.size_bytes for entry in by_age)
    gone = []
    for entry in by_age:
        if count <= bounds.max_entries and size <= bounds.max_bytes:
            break
        if entry.key != kept:
            gone.append(entry)
            count, size = count - 1, size - entry.size_bytes
    return gone


def why_missed(wanted: Entry, entries: Iterable[Entry], gone: str = "") -> str:
    """Return why a cache does not have an entry, in a word or two.

    Args:
        wanted: As it would be; its size and time do not count.
        entries: What there is.
        gone: Why it went, where it was there.
    """
    if gone:
        return gone
    same_voice = [entry for entry in entries if entry.voice == wanted.voice]
    same_content = [entry for entry in same_voice if entry.content == wanted.content]
    if same_content:
        latest = max(same_content, key=lambda entry: entry.used_s)
        if latest.model != wanted.model:
            return f"other model: {latest.model}"
        return f"other build of {latest.model}"
    return "changed recording" if same_voice else "first use"


class CacheIndex:
    """The entries of one cache; belongs to the loop.

    Args:
        bounds: What it holds itself to.
        path_of: Returns the file of a key; its time of change is the last use.
        remove: Removes the files of a key; need not raise where they are gone.
    """

    def __init__(self, bounds: Bounds, path_of: Callable[[str], Path], remove: Callable[[str], None]) -> None:
        self.bounds = bounds
        self.tally = Tally()
        self._path_of = path_of
        self._remove = remove
        self._entries: dict[str, Entry] = {}
        self._gone: OrderedDict[str, str] = OrderedDict()

    @property
    def entries(self) -> list[Entry]:
        """All of them, last used first."""
        return sorted(self._entries.values(), key=lambda entry: (-entry.used_s, entry.key))

    @property
    def size_bytes(self) -> int:
        """All of them together."""
        return sum(entry.size_bytes for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def why_missed(self, wanted: Entry) -> str:
        """Return why an entry is not there."""
        return why_missed(wanted, self._entries.values(), self._gone.get(wanted.key, ""))

    def put(self, entry: Entry) -> list[Entry]:
        """Take an entry in, or note its use, which is now; return what had to go for it."""
        self._bring_back(entry.used_s)
        known = self._entries.get(entry.key)
        if known is None or known.size_bytes != entry.size_bytes or entry.used_s - known.used_s >= _TOUCH_S:
            self._touch(entry)
        elif known is not None:
            entry = entry._replace(used_s=known.used_s)
        self._entries[entry.key] = entry
        self._gone.pop(entry.key, None)
        return self.prune(entry.key)

    def prune(self, kept: str = "") -> list[Entry]:
        """Keep to the bounds; return what had to go.

        Args:
            kept: Key of one that stays.
        """
        evicted = to_evict(self._entries.values(), self.bounds, kept)
        for one in evicted:
            self._remove(one.key)
            self.drop(one.key, "evicted")
        return evicted

    def drop(self, key: str, why: str) -> None:
        """Note that an entry is gone; its files are somebody else's business."""
        self._entries.pop(key, None)
        self._gone[key] = why
        self._gone.move_to_end(key)
        while len(self._gone) > _GONE_ENTRIES:
            self._gone.popitem(last=False)

    def replace(self, entries: Iterable[Entry], now_s: float) -> None:
        """Take these for all entries: what is on the disk.

        Args:
            entries: All of them.
            now_s: Seconds of the epoch.
        """
        self._entries = {entry.key: entry for entry in entries}
        self._bring_back(now_s)

    def hit(self) -> None:
        """Count a hit."""
        self.tally = self.tally._replace(hits=self.tally.hits + 1)

    def miss(self, reason: str) -> None:
        """Count a miss."""
        self.tally = self.tally._replace(misses=self.tally.misses + 1, last_miss=reason)

    def _bring_back(self, now_s: float) -> None:
        """Bring uses in the future back to now, in their order: the clock was wrong, or is.

        Else they would count as the latest until the clock is there, and what is used each day would go before them.
        """
        ahead = [entry for entry in self._entries.values() if entry.used_s > now_s]
        for place, entry in enumerate(sorted(ahead, key=lambda one: one.used_s, reverse=True), 1):
            mended = entry._replace(used_s=float(int(now_s - place * _AHEAD_S)))
            self._entries[entry.key] = mended
            self._touch(mended)

    def _touch(self, entry: Entry) -> None:
        try:
            os.utime(self._path_of(entry.key), (entry.used_s, entry.used_s))
        except OSError:
            return  # gone meanwhile, or on a disk that cannot be written: the memory knows


def clear_folder(folder: Path) -> int:
    """Remove every file right below a cache's folder, whoever made it; return how many.

    Raises:
        OSError: If one cannot be removed.
    """
    count = 0
    try:
        found = list(os.scandir(folder))
    except FileNotFoundError:
        return 0
    for one in found:
        if not one.is_dir(follow_symlinks=False):
            Path(one.path).unlink(missing_ok=True)
            count += 1
    return count
