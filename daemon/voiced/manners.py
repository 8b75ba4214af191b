"""What a laptop is owed: its battery is not spent on books, and it does not fall asleep over one on mains power.

On battery the batch lane waits, of models that are not lean; what runs ends its segment. On mains power the computer
does not go to sleep by itself while there is work; whoever shuts the lid is obeyed. Both can be set.
"""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psutil

logger = logging.getLogger(__name__)

_END_S = 1.0


class Wish(NamedTuple):
    """What is to be done now."""

    holds_batch: bool
    stays_awake: bool


def wish(*, on_battery: bool | None, has_work: bool, may_hold: bool, may_keep_awake: bool) -> Wish:
    """Return what is to be done.

    Args:
        on_battery: Whether the computer runs on its battery; None = it has none, or nobody knows.
        has_work: Whether a job waits or runs.
        may_hold: The settings let batch work wait on battery.
        may_keep_awake: The settings let it keep the computer awake.
    """
    return Wish(
        holds_batch=may_hold and on_battery is True,
        stays_awake=may_keep_awake and has_work and on_battery is not True,
    )


def read_on_battery() -> bool | None:
    """Return whether the computer runs on its battery; None = it has none, or nobody knows."""
    read = getattr(psutil, "sensors_battery", None)  # not on every system
    battery = read() if read is not None else None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def awake_command() -> tuple[str, ...]:
    """Return the program that keeps this system awake while its standard input is open; empty = there is none."""
    if sys.platform == "darwin":
        return ("caffeinate", "-i", "cat")
    if shutil.which("systemd-inhibit"):
        # Only sleep by idleness: what a person asks for is done.
        return ("systemd-inhibit", "--what=idle", "--who=voiced", "--why=it speaks", "--mode=block", "cat")
    return ()


class Awake:
    """Keeps the computer awake by a program that ends with us, whatever ends us.

    Args:
        command: As `awake_command`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_held(self) -> bool:
        """Whether the program runs."""
        return self._process is not None and self._process.poll() is None

    def hold(self) -> None:
        """Keep awake from now on. Where the system refuses, that is logged once and not tried again."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            logger.info("the system does not let us keep it awake (exit code %d)", self._process.returncode)
            self._end(self._process)
            self._process, self._command = None, ()
        if not self._command:
            return
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            logger.info("the computer cannot be kept awake: %s", error)
            self._command = ()

    def release(self) -> None:
        """Let it sleep again."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Manners:
    """Looks at the power now and then.

    Args:
        awake: Keeps the computer awake.
        hold_batch: Told whether batch work waits.
        read: Tells whether the computer runs on its battery.
    """

    def __init__(
        self,
        awake: Awake,
        hold_batch: Callable[[bool], None],
        read: Callable[[], bool | None] = read_on_battery,
    ) -> None:
        self._awake = awake
        self._hold_batch = hold_batch
        self._read = read

    def look(self, *, has_work: bool, may_hold: bool, may_keep_awake: bool) -> None:
        """Do what is to be done now."""
        # Without work nothing is decided, and no file of the battery is read.
        on_battery = self._read() if has_work else None
        now = wish(on_battery=on_battery, has_work=has_work, may_hold=may_hold, may_keep_awake=may_keep_awake)
        self._hold_batch(now.holds_batch)
        if now.stays_awake:
            self._awake.hold()
        else:
            self._awake.release()

    def stop(self) -> None:
        """Let go of everything."""
        self._awake.release()
