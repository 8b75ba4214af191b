"""The memory of this process."""

from pathlib import Path

import pytest

from voiced.memory import psutil_rss, rss_bytes, trim_memory


def test_rss() -> None:
    assert 5 << 20 < rss_bytes() < 4 << 30
    if Path("/proc/self/status").exists():
        line = next(
            one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS")
        )
        assert rss_bytes() == pytest.approx(int(line.split()[1]) * 1024, rel=0.2)


def test_two_ways_to_read_the_memory_agree() -> None:
    assert abs(rss_bytes() - psutil_rss()) < 32 << 20


def test_what_is_freed_goes_back() -> None:
    kept = [bytes(60_000) for _ in range(2000)]  # smaller than what the C library maps by itself
    before = rss_bytes()
    del kept[::2]  # the last ones stay: without help nothing goes back
    del kept[:-1]
    trim_memory()
    assert rss_bytes() < before - (80 << 20)
