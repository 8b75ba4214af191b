"""Leaves a package's loops when a segment is cancelled: looks before the parts of a model are called.

Imported by engines with torch whose packages have no way to stop; nobody else.
"""

import threading
from collections.abc import Iterable
from typing import Any

from torch import nn


class LeftEarly(Exception):
    """Raised inside the package's code to leave it; the engine catches it."""


class Watch:
    """Looks at an event before modules run.

    `cancelled` is the event of the segment that is spoken; the engine sets it before each.
    """

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def follow(self, modules: Iterable[nn.Module]) -> None:
        """Look before each call of any of them; a call of one should last some milliseconds."""
        for module in modules:
            module.register_forward_pre_hook(self._look)

    def _look(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self.cancelled.is_set():
            raise LeftEarly


def leaves(module: nn.Module) -> list[nn.Module]:
    """Return the parts of a module that have no parts."""
    return [part for part in module.modules() if not any(part.children())]
