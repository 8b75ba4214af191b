"""What people ask of the caches: statistics, entries, an empty one. Belongs to the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from voiced.models.cache_index import CacheIndex
from voiced.models.prompt_cache import PromptCache
from voiced.models.weight_cache import WeightCache
from voiced_ipc import messages as m
from voiced_ipc.errors import InvalidRequest, StorageFailed

PROMPTS, WEIGHTS = "prompts", "weights"


class Caches(NamedTuple):
    """All caches."""

    prompts: PromptCache
    weights: WeightCache

    def bound(self, prompts_bytes: int, weights_bytes: int) -> None:
        """Give them other bounds."""
        for cache, max_bytes in ((self.prompts, prompts_bytes), (self.weights, weights_bytes)):
            cache.index.bounds = cache.index.bounds._replace(max_bytes=max_bytes)
            cache.index.prune()

    def named(self, name: str) -> dict[str, PromptCache | WeightCache]:
        """Return the caches that a name means; empty = all.

        Raises:
            InvalidRequest: If there is none of that name.
        """
        known: dict[str, PromptCache | WeightCache] = {PROMPTS: self.prompts, WEIGHTS: self.weights}
        if name and name not in known:
            raise InvalidRequest(f"no cache {name!r}; caches: {', '.join(known)}")
        return {key: cache for key, cache in known.items() if not name or key == name}


class CacheDesk:
    """Serves requests about the caches.

    Args:
        caches: All of them.
    """

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self.answers: dict[type[m.Request], Callable[..., m.Reply]] = {m.GetCacheStats: self._stats}
        self.handlers: dict[type[m.Request], Callable[..., Awaitable[m.Reply]]] = {
            m.ListCache: self._list,
            m.ClearCache: self._clear,
        }

    def stats(self) -> m.CacheStats:
        """Return all caches in four numbers, for the status."""
        indexes = [self._caches.prompts.index, self._caches.weights.index]
        return m.CacheStats(
            enabled=True,
            size=sum(map(len, indexes)),
            hits=sum(index.tally.hits for index in indexes),
            misses=sum(index.tally.misses for index in indexes),
        )

    def _stats(self, request: m.GetCacheStats) -> m.Caches:
        infos = [_info(name, cache.folder, cache.index) for name, cache in self._caches.named("").items()]
        return m.Caches(request_id=request.request_id, caches=infos)

    async def _list(self, request: m.ListCache) -> m.CacheEntries:
        entries = sorted(
            (
                (
                    entry.used_s,
                    m.CacheEntry(
                        cache=name,
                        key=entry.key,
                        model=entry.model,
                        voice=entry.voice,
                        size_bytes=entry.size_bytes,
                        used=_stamp(entry.used_s),
                    ),
                )
                for name, cache in self._caches.named(request.cache).items()
                for entry in cache.index.entries
            ),
            key=lambda pair: (-pair[0], pair[1].key),
        )
        places = {entry.key: place for place, (_, entry) in enumerate(entries)}
        if request.after and request.after not in places:
            raise InvalidRequest(
                "after must be the `next` of an earlier page; the cache may have changed: list it anew"
            )
        start = places[request.after] + 1 if request.after else 0
        page = [entry for _, entry in entries[start : start + request.limit]]
        is_last = start + request.limit >= len(entries)
        return m.CacheEntries(
            request_id=request.request_id, entries=page, next="" if is_last else page[-1].key
        )

    async def _clear(self, request: m.ClearCache) -> m.Acknowledged:
        count = 0
        for cache in self._caches.named(request.cache).values():
            try:
                count += await asyncio.to_thread(cache.clear)
            except OSError as error:
                raise StorageFailed(f"the cache could not be emptied: {error.strerror or error}") from error
        what = f"{count} file" if count == 1 else f"{count} files"
        return m.Acknowledged(
            request_id=request.request_id, message=f"{what} removed; what is needed is made anew"
        )


def _info(name: str, folder: Path, index: CacheIndex) -> m.CacheInfo:
    return m.CacheInfo(
        cache=name,
        path=str(folder),
        entries=len(index),
        size_bytes=index.size_bytes,
        limit_bytes=index.bounds.max_bytes,
        hits=index.tally.hits,
        misses=index.tally.misses,
        last_miss=index.tally.last_miss,
    )


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
