"""The poller against the stand-in: no display is needed."""

import queue
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.tray.daemon_standin import DaemonStandIn, make_job
from voiced_ipc import messages as m
from voiced_ipc.endpoint import Endpoint
from voiced_ipc.errors import QueueFull
from voiced_tray import poller as poller_module
from voiced_tray.poller import QUEUE_LIMIT, Poller
from voiced_tray.state import Input, Link, LinkLost, RequestDone, RequestFailed, StatusSeen

_Found = TypeVar("_Found")


class Inputs:
    """What the poller delivered, in order."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Input] = queue.Queue()

    def take(self, found: Input) -> None:
        self._queue.put(found)

    def next(
        self, kind: type[_Found], matches: Callable[[_Found], bool] = lambda _: True, timeout_s: float = 5
    ) -> _Found:
        """The next input of a kind; others are passed over."""
        end = time.monotonic() + timeout_s
        while True:
            found = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            if isinstance(found, kind) and matches(found):
                return found


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with tempfile.TemporaryDirectory(prefix="vt") as folder:
        yield Endpoint(Path(folder) / "voiced")


@pytest.fixture
def inputs() -> Inputs:
    return Inputs()


@pytest.fixture
def poller(endpoint: Endpoint, inputs: Inputs) -> Iterator[Poller]:
    made = Poller(endpoint, inputs.take, lambda: "1.2")
    made.start()
    yield made
    assert made.stop(5)


def pause() -> m.Pause:
    return m.Pause(request_id=m.new_id())


def test_without_a_daemon_it_says_so_and_goes_on_looking(
    endpoint: Endpoint, inputs: Inputs, poller: Poller
) -> None:
    assert inputs.next(LinkLost).link is Link.OFFLINE
    with DaemonStandIn(endpoint):
        seen = inputs.next(StatusSeen)
    assert (seen.status.version, seen.installed) == ("0.1.0", "1.2")


def test_requests_are_sent_in_order_and_the_status_follows(
    endpoint: Endpoint, inputs: Inputs, poller: Poller
) -> None:
    with DaemonStandIn(endpoint) as daemon:
        inputs.next(StatusSeen)
        began = time.monotonic()
        poller.send(pause())
        poller.send(m.SetDeviceLock(request_id=m.new_id(), device="cpu"))
        inputs.next(RequestDone)
        inputs.next(RequestDone)
        status = inputs.next(StatusSeen).status
        assert time.monotonic() - began < 1  # at once, not with the next look
        assert (status.is_paused, status.lock.device) == (True, "cpu")
        kinds = [type(daemon.requests.get(timeout=1)) for _ in range(2)]
        assert kinds == [m.Pause, m.SetDeviceLock]


def test_a_refusal_is_delivered_and_the_connection_stays(
    endpoint: Endpoint, inputs: Inputs, poller: Poller
) -> None:
    with DaemonStandIn(endpoint) as daemon:
        inputs.next(StatusSeen)
        daemon.refusal = QueueFull("try again later")
        poller.send(pause())
        assert inputs.next(RequestFailed).message == "try again later"
        daemon.refusal = None
        poller.send(pause())
        inputs.next(RequestDone)


def test_a_request_without_a_daemon_fails_at_once(inputs: Inputs, poller: Poller) -> None:
    inputs.next(LinkLost)
    poller.send(pause())
    assert "voiced run" in inputs.next(RequestFailed, timeout_s=1).message


def test_events_come_through_and_a_gap_asks_for_the_truth(
    endpoint: Endpoint, inputs: Inputs, poller: Poller
) -> None:
    with DaemonStandIn(endpoint) as daemon:
        inputs.next(StatusSeen)
        _until_subscribed(daemon, inputs)
        daemon.publish(m.JobStarted, job=make_job())
        assert inputs.next(m.JobStarted).job == make_job()
        daemon.skip_events(3)
        began = time.monotonic()
        daemon.publish(m.PauseChanged, is_paused=False)
        inputs.next(m.PauseChanged)
        inputs.next(StatusSeen)
        assert time.monotonic() - began < 0.5


def test_a_daemon_that_says_good_bye_is_offline_at_once(
    endpoint: Endpoint, inputs: Inputs, poller: Poller
) -> None:
    with DaemonStandIn(endpoint) as daemon:
        inputs.next(StatusSeen)
        _until_subscribed(daemon, inputs)
        daemon.publish(m.Stopping, reason="asked")
        inputs.next(m.Stopping)
        assert inputs.next(LinkLost, timeout_s=1).link is Link.OFFLINE


def test_a_killed_daemon_is_offline_and_not_called_silent(
    endpoint: Endpoint, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller_module, "ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(poller_module, "STATUS_INTERVAL_S", 0.1)
    made = Poller(endpoint, inputs.take, lambda: "")
    with DaemonStandIn(endpoint):
        made.start()
        inputs.next(StatusSeen)
    assert inputs.next(LinkLost, timeout_s=10).link is Link.OFFLINE
    assert made.stop(5)


def test_a_deaf_daemon_is_silent_and_can_still_be_left(
    endpoint: Endpoint, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller_module, "ANSWER_TIMEOUT_S", 0.2)
    made = Poller(endpoint, inputs.take, lambda: "")
    with DaemonStandIn(endpoint, is_deaf=True):
        made.start()
        assert inputs.next(LinkLost).link is Link.SILENT
        began = time.monotonic()
        assert made.stop(5)
        assert time.monotonic() - began < 1


def test_too_many_clicks_are_refused(endpoint: Endpoint, inputs: Inputs) -> None:
    made = Poller(endpoint, inputs.take, lambda: "")
    for _ in range(QUEUE_LIMIT + 1):
        made.send(pause())
    assert "too many" in inputs.next(RequestFailed).message
    assert made.stop(1)


def test_a_fault_of_its_own_is_shown(
    endpoint: Endpoint, inputs: Inputs, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise ArithmeticError("on purpose")

    made = Poller(endpoint, inputs.take, broken)
    with DaemonStandIn(endpoint):
        made.start()
        lost = inputs.next(LinkLost)
        assert made.stop(5)
    assert lost.link is Link.SILENT
    assert "start it again" in lost.detail
    assert "on purpose" in caplog.text


def _until_subscribed(daemon: DaemonStandIn, inputs: Inputs) -> None:
    """A subscription takes a moment to arrive: publish until the first event comes."""
    for _ in range(100):
        daemon.publish(m.PauseChanged, is_paused=False)
        try:
            inputs.next(m.PauseChanged, timeout_s=0.05)
        except queue.Empty:
            continue
        return
    pytest.fail("no event came")
