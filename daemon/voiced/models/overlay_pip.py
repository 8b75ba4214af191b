"""pip as a child: its command, its environment, what its lines say, and why it failed. Nothing here names an index."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from voiced.models.overlay_lock import Pin, normal_name

_LOOK_S = 0.25
"""Between two looks at a child that says nothing."""
_KILL_S = 5.0
"""What a child that was asked to end is given."""

_UNREACHABLE = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "Temporary failure in name resolution",
    "Network is unreachable",
)


def pip_command(lock: Path, target: Path, compiled: Sequence[str] = ()) -> list[str]:
    """Return the command that installs a lock.

    Args:
        lock: The packages, all of them: nothing that they ask for beyond is taken.
        target: Where they go.
        compiled: Distributions that are built here; of all others only wheels are taken.
    """
    command = [sys.executable, "-P", "-m", "pip", "install", "--target", str(target)]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
    for name in compiled:
        command += ["--no-binary", name]
    # What is imported when the packages are tried gets compiled by that; the rest may never be needed.
    return [*command, "--no-compile", "--no-input", "--progress-bar", "off", "-r", str(lock)]


def for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of pip: the user's settings hold, but for those that would send packages elsewhere."""
    dropped = (
        "PIP_CONSTRAINT",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_TARGET",
        "PIP_DRY_RUN",
        "PIP_QUIET",
        "PIP_LOG",
    )
    kept = {name: value for name, value in environment.items() if name not in dropped}
    return kept | {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class PipProgress:
    """How far pip is, by the lines that it prints.

    Args:
        pins: What it installs.
    """

    _NAMED = re.compile(r"(?P<verb>Collecting|Ignoring|Building wheel for) (?P<name>[A-Za-z0-9._-]+)")
    _FILE = re.compile(r"\s+(?P<verb>Downloading|Using cached) (?P<file>\S+)(?P<size> \(.*\))?")

    def __init__(self, pins: Sequence[Pin]) -> None:
        self._versions = {pin.name: pin.version for pin in pins}
        self._seen = 0
        self._last = len(pins)
        self.done = 0
        """Packages that are there, or not meant for this machine."""
        self.what = "asking pip"
        """What it does now."""

    def read(self, line: str) -> None:
        """Take one line; what is not understood changes nothing."""
        if match := self._NAMED.match(line.strip()):
            name = normal_name(match["name"])
            if match["verb"] == "Building wheel for":
                self.what = f"compiling {name}, which takes minutes"
            elif name in self._versions:
                self.done = min(self._seen, self._last)
                self._seen += 1
                if match["verb"] == "Collecting":
                    self.what = f"fetching {name} {self._versions[name]}"
        elif match := self._FILE.match(line):
            self.what = f"{match['verb'].lower()} {match['file'].rpartition('/')[2]}{match['size'] or ''}"
        elif line.startswith("Installing collected packages"):
            self.done, self.what = self._last, "unpacking"


def pip_trouble(output: str) -> str:
    """Return in a sentence why pip failed, and what to do, from all that it printed."""
    if "DO NOT MATCH THE HASHES" in output:
        named = re.search(r"^\s+([A-Za-z0-9._-]+==\S+) from", output, re.MULTILINE)
        what = named[1] if named else "a package"
        return f"{what} is not the file that voiced was tested with (its SHA-256 differs): ask whoever runs the index"
    if any(sign in output for sign in _UNREACHABLE):
        return "the package index cannot be reached: check the network and pip's settings (`pip config list`)"
    if match := re.search(r"No matching distribution found for (\S+)", output):
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"pip finds no wheel of {match[1]} for this system and Python {python} (`pip config list`: where)"
        )
    if "No space left on device" in output:
        return "the disk is full: make room and install it again"
    if "Failed building wheel" in output or "Failed to build" in output:
        return "it could not be compiled: the compiler's words stand at the end of what pip said"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["pip said nothing"])[-1]


class Program:
    """A child with a process group of its own, which leaving the context ends.

    Args:
        command: What to start.
        environment: With these variables.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        # A group of its own: Ctrl+C is for us, and what the child has started ends with it.
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.code: int | None = None
        """Its exit code, once the lines have ended."""
        self._output: list[str] = []

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILL_S)
        self._signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return "".join(self._output)

    def lines(self) -> Iterator[str]:
        """Return what it prints, line by line; an empty line now and then while it says nothing."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        rest = ""
        while True:
            ready, _, _ = select.select([descriptor], [], [], _LOOK_S)
            if not ready:
                yield ""
                continue
            data = os.read(descriptor, 1 << 16)
            if not data:
                break
            text = data.decode("utf-8", "replace")
            self._output.append(text)
            *whole, rest = (rest + text).split("\n")
            yield from whole
        self.code = self._process.wait()
        yield rest

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
