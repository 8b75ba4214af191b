"""What each installed model can do, as its worker told when it was last ready: a request is planned without loading it.

One JSON file for each model in a cache folder; one that cannot be read, or is of another install, is as if it were not
there. Synchronous and small.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MAX_BYTES = 1 << 20
_VERSION = 1
"""Another layout or meaning of the frame makes old files void."""


class AbilityCache:
    """The abilities below a folder.

    Args:
        folder: Made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, install: str) -> dict[str, Any]:
        """Return what a model can do; empty = not known.

        Args:
            name: The model's folder name.
            install: What tells this install of it from others.
        """
        try:
            with self._file(name).open("rb") as file:
                kept = json.loads(file.read(_MAX_BYTES))
            if kept["version"] == _VERSION and kept["install"] == install and isinstance(kept["ready"], dict):
                ready: dict[str, Any] = kept["ready"]
                return ready
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass
        return {}

    def write(self, name: str, install: str, ready: Mapping[str, Any]) -> None:
        """Keep what a model can do; a disk that takes nothing costs only the next start a load.

        Args:
            name: The model's folder name.
            install: What tells this install of it from others.
            ready: The worker's frame.
        """
        text = json.dumps({"version": _VERSION, "install": install, "ready": dict(ready)})
        part = self._file(name).with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_text(text)
            part.replace(self._file(name))
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"
