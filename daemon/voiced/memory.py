"""The memory of this process: how much it is, and how what was freed goes back. Imports next to nothing."""

import ctypes
import os
import sys

_IS_LINUX = sys.platform.startswith("linux")


def rss_bytes() -> int:
    """Return the resident memory of this process."""
    if _IS_LINUX:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return psutil_rss()


def psutil_rss() -> int:
    """Return the resident memory of this process where there is no /proc."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def trim_memory() -> None:
    """Give freed memory back to the system, where the C library can."""
    if _IS_LINUX:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
