"""The throw-away child that reads published files, seen from the process that installs them.

`voiced.child.convert` turns torch's own files into safetensors and refuses what is damaged, hostile or no number. It
may be beaten by what it reads: its time is limited, and what it says is taken for words and numbers, no more.
"""

import contextlib
import json
import logging
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from voiced.errors import LibraryError
from voiced.files.names import printable

logger = logging.getLogger(__name__)

_MAX_LINE_BYTES = 16 << 10
_TIME_LIMIT_S = 300.0
_SLOWEST_BYTES_PER_S = 5e6
"""A slow disk; what takes longer hangs."""
_DAMAGED = "are they damaged? Fetch them again"


class Told(NamedTuple):
    """How far the child is."""

    what: str
    done_bytes: int
    total_bytes: int


def convert(
    source: Path, target: Path, names: Sequence[str], *, size_bytes: int, environment: Mapping[str, str]
) -> Iterator[Told]:
    """Have torch files converted, and every file of a folder looked at, while it is iterated.

    Args:
        source: The folder that the torch files lie in.
        target: The folder that gets them as safetensors; its files are looked at.
        names: The torch files, below `source`.
        size_bytes: Of all that is read: more of it may take longer.
        environment: Of the child.

    Raises:
        LibraryError: If a file is refused, kills the child or takes too long, or torch is not installed.
        OSError: If the child cannot be started.
    """
    command = [sys.executable, "-P", "-m", "voiced.child.convert", "--parent", str(os.getpid())]
    command += ["--", str(source), str(target), *names]
    end = time.monotonic() + _TIME_LIMIT_S + size_bytes / _SLOWEST_BYTES_PER_S
    what = "reading the files"
    with _child(command, environment) as process:
        for line in _lines(process, end):
            if "refused" in line or "lacks" in line:
                raise LibraryError(_refusal(line))
            what = str(line.get("what") or what)
            yield Told(what, int(line.get("done", 0)), int(line.get("total", 0)))
        try:
            code = process.wait(max(1.0, end - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise LibraryError(f"looking at the files took too long and was ended; {_DAMAGED}") from error
    if code:
        raise LibraryError(
            f"the files were not installed: the process that looked at them ended with {code} ({what}); "
            f"{_DAMAGED}"
        )


@contextlib.contextmanager
def _child(command: list[str], environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The child that reads the files; gone at the end, whatever ends it."""
    process = subprocess.Popen(
        command,
        env=dict(environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if logger.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _lines(process: "subprocess.Popen[bytes]", end: float) -> Iterator[dict[str, Any]]:
    """What the child tells, a line at a time: it has read hostile files, so nothing of it is believed unseen.

    Raises:
        LibraryError: If it is too slow, or talks nonsense.
    """
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise LibraryError(f"looking at the files took too long and was ended; {_DAMAGED}")
            data = os.read(process.stdout.fileno(), _MAX_LINE_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                raise LibraryError(f"the process that looked at the files talks nonsense; {_DAMAGED}")
            yield from map(_parsed, lines)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
        is_good = isinstance(fields, dict) and all(
            isinstance(fields.get(name, 0), int) for name in ("done", "total")
        )
    except (ValueError, RecursionError):
        is_good = False
    if not is_good:
        raise LibraryError(f"the process that looked at the files talks nonsense; {_DAMAGED}")
    return dict(fields)


def _refusal(line: dict[str, Any]) -> str:
    if "lacks" in line:
        return (
            f"reading weights takes {printable(str(line['lacks']))}, which is not installed: "
            "`pip install 'voiced[models]'`"
        )
    return f"nothing was installed: {printable(str(line['refused']))}. Fetch the files again from their publisher"
