"""Row 21, disk full, read-only or failing at each write.

Target: the request is refused or retried; the database is whole; the daemon goes on without a restart, and nothing
that was accepted or dropped is lost. Each call that changes a file fails once with each of the errors in turn, then
all calls from one on fail until the disk is mended; and a real small disk is filled, and made read-only.
"""

import contextlib
import errno
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.errands import ERRANDS, Errand, break_up, check_database, found, take_away
from tests.scorecard.leftovers import leftovers
from tests.scorecard.syscalls import Call, Tracer, need_tracer
from tests.support import DaemonProcess, Home, need, running_daemon, wait_for
from voiced_ipc import Client
from voiced_ipc.errors import ErrorCode, VoicedError
from voiced_ipc.messages import JobState, new_id

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
BROKEN_S = 0.5
"""For how long a disk that fails for a while does so after the text was handed in."""
MENDED_S = 20.0
PROD_S = 0.5
"""A file that could not be taken is left in peace for half a minute, unless somebody touches it."""


class Disk:
    """The disk as the daemon sees it.

    Args:
        home: Of the daemon; other files are on another disk.
    """

    def __init__(self, home: Home) -> None:
        self._roots = tuple(f"{path}/" for path in (home.paths.state, home.paths.home))
        self.mend()

    def mend(self) -> None:
        """Let everything happen again."""
        self.calls = 0
        self._first = self._last = 0
        self._errno = 0
        self.failed: list[Call] = []

    def break_at(self, number: int, error: int, *, is_lasting: bool) -> None:
        """Have the call of this number from now on fail, or all from it on."""
        self.mend()
        self._errno = error
        self._first, self._last = number, 1 << 60 if is_lasting else number

    def __call__(self, call: Call) -> int:
        if not call.path.startswith(self._roots):
            return 0
        self.calls += 1
        if not self._first <= self.calls <= self._last:
            return 0
        self.failed.append(call)
        return self._errno


class Stage(NamedTuple):
    """A daemon on a disk that can be broken."""

    daemon: DaemonProcess
    disk: Disk

    @property
    def home(self) -> Home:
        return self.daemon.home


@contextlib.contextmanager
def staged(home: Home) -> Iterator[Stage]:
    """A daemon whose calls are looked at, and its scribe's."""
    disk = Disk(home)
    with running_daemon(home) as daemon:
        wait_for(home.drop.exists, what="the drop folder")
        children = psutil.Process(daemon.pid).children()
        scribes = [child.pid for child in children if "voiced.child.scribe" in child.cmdline()]
        tracer = Tracer([daemon.pid, *scribes], disk)
        tracer.start()
        try:
            yield Stage(daemon, disk)
        finally:
            tracer.kill()
            tracer.join()
            daemon.wait()


def strays(home: Home) -> list[str]:
    """Return what lies about. Empty folders and half-made copies that could not be removed wait for the next start."""
    left = [(path, home.root / path) for path in leftovers(home) if ".voiced-" not in path]
    return [path for path, place in left if place.is_file() or (place.is_dir() and any(place.iterdir()))]


def results(home: Home) -> set[str]:
    """Return what the user finds."""
    return {name for name in found(home) if "/.voiced-" not in name}


def is_over(home: Home, errand: Errand) -> bool:
    return results(home) >= errand.expected and not strays(home)


def hand_in(stage: Stage, errand: Errand, request_id: str) -> str:
    """Hand the errand in; return how a request was refused (empty = it was not)."""
    try:
        errand.send_again(stage.home, request_id)
    except VoicedError as error:
        return f"{error.code.value}{'' if error.message else ', without a word'}"
    if not errand.is_request:
        stage.home.put(errand.name, errand.content)
    return ""


def see_through(stage: Stage, errand: Errand, request_id: str) -> Counter[str]:
    """The disk is mended: do what a user does, until the errand is over; return what that took."""
    took: Counter[str] = Counter()
    errand.send_again(stage.home, request_id)
    prod_at = time.monotonic() + PROD_S

    def look() -> bool:
        nonlocal prod_at
        if is_over(stage.home, errand):
            return True
        with stage.daemon.client() as client:
            for job in client.jobs([JobState.FAILED]):
                assert job.error_code == ErrorCode.STORAGE_FAILED.value, job.error
                client.retry(job.job_id)
                took["retry"] += 1
        if time.monotonic() > prod_at:
            prod_at = time.monotonic() + PROD_S
            took["prod"] += prod(stage.home, errand)
        return False

    with contextlib.suppress(AssertionError):
        wait_for(look, MENDED_S)
    return took


def prod(home: Home, errand: Errand) -> bool:
    """Put a dropped text that still lies there in once more."""
    try:
        (home.drop / errand.name).rename(home.root / errand.name)
    except FileNotFoundError:
        return False
    (home.root / errand.name).rename(home.drop / errand.name)
    return True


def fault_of(stage: Stage, errand: Errand, expected: dict[str, str]) -> str:
    """Return what is wrong at the end (empty = nothing)."""
    wrong = sorted(results(stage.home) ^ errand.expected) + strays(stage.home)
    jobs = [f"{job.job_id} {job.state.value}: {job.error}" for job in stage.daemon.jobs()]
    jobs = [job for job in jobs if " done" not in job]
    if wrong or jobs:
        return f"{wrong} {jobs}"
    return "" if take_away(stage.home) == expected else "other bytes"


@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "for a while"])
@pytest.mark.parametrize("errand", ERRANDS, ids=lambda errand: errand.name)
def test_each_write_fails(card: Card, home: Home, errand: Errand, *, is_lasting: bool) -> None:
    need_tracer()
    faults: list[str] = []
    tally: Counter[str] = Counter()
    with staged(home) as stage:
        stage.disk.mend()
        hand_in(stage, errand, new_id())
        wait_for(lambda: is_over(home, errand), what="the end of the errand")
        points, expected = stage.disk.calls, take_away(home)
        step = card.count(max(1, points // 3), 1)
        chosen = range(card.random.randint(1, step), points + 1, step)
        for turn, number in enumerate(chosen):
            error = ERRORS[turn % len(ERRORS)]
            request_id = new_id()
            stage.disk.break_at(number, error, is_lasting=is_lasting)
            refused = hand_in(stage, errand, request_id)
            tally[f"refused: {refused}" if refused else "accepted"] += 1
            if is_lasting:
                time.sleep(BROKEN_S)
            else:
                wait_for(lambda: stage.disk.failed or is_over(home, errand), what=f"call {number}")
            failed = stage.disk.failed
            stage.disk.mend()
            tally += see_through(stage, errand, request_id)
            fault = fault_of(stage, errand, expected)
            tally["not reached"] += not failed
            if fault:
                faults.append(f"call {number}, {errno.errorcode[error]} at {failed[:1]}: {fault}")
                print(faults[-1])
                break_up(home)
    check_database(home)
    with running_daemon(home):
        wait_for(lambda: not leftovers(home), what="the sweep of the next start")
    card.tell(
        errand=errand.name, is_lasting=is_lasting, points=points, broken=len(chosen), outcomes=dict(tally)
    )
    assert faults == []


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.mark.root
def test_a_small_disk_that_is_full_then_read_only(card: Card, home: Home) -> None:
    need("root", os.geteuid() == 0, "only root mounts")
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home.root))
    try:
        outcomes = fill_and_close(home)
    finally:
        subprocess.run(["umount", "--lazy", str(home.root)], check=True)
    card.tell(outcomes=outcomes)


def fill_and_close(home: Home) -> dict[str, str]:
    """Have a daemon meet a full disk, then one that is read-only, then a good one again; return what it said."""
    said = {}
    text = "Words that need some room on the disk. " * 400
    with running_daemon(home) as daemon, daemon.client() as client:
        wait_for(home.drop.exists, what="the drop folder")
        filler = home.root / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 14))
        said["full"] = refusal(client, text)
        filler.unlink()
        # The kernel makes nothing read-only that is open for writing: the user's folders, as those on a server.
        mount("--bind", str(home.paths.home), str(home.paths.home))
        try:
            mount("-o", "remount,bind,ro", str(home.paths.home))
            job_id = client.submit_text("Words for a folder that cannot be written.").job_id
            said["read-only"] = daemon.wait_job(job_id).error_code
        finally:
            subprocess.run(["umount", "--lazy", str(home.paths.home)], check=True)
        client.retry(job_id)
        assert daemon.wait_job(job_id).state is JobState.DONE
        assert daemon.wait_job(client.submit_text("There is room again.").job_id).state is JobState.DONE
        home.put("dropped.txt", "And here too.")
        wait_for((home.audio / "dropped.wav").exists, what="the dropped text's audio")
    assert set(said.values()) == {ErrorCode.STORAGE_FAILED.value}, said
    return said


def refusal(client: Client, text: str) -> str:
    """Return how a text was refused."""
    with pytest.raises(VoicedError) as caught:
        client.submit_text(text)
    return caught.value.code.value
