"""The memory of this process."""

import subprocess
import sys
from pathlib import Path

import pytest

from voiced.memory import psutil_rss, rss_bytes


def test_rss() -> None:
    assert 5 << 20 < rss_bytes() < 4 << 30
    if Path("/proc/self/status").exists():
        line = next(
            one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS")
        )
        assert rss_bytes() == pytest.approx(int(line.split()[1]) * 1024, rel=0.2)


def test_two_ways_to_read_the_memory_agree() -> None:
    assert abs(rss_bytes() - psutil_rss()) < 32 << 20


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's C library gives back on request")
def test_what_is_freed_goes_back() -> None:
    """In a process of its own: in this one much is freed in between."""
    program = """
from voiced.memory import rss_bytes, trim_memory
kept = [bytes(60_000) for _ in range(2000)]  # smaller than what the C library maps by itself
last = bytes(60_000)  # stays at the end: without help nothing goes back
before = rss_bytes()
kept.clear()
freed = rss_bytes()
trim_memory()
print(before - freed, freed - rss_bytes())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    by_itself, on_request = map(int, done.stdout.split())
    assert by_itself < 50 << 20
    assert on_request > 80 << 20
