"""What one run of the benchmark is asked to do."""

from typing import NamedTuple


class Session(NamedTuple):
    """The wishes of whoever started it."""

    is_quick: bool = False
    idle_s: float = 60.0
    """How long the idle daemon is watched."""

    def rounds(self, full: int, quick: int) -> int:
        """Return how often something is measured."""
        return quick if self.is_quick else full
