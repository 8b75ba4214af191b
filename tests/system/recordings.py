"""Recordings for tests, and the commands that need a real daemon."""

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np

from tests.support import Home

RATE_HZ = 16_000


def record(path: Path, hz: float = 150.0, seconds: float = 12.0, level: float = 0.3) -> Path:
    """Write a hum, loud and soft as syllables are; another pitch or level is another voice."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    overtones = sum(np.sin(2 * np.pi * hz * n * time_s) / n for n in range(1, 8))
    samples = level * overtones / 2 * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time_s))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


def voiced(home: Home, *arguments: str, code: int = 0) -> str:
    """Run a command of this home to its end and return what it printed."""
    command = [sys.executable, "-m", "voiced", *arguments]
    ran = subprocess.run(command, env=home.environ, capture_output=True, text=True, timeout=60)
    assert ran.returncode == code, f"{arguments}: {ran.returncode}: {ran.stderr}"
    return ran.stdout + ran.stderr
