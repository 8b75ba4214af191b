"""Laptops: what waits on battery, and what keeps one awake. The programs are real, small ones."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.support import wait_for
from voiced.manners import Awake, Manners, Wish, awake_command, read_on_battery, wish


@pytest.mark.parametrize(
    ("on_battery", "has_work", "may", "expected"),
    [
        (True, True, True, Wish(holds_batch=True, stays_awake=False)),
        (False, True, True, Wish(holds_batch=False, stays_awake=True)),
        (None, True, True, Wish(holds_batch=False, stays_awake=True)),
        (False, False, True, Wish(holds_batch=False, stays_awake=False)),
        (True, True, False, Wish(holds_batch=False, stays_awake=False)),
        (False, True, False, Wish(holds_batch=False, stays_awake=False)),
    ],
)
def test_what_is_to_be_done(on_battery: bool | None, has_work: bool, may: bool, expected: Wish) -> None:
    assert wish(on_battery=on_battery, has_work=has_work, may_hold=may, may_keep_awake=may) == expected


def test_this_computer_tells_or_does_not() -> None:
    assert read_on_battery() in (True, False, None)
    assert isinstance(awake_command(), tuple)


def is_held(awake: Awake) -> bool:
    return awake.is_held


def waiting(mark: Path) -> tuple[str, ...]:
    """A program that marks that it runs, until its input ends."""
    code = f"import sys, pathlib; p = pathlib.Path({str(mark)!r}); p.touch(); sys.stdin.read(); p.unlink()"
    return (sys.executable, "-c", code)


@pytest.mark.process
def test_the_program_runs_while_it_is_held(tmp_path: Path) -> None:
    mark = tmp_path / "awake"
    awake = Awake(waiting(mark))
    awake.hold()
    wait_for(mark.exists, 10.0, "the program")
    awake.hold()
    assert is_held(awake)
    awake.release()
    assert not mark.exists()
    assert not is_held(awake)
    awake.release()
    awake.hold()
    wait_for(mark.exists, 10.0, "the program again")
    awake.release()


@pytest.mark.process
@pytest.mark.parametrize(
    "command", [(sys.executable, "-c", "raise SystemExit(4)"), ("/no/such/program",), ()]
)
def test_a_system_that_refuses_is_asked_once(
    command: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    awake = Awake(command)
    awake.hold()
    wait_for(lambda: not is_held(awake), 10.0, "its end")
    for _ in range(3):
        awake.hold()
    assert not is_held(awake)
    awake.release()
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


def test_nothing_is_read_where_there_is_no_work() -> None:
    told: list[bool] = []

    def read() -> bool | None:
        raise AssertionError

    manners = Manners(Awake(()), told.append, read)
    manners.look(has_work=False, may_hold=True, may_keep_awake=True)
    Manners(Awake(()), told.append, lambda: True).look(has_work=True, may_hold=True, may_keep_awake=True)
    assert told == [False, True]
    manners.stop()
