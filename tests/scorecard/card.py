"""A row of the scorecard at work: how large it is to be, its random numbers, and the line of figures that it leaves."""

import os
import platform
import random
from collections.abc import Callable
from importlib.metadata import version

import zmq

IS_FULL = os.environ.get("VOICED_FULL", "") not in ("", "0")
"""The stated counts; `--full` says the same where pytest is given this folder."""
SCORECARD = "scorecard"
"""The property of a test's report that holds a line of figures."""
SEED = int(os.environ.get("VOICED_SEED", "20"))


class Card:
    """What one test of a row needs.

    Args:
        row: As the file names it: `01_nothing_lost`.
        is_full: The counts of the row's own text; else those that an ordinary run can afford.
        record: Keeps a figure with the test's result.
    """

    def __init__(self, row: str, *, is_full: bool, record: Callable[[str, object], None]) -> None:
        self.is_full = is_full
        self.random = random.Random(f"{SEED}/{row}")
        self.lines: list[str] = []
        self._row = row
        self._record = record

    def count(self, small: int, full: int) -> int:
        """Return how many of something this run makes."""
        return full if self.is_full else small

    def tell(self, **figures: object) -> None:
        """Leave a line of figures, with the seed and the versions that they were had with."""
        told = {"seed": SEED, "size": "full" if self.is_full else "small"} | figures | _versions()
        for name, value in told.items():
            self._record(name, value)
        line = f"row {self._row}: " + ", ".join(f"{name}={_short(value)}" for name, value in told.items())
        self.lines.append(line)
        print(line)


def quantile(values: list[float], fraction: float) -> float:
    """Return the value below which `fraction` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _versions() -> dict[str, str]:
    return {
        "voiced": version("voiced"),
        "python": platform.python_version(),
        "zmq": zmq.zmq_version(),
        "kernel": platform.release(),
    }
