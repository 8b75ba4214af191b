import os

import pytest

from voiced_tray import preflight
from voiced_tray.preflight import Notifier, Screen, Session, judge


@pytest.mark.parametrize(
    ("session", "code"),
    [
        (Session(Screen.NO_DISPLAY, False, Notifier.HOST), os.EX_UNAVAILABLE),
        (Session(Screen.NO_DISPLAY, False, Notifier.NO_BUS), os.EX_UNAVAILABLE),
        (Session(Screen.NONE, False, Notifier.NO_BUS), os.EX_UNAVAILABLE),
        (Session(Screen.HOST, True, Notifier.NO_BUS), os.EX_UNAVAILABLE),
        (Session(Screen.NONE, True, Notifier.NONE), os.EX_TEMPFAIL),
        (Session(Screen.NONE, False, Notifier.WATCHER), os.EX_TEMPFAIL),
        (Session(Screen.NO_DISPLAY, True, Notifier.NONE), os.EX_TEMPFAIL),
        (Session(Screen.NO_DISPLAY, True, Notifier.HOST), os.EX_OK),
        (Session(Screen.NONE, False, Notifier.HOST), os.EX_OK),
        (Session(Screen.HOST, False, Notifier.NONE), os.EX_OK),
    ],
)
def test_judgement(session: Session, code: int) -> None:
    problem = judge(session)
    assert (problem.code if problem else os.EX_OK) == code
    if problem:
        assert "\n" not in problem.message


def test_nothing_but_the_packages_is_looked_at_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    preflight.check({})
