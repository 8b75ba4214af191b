"""`voiced cache`: pages, JSON, and which cache is meant."""

import json

import msgspec
import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.standin import Answers, StandIn
from voiced.cli.exits import Exit
from voiced_ipc import messages as m

PROMPTS = m.CacheInfo(
    cache="prompts",
    path="/cache/prompts",
    entries=3,
    size_bytes=2 << 20,
    limit_bytes=512 << 20,
    hits=7,
    misses=2,
    last_miss="other model: qwen3-tts:1.7b",
)


def _entry(number: int) -> m.CacheEntry:
    return m.CacheEntry(
        cache="prompts",
        key=f"{number:064x}",
        model="qwen3-tts:0.6b",
        voice="anna",
        size_bytes=40_000,
        used="2026-01-02T03:04:05+00:00",
    )


def _paged(request: m.ListCache, payload: bytes) -> Answers:
    """Two entries a page, four in all."""
    start = int(request.after, 16) + 1 if request.after else 0
    page = [_entry(number) for number in range(start, start + 2)]
    following = page[-1].key if start < 2 else ""
    return [(m.CacheEntries(request_id=request.request_id, entries=page, next=following), b"")]


@pytest.fixture(autouse=True)
def caches(daemon: StandIn) -> None:
    daemon.answers |= {
        m.GetCacheStats: lambda request, payload: [
            (m.Caches(request_id=request.request_id, caches=[PROMPTS]), b"")
        ],
        m.ListCache: _paged,
        m.ClearCache: standin.done("3 files removed"),
    }


def test_stats(run: Run) -> None:
    header, line = run("cache", "stats").out.splitlines()
    assert header.split()[:5] == ["CACHE", "ENTRIES", "SIZE", "HITS", "MISSES"]
    assert "2.0 MiB of 512 MiB" in line
    assert "other model: qwen3-tts:1.7b" in line
    assert json.loads(run("cache", "stats", "--json").out) == {"caches": [msgspec.to_builtins(PROMPTS)]}


def test_list_reads_every_page(run: Run, daemon: StandIn) -> None:
    assert len(run("cache", "list").out.splitlines()) == 5
    listed = json.loads(run("cache", "list", "prompts", "--json").out)["entries"]
    assert [int(entry["key"], 16) for entry in listed] == [0, 1, 2, 3]
    assert {request.cache for request in daemon.of(m.ListCache)} == {"", "prompts"}


def test_nothing_cached(run: Run, daemon: StandIn) -> None:
    daemon.answers[m.ListCache] = lambda request, payload: [
        (m.CacheEntries(request_id=request.request_id, entries=[]), b"")
    ]
    assert run("cache", "list").out == "nothing is cached\n"


@pytest.mark.parametrize(("arguments", "cache"), [([], ""), (["weights"], "weights")])
def test_clear(run: Run, daemon: StandIn, arguments: list[str], cache: str) -> None:
    assert run("cache", "clear", *arguments).out == "3 files removed\n"
    assert daemon.of(m.ClearCache)[0].cache == cache


@pytest.mark.parametrize("arguments", [[], ["clear", "everything"], ["empty"]])
def test_mistakes(run: Run, daemon: StandIn, arguments: list[str]) -> None:
    assert run("cache", *arguments).code == Exit.USAGE
    assert not daemon.of(m.ClearCache)
