"""Row 2, kill at every step: the daemon is killed once at each fault point n = 1 ... N of a job's whole way.

Target: 100 % of the points recover; N reported (>= 40). A point is one system call that changes something (a file, a
name, a message), just before it is done: accept > commit > synthesise > publish > reply > put away, and the way back
after a kill. The scribe's own calls count too; daemon and scribe go together, as at a power cut.

After each restart the job ends once and in the same bytes, and nothing stray is left.
"""

import contextlib
from collections.abc import Iterator

import psutil
import pytest

from tests.scorecard.card import Card
from tests.scorecard.errands import (
    ERRANDS,
    Errand,
    break_up,
    check_database,
    found,
    is_over,
    take_away,
)
from tests.scorecard.leftovers import ledger, leftovers
from tests.scorecard.syscalls import KILL, Call, Tracer, need_tracer
from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc.messages import JobState, new_id

RECOVERY_S = 10.0


class Counter:
    """Counts fault points; kills at the one that it is set to.

    Args:
        home: Of the daemon; what happens elsewhere does not count.
    """

    def __init__(self, home: Home) -> None:
        self._roots = tuple(f"{path}/" for path in (home.paths.state, home.paths.home))
        self._log = str(home.paths.log_file)
        self.count = 0
        self.kill_at = 0
        self.killed: Call | None = None

    def __call__(self, call: Call) -> int:
        if not call.is_message and (not call.path.startswith(self._roots) or call.path == self._log):
            return 0
        self.count += 1
        if self.count != self.kill_at:
            return 0
        self.killed = call
        return KILL


@contextlib.contextmanager
def traced(daemon: DaemonProcess, counter: Counter) -> Iterator[Tracer]:
    """Look at the daemon and its scribe; both have ended at the end."""
    children = psutil.Process(daemon.pid).children()
    scribes = [child.pid for child in children if "voiced.child.scribe" in child.cmdline()]
    tracer = Tracer([daemon.pid, *scribes], counter)
    tracer.start()
    try:
        yield tracer
    finally:
        tracer.kill()
        tracer.join()
        daemon.wait()


def undisturbed(home: Home, errand: Errand) -> tuple[int, dict[str, str]]:
    """Return how many points there are, and the digests of what is made.

    Twice, and the fewer: on a busy machine what a daemon writes after its start may fall among them.
    """
    counts, made = [], {}
    for _ in range(2):
        counter = Counter(home)
        with running_daemon(home) as daemon:
            wait_for(home.drop.exists, what="the drop folder")
            with traced(daemon, counter):
                errand.send(home, new_id())
                wait_for(lambda: is_over(home, errand), RECOVERY_S, "the end of the errand")
                counts.append(counter.count)
        made = take_away(home)
    return min(counts), made


def kill_once(daemon: DaemonProcess, errand: Errand, request_id: str, number: int) -> Call | None:
    """Kill a daemon at a point of the errand; return where that was, None if it never came there."""
    home, counter = daemon.home, Counter(daemon.home)
    with traced(daemon, counter):
        counter.kill_at = counter.count + number
        errand.send(home, request_id)
        wait_for(
            lambda: counter.killed or is_over(home, errand), RECOVERY_S, f"point {number} of {errand.name}"
        )
    return counter.killed


def recover(daemon: DaemonProcess, errand: Errand, request_id: str) -> str:
    """Start the daemon again and let it end the errand; return what is wrong (empty = nothing)."""
    home = daemon.home
    daemon.restart()
    errand.send_again(home, request_id)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: is_over(home, errand), RECOVERY_S)
    wrong = sorted(found(home) ^ errand.expected) + leftovers(home)
    states = {job.state for job in daemon.jobs()}
    return f"{wrong} {states}" if wrong or states - {JobState.DONE} else ""


def points(card: Card, count: int, small: int) -> list[int]:
    """Return the points of this run: all of them, or every k-th from a random one."""
    step = card.count(max(1, count // small), 1)
    return list(range(card.random.randint(1, step), count + 1, step))


@pytest.mark.parametrize("errand", ERRANDS, ids=lambda errand: errand.name)
def test_each_point_of_the_way(card: Card, home: Home, errand: Errand) -> None:
    need_tracer()
    count, expected = undisturbed(home, errand)
    faults: list[str] = []
    kinds: set[str] = set()
    unreached = 0
    chosen = points(card, count, 6)
    with running_daemon(home) as daemon:
        for number in chosen:
            request_id = new_id()
            call = kill_once(daemon, errand, request_id, number)
            unreached += call is None
            kinds.add(call.name if call else "")
            fault = recover(daemon, errand, request_id)
            if not fault and take_away(home) != expected:
                fault = "other bytes"
            if fault:
                faults.append(f"point {number}, before {call}: {fault}")
                break_up(home)
    check_database(home)
    card.tell(
        errand=errand.name,
        points=count,
        killed=len(chosen) - unreached,
        unreached=unreached,
        calls=len(kinds - {""}),
        recovered=len(chosen) - len(faults),
        jobs=ledger(home),
    )
    assert faults == []
    assert count >= (20 if errand.is_refused else 40)
    assert unreached <= max(1, len(chosen) // 4)


def kill_on_the_way_back(daemon: DaemonProcess, errand: Errand, number: int) -> tuple[Call | None, int]:
    """Kill a daemon at a point of its start; return where that was, and how many points there were."""
    home, counter = daemon.home, Counter(daemon.home)
    counter.kill_at = number
    daemon.start(is_ready=False)
    with traced(daemon, counter):
        wait_for(
            lambda: counter.killed or is_over(home, errand), RECOVERY_S, f"point {number} of the way back"
        )
    return counter.killed, counter.count


def test_each_point_of_the_way_back(card: Card, home: Home) -> None:
    need_tracer()
    errand = next(errand for errand in ERRANDS if not errand.is_request)
    count, expected = undisturbed(home, errand)
    faults: list[str] = []
    killed = 0
    with running_daemon(home) as daemon:
        kill_once(daemon, errand, new_id(), count // 2)
        _, back = kill_on_the_way_back(daemon, errand, 0)
        assert take_away(home) == expected
        daemon.restart()
        for number in points(card, back, 6):
            kill_once(daemon, errand, new_id(), card.random.randint(1, count))
            call, _ = kill_on_the_way_back(daemon, errand, number)
            killed += call is not None
            fault = recover(daemon, errand, new_id())
            if not fault and take_away(home) != expected:
                fault = "other bytes"
            if fault:
                faults.append(f"point {number}, before {call}: {fault}")
                break_up(home)
    check_database(home)
    card.tell(points=back, killed=killed, faults=len(faults), jobs=ledger(home))
    assert faults == []
    assert killed
