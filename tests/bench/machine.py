"""Where and with what was measured: the heading."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

_REPOSITORY = Path(__file__).parents[2]
_PACKAGES = ("pyzmq", "msgpack", "msgspec", "watchdog", "psutil", "espeakng-loader")


def heading() -> dict[str, str]:
    """Return facts by their names."""
    loads = " ".join(f"{load:.2f}" for load in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    return {
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}; "
        + ", ".join(f"{package} {version(package)}" for package in _PACKAGES),
        "espeak-ng": _first_line("espeak-ng", "--version") or "not installed: apt install espeak-ng",
        "voiced": f"{version('voiced')}, {_state()}",
        "load before": loads,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _state() -> str:
    commit = _first_line("git", "-C", str(_REPOSITORY), "rev-parse", "--short", "HEAD")
    if not commit:
        return "not in a repository"
    changed = _first_line("git", "-C", str(_REPOSITORY), "status", "--porcelain", "--untracked-files=no")
    return f"commit {commit}" + (" with changes" if changed else "")


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines() if not ended.returncode else []
    return lines[0].strip() if lines else ""
