"""The weight cache as the daemon sees it; the files are written as a worker writes them, without torch."""

import os
import time
from pathlib import Path

import pytest

from voiced.models.weight_cache import WeightCache, WeightFacts, dump_weight_facts, read_weight_facts

KEYS = [f"{place:064x}" for place in range(4)]
TORCH = "2.13.0"


def write(
    folder: Path, key: str, *, size: int = 100, used_s: float = 100.0, torch: str = TORCH, reason: str = ""
) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{key}.safetensors"
    path.unlink(missing_ok=True)
    path.write_bytes(bytes(size))
    found = path.stat()
    # A worker renames a new file into place; so many keep another inode's number apart.
    facts = WeightFacts("qwen3-tts:0.6b", torch, "0" * 64, size, found.st_mtime_ns, int(used_s), reason)
    beside = path.with_suffix(".json")
    beside.write_bytes(dump_weight_facts(facts))
    os.utime(beside, (used_s, used_s))
    return path


def cache_of(folder: Path, max_bytes: int = 1 << 20) -> WeightCache:
    return WeightCache(folder, max_bytes, lambda: TORCH)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def test_what_workers_did_since_the_last_look(folder: Path) -> None:
    cache = cache_of(folder)
    assert (len(cache.index), tuple(cache.tally)) == (0, (0, 0, ""))
    write(folder, KEYS[0], used_s=10.0, reason="first use")
    cache.look()
    assert tuple(cache.tally) == (0, 1, "first use")
    cache.look()
    assert tuple(cache.tally) == (0, 1, "first use")
    os.utime(folder / f"{KEYS[0]}.json", (20.0, 20.0))
    cache.look()
    assert tuple(cache.tally) == (1, 1, "first use")
    write(folder, KEYS[0], used_s=30.0, reason="file damaged")
    cache.look()
    assert tuple(cache.tally) == (1, 2, "file damaged")
    (entry,) = cache.index.entries
    assert (entry.model, entry.size_bytes, entry.used_s) == ("qwen3-tts:0.6b", 100, 30.0)


def test_a_use_counts_also_under_a_clock_that_was_set_back(folder: Path) -> None:
    cache = cache_of(folder)
    write(folder, KEYS[0], used_s=20.0)
    cache.look()
    os.utime(folder / f"{KEYS[0]}.json", (10.0, 10.0))
    cache.look()
    cache.look()
    assert cache.tally.hits == 1


def test_a_use_in_the_future_is_brought_back_and_is_one_use(folder: Path) -> None:
    write(folder, KEYS[0], used_s=9e9)
    cache = cache_of(folder)
    for _ in range(3):
        cache.look()
    assert tuple(cache.tally)[:2] == (0, 0)
    assert cache.index.entries[0].used_s <= time.time()


def test_what_an_earlier_run_made_is_no_miss(folder: Path) -> None:
    write(folder, KEYS[0])
    cache = cache_of(folder)
    assert len(cache.index) == 1
    assert cache.tally.misses == 0


def test_bounds_go_by_the_last_use(folder: Path) -> None:
    paths = [write(folder, key, used_s=float(place)) for place, key in enumerate(KEYS)]
    assert [entry.key for entry in cache_of(folder, 250).index.entries] == [KEYS[3], KEYS[2]]
    assert [path.exists() for path in paths] == [False, False, True, True]
    assert len(list(folder.iterdir())) == 4


def test_another_torch_damage_and_strangers(folder: Path) -> None:
    write(folder, KEYS[0], torch="1.0")
    write(folder, KEYS[1]).with_suffix(".json").write_text("{}")
    write(folder, KEYS[2])
    write(folder, KEYS[3]).with_suffix(".json").unlink()
    strangers = [folder / "chatterbox_weights.pth", folder / "x.json", folder / "x.safetensors"]
    for stranger in strangers:
        stranger.write_bytes(b"mine")
    (folder / ".voiced-0000000000000000.tmp").write_bytes(b"x")
    assert [entry.key for entry in cache_of(folder).index.entries] == [KEYS[2]]
    kept = {path.name for path in folder.iterdir()}
    assert kept == {f"{KEYS[2]}.json", f"{KEYS[2]}.safetensors", *(path.name for path in strangers)}


def test_models_have_folders_of_their_own(folder: Path) -> None:
    folder.mkdir()
    one, other = (write(folder / model, KEYS[0], used_s=used_s) for model, used_s in (("a", 1.0), ("b", 2.0)))
    cache = cache_of(folder, 150)
    assert [entry.key for entry in cache.index.entries] == [f"b/{KEYS[0]}"]
    assert (one.exists(), other.exists()) == (False, True)
    assert cache.clear() == 2
    assert not other.exists()


def test_clear(folder: Path) -> None:
    cache = cache_of(folder)
    assert cache.clear() == 0
    write(folder, KEYS[0])
    cache.look()
    (folder / "old.pth").touch()
    assert cache.clear() == 3
    assert (len(cache.index), list(folder.iterdir())) == (0, [])


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format": "voiced-weights"}', b'{"format": "voiced-weights", "x": 1}', b"\xff"],
)
def test_facts_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "facts.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"."):
        read_weight_facts(path)


def test_facts_of_wrong_types(tmp_path: Path) -> None:
    facts = WeightFacts("m", TORCH, "0" * 64, 1, 2, 3)
    path = tmp_path / "facts.json"
    path.write_bytes(dump_weight_facts(facts))
    assert read_weight_facts(path) == facts
    path.write_bytes(dump_weight_facts(facts._replace(size_bytes="many")))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="what it is"):
        read_weight_facts(path)
