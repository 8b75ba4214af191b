"""What the pool's supervisor looks at, turn after turn: who is silent, who is idle."""

from collections.abc import Iterable

from voiced.workers.engine import Engine
from voiced.workers.process import WorkerProcess, WorkerState

TURN_S = 2.5
"""Often enough for systemd's watchdog, whatever the heartbeat is set to."""
LOAD_SILENCE_S = 300.0
"""A load that says nothing for so long is given up: gigabytes from a slow disk take minutes."""


def turn_s(heartbeat_s: float, *, is_working: bool) -> float:
    """Return the seconds to the next turn.

    Args:
        heartbeat_s: Silence of a working child after which it counts as hung.
        is_working: Whether one works.
    """
    return min(max(0.2, heartbeat_s / 4), TURN_S) if is_working else TURN_S


def check(child: WorkerProcess, now: float, heartbeat_s: float) -> None:
    """Ping a child that works; kill it where it is silent, or was told to go and did not.

    Args:
        child: It.
        now: By the child's clock `awake`.
        heartbeat_s: Silence after which it counts as hung.
    """
    if child.is_dismissed:
        child.kill("it was asked to go and did not")
    elif child.state is WorkerState.STARTING:
        if child.pid and now - child.last_heard > LOAD_SILENCE_S:
            child.kill(f"its load did not go on for {LOAD_SILENCE_S:.0f} s")
    elif child.running and child.pinged_at is None:
        child.ping()
    elif child.running and child.pinged_at and now - child.pinged_at > heartbeat_s:
        child.kill(f"it gave no sign of life for {now - child.last_heard:.1f} s")


def end_idle(engines: Iterable[Engine], now: float, keep_alive_s: float) -> None:
    """End the workers of models that nobody used for as long as they are kept.

    Args:
        engines: All models.
        now: Monotonic seconds.
        keep_alive_s: As configured; negative = for ever.
    """
    for engine in engines:
        engine.forgive()
        keep_s = engine.keep_s(keep_alive_s)
        if engine.spec.is_lean or keep_s < 0:
            continue
        for worker in engine.workers:
            is_idle = worker.state is WorkerState.READY and not worker.running and not worker.is_held
            if is_idle and now - worker.idle_since > keep_s:
                worker.dismiss(f"idle for {keep_s:.0f} s")
