"""System players that are none: programs on a PATH of their own which keep what they are given."""

import os
from pathlib import Path


class Players:
    """A folder of fake players; nothing else can be found on `path`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    @property
    def path(self) -> str:
        """What PATH must be."""
        return str(self.folder)

    def heard(self, name: str) -> bytes:
        """What a player was given."""
        file = self.folder / f"{name}.heard"
        return file.read_bytes() if file.exists() else b""

    def arguments(self, name: str) -> list[str]:
        """What a player was started with."""
        return (self.folder / f"{name}.arguments").read_text().split()

    def pid(self, name: str) -> int:
        """Its process."""
        return int((self.folder / f"{name}.pid").read_text())

    def is_started(self, name: str) -> bool:
        """Whether its process is there."""
        file = self.folder / f"{name}.pid"
        return file.exists() and file.read_text().endswith("\n")

    def add(self, name: str, then: str = "exec /bin/cat > $0.heard") -> None:
        """Put a player there; `then` is what it does, in the shell's words."""
        script = f'#!/bin/sh\necho "$@" > $0.arguments\necho $$ > $0.pid\n{then}\n'
        file = self.folder / name
        file.write_text(script)
        file.chmod(0o755)


def is_alive(pid: int) -> bool:
    """Return whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
