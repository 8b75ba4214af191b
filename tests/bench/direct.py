"""A small program that holds an engine and speaks when asked: what is measured beside the daemon."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil

from tests.bench.processes import CommandFailed, floor_command
from tests.support import Home
from voiced.workers.environment import child_environment


class Direct:
    """The program, loaded.

    Args:
        process: It has said that it is ready.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **asked: Any) -> dict[str, float]:
        """Have it speak, and return what it measured.

        Raises:
            CommandFailed: If it ended instead.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(_line(self._process)))


@contextlib.contextmanager
def direct(home: Home, name: str, *arguments: str) -> Iterator[Direct]:
    """One of the programs in `floors`, ready; ended at the end.

    Raises:
        CommandFailed: If it cannot load what it was given.
    """
    errors = home.root / f"{name}-{os.urandom(4).hex()}.stderr"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            floor_command(name, *arguments),
            env=child_environment(home.environ, device="cpu", threads=cores()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            _line(process)
            yield Direct(process)
        except CommandFailed:
            raise CommandFailed(f"{name} {' '.join(arguments)}: {errors.read_text()[-1000:]}") from None
        finally:
            process.kill()


def cores() -> int:
    """Return the threads that a worker gets which is alone."""
    return psutil.cpu_count(logical=False) or 1


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise CommandFailed("it ended")
    return line
