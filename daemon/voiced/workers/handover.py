"""How a model goes to another device: a fresh worker there passes its test, then takes over between two segments."""

import logging
from typing import TYPE_CHECKING

from voiced.workers.engine import Engine
from voiced.workers.process import WorkerProcess, WorkerState
from voiced_ipc.errors import VoicedError

if TYPE_CHECKING:
    from voiced.workers.pool import Pool

logger = logging.getLogger(__name__)


async def hand_over(pool: "Pool", engine: Engine, device: str, reason: str) -> None:
    """Start a worker on `device`, test it, let it in and the old one go; the old one stays where that fails.

    Args:
        pool: The model's.
        engine: The model.
        device: Where it is to go.
        reason: Why.
    """
    old = engine.main
    new = pool.start_worker(engine, device, is_held=True)
    try:
        failure = await _test(pool, new)
        if failure:
            logger.warning("%s stays on %s: %s", engine.spec.model, old.device if old else "-", failure)
            new.dismiss(failure)
            return
        new.is_held = False
        for worker in list(engine.workers):
            if worker is not new and not worker.is_aside:
                pool.retire(worker, f"{engine.spec.model} went to {device}: {reason}")
        pool.switched(engine, old, new, reason)
    finally:
        engine.is_moving = False


async def _test(pool: "Pool", worker: WorkerProcess) -> str:
    """Wait for a worker and let it speak for a moment; return what is wrong with it, empty = nothing."""
    while worker.state is WorkerState.STARTING:
        await pool.change()
    if worker.state is WorkerState.GONE:
        return worker.end_reason or "its worker ended"
    try:
        async for _ in worker.run({"type": "test"}):
            pass
    except VoicedError as error:
        return error.message
    return ""
