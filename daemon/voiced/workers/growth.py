"""Whether a worker has grown beyond what its work needs: pure.

A model's memory grows while it meets longer texts, and then no more. What it took over its first tasks is its
baseline; beyond half as much again, and at least 256 MiB, something leaks and the worker is replaced between segments.
"""

from typing import NamedTuple

LEARNT_TASKS = 20
FACTOR = 1.5
LEAST_BYTES = 256 << 20


class Growth(NamedTuple):
    """What is known of a worker's size."""

    tasks: int = 0
    baseline_bytes: int = 0
    """Greatest size of the first tasks."""
    last_bytes: int = 0
    peak_bytes: int = 0

    def after(self, size_bytes: int) -> "Growth":
        """Return what is known after a task.

        Args:
            size_bytes: Of the worker now.
        """
        learns = self.tasks < LEARNT_TASKS
        return Growth(
            self.tasks + 1,
            max(self.baseline_bytes, size_bytes) if learns else self.baseline_bytes,
            size_bytes,
            max(self.peak_bytes, size_bytes),
        )

    @property
    def is_too_great(self) -> bool:
        """Whether the worker is to be replaced."""
        if self.tasks <= LEARNT_TASKS:
            return False
        return self.last_bytes > max(self.baseline_bytes * FACTOR, self.baseline_bytes + LEAST_BYTES)
