"""The pool: which children live, who is free, who is replaced.

It starts a worker when a model is first needed, ends it when it was idle for its keep-alive, replaces it when it
crashes or hangs, and declares an engine broken that keeps dying. It knows no job: the scheduler asks it for a free
worker and is told when something changed.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from voiced.models.catalogue import CATALOGUE
from voiced.models.spec import ModelSpec
from voiced.workers.process import WorkerProcess, WorkerState
from voiced.workers.spawn import Run, Spawn, spawn_scribe, spawn_worker
from voiced_ipc.errors import EngineLoadFailed, ShuttingDown, UnknownModel

logger = logging.getLogger(__name__)

BROKEN_DEATHS = 5
BROKEN_WINDOW_S = 60.0
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 300.0
_END_S = 2.0
_TURN_S = 2.5
_SCRIBE_MEMORY_BYTES = 1 << 30


class PoolLimits(NamedTuple):
    """What the pool holds itself to."""

    cores: int
    """Physical cores to divide among CPU workers."""
    heartbeat_s: float
    """Silence of a working child after which it counts as hung."""
    keep_alive_s: float
    """How long an idle model stays; -1 = for ever."""


class Engine:
    """One model in the pool: its workers, and how often they died."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.workers: list[WorkerProcess] = []
        self.voices: list[dict[str, Any]] = []
        """As its worker listed them."""
        self.has_loaded = False
        """Whether a worker of it was ever ready, so that its voices are known."""
        self.deaths: deque[float] = deque(maxlen=BROKEN_DEATHS)
        self.failures = 0
        """Failed starts and broken spells in a row: the backoff grows with them."""
        self.broken_until = 0.0
        self.broken_reason = ""
        self.keep_alive_s: float | None = None
        self.load_s = 0.0


class Pool:
    """All children of the daemon.

    Args:
        limits: See there.
        models: The folder of the models' folders.
        on_change: Called when a worker became ready or free, or is gone.
        on_event: Called with (kind, model, text): `loaded`, `unloaded`, `replaced`, `broken`.
    """

    def __init__(
        self,
        limits: PoolLimits,
        models: Path,
        on_change: Callable[[], None],
        on_event: Callable[[str, str, str], None],
    ) -> None:
        self.limits = limits
        self._models = models
        self.engines = {model: Engine(spec) for model, spec in CATALOGUE.items()}
        self.turns = 0
        """Rounds of the supervisor so far: tells the watchdog that it lives."""
        self._on_change = on_change
        self._on_event = on_event
        self._scribes: list[WorkerProcess] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._is_stopping = False
        self._no_scribe_until = 0.0

    def start(self) -> None:
        """Begin to supervise."""
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name="pool")

    async def stop(self) -> None:
        """End all children: ask, then kill."""
        self._is_stopping = True
        self._changed()
        if self._supervisor is not None:
            self._supervisor.cancel()
        children = self.children()
        for child in children:
            child.dismiss("the daemon stops")
        await asyncio.gather(*(child.wait(_END_S) for child in children))
        for child in children:
            child.kill("the daemon stops")
        await asyncio.gather(*(child.wait(_END_S) for child in children))

    def children(self) -> list[WorkerProcess]:
        """Return every living child."""
        everyone = [
            *self._scribes,
            *(worker for engine in self.engines.values() for worker in engine.workers),
        ]
        return [child for child in everyone if child.state is not WorkerState.GONE]

    # -- asked by the scheduler -----------------------------------------------------------------------

    def engine(self, model: str) -> Engine:
        """Return a model's place in the pool.

        Raises:
            UnknownModel: If there is none of that id.
        """
        try:
            return self.engines[model]
        except KeyError:
            known = ", ".join(sorted(self.engines))
            raise UnknownModel(f"no model {model!r}; installed: {known}") from None

    def free_worker(self, model: str) -> WorkerProcess | None:
        """Return a worker that would begin at once, or None; starts one where none lives.

        Raises:
            UnknownModel, EngineLoadFailed: If there cannot be one.
        """
        engine = self.engine(model)
        for worker in engine.workers:
            if worker.is_free:
                return worker
        if not engine.workers:
            self.load(model)
        return None

    def load(self, model: str) -> None:
        """Start a worker for a model unless one lives.

        Raises:
            UnknownModel: If there is no such model.
            EngineLoadFailed: If it is broken, with the reason and when it is tried again.
            ShuttingDown: If nothing is started any more.
        """
        engine = self.engine(model)
        if self._is_stopping:
            raise ShuttingDown("the daemon is stopping")
        if engine.workers:
            return
        left_s = engine.broken_until - time.monotonic()
        if left_s > 0:
            raise EngineLoadFailed(
                f"{model} is broken ({engine.broken_reason}); it is tried again in {left_s:.0f} s"
            )
        folder = self._models / model if engine.spec.has_folder else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        run = Run(threads=self.limits.cores, precision=engine.spec.precisions[0])
        spawn = spawn_worker(engine.spec, run, folder=folder, overlay=None, cache=None)
        worker = WorkerProcess(model, lambda changed: self._worker_changed(engine, changed))
        engine.workers.append(worker)
        self._spawn(worker, spawn)

    async def loaded(self, model: str) -> Engine:
        """Return a model's place once a worker of it is ready.

        Raises:
            UnknownModel: If there is no such model.
            EngineLoadFailed: If it cannot be loaded.
            ShuttingDown: If nothing is started any more.
        """
        engine = self.engine(model)
        while not any(worker.state is WorkerState.READY for worker in engine.workers):
            self.load(model)
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return engine

    async def known(self, model: str) -> Engine:
        """Return a model's place once its voices are known; loads it where it never was.

        Raises:
            VoicedError: As `loaded`.
        """
        engine = self.engine(model)
        return engine if engine.has_loaded else await self.loaded(model)

    def _changed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._on_change()

    def free_scribe(self, *, is_heavy: bool) -> WorkerProcess | None:
        """Return a scribe that would begin at once, or None; one of two is kept free of heavy work.

        Args:
            is_heavy: The work takes long (encoding): it must leave a scribe for quick work.
        """
        self._scribes = [scribe for scribe in self._scribes if scribe.state is not WorkerState.GONE]
        free = [scribe for scribe in self._scribes if scribe.is_free]
        busy = sum(1 for scribe in self._scribes if scribe.running)
        if free and not (is_heavy and busy):
            return free[0]
        if len(self._scribes) < 2 and len(self._scribes) == busy:
            self.load_scribe()
        return None

    def load_scribe(self) -> None:
        """Start a scribe."""
        if self._is_stopping or time.monotonic() < self._no_scribe_until:
            return
        scribe = WorkerProcess("scribe", self._scribe_changed)
        self._scribes.append(scribe)
        self._spawn(scribe, spawn_scribe(_SCRIBE_MEMORY_BYTES))

    def _scribe_changed(self, scribe: WorkerProcess) -> None:
        if scribe.state is WorkerState.GONE and not scribe.ready and not self._is_stopping:
            # It dies before its first word: another at once would do the same, a thousand times a second.
            logger.error("the scribe (pid %d) cannot start: %s", scribe.pid, scribe.end_reason)
            self._no_scribe_until = time.monotonic() + BACKOFF_FIRST_S
            asyncio.get_running_loop().call_later(BACKOFF_FIRST_S, self._changed)
        else:
            self._changed()

    def unload(self, model: str, reason: str) -> bool:
        """End the workers of a model; return whether there were any."""
        engine = self.engine(model)
        for worker in engine.workers:
            worker.dismiss(reason)
        return bool(engine.workers)

    def use(self, model: str, keep_alive_s: float | None) -> None:
        """Note how long the model is to stay after its last use; None = as configured."""
        self.engine(model).keep_alive_s = keep_alive_s

    # -- children come and go -------------------------------------------------------------------------

    def _spawn(self, child: WorkerProcess, spawn: Spawn) -> None:
        async def begin() -> None:
            try:
                await child.start(spawn.command, spawn.environment, spawn.load)
            except OSError as error:
                child.give_up(f"cannot be started: {error}")

        task = asyncio.get_running_loop().create_task(begin(), name=f"start {child.name}")
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    def _worker_changed(self, engine: Engine, worker: WorkerProcess) -> None:
        if worker.state is WorkerState.GONE:
            self._worker_gone(engine, worker)
        elif worker.state is WorkerState.READY and not worker.is_announced:
            worker.is_announced = True
            engine.has_loaded = True
            engine.load_s = time.monotonic() - worker.spawned_at
            voices = worker.ready.get("voices", [])
            engine.voices = voices if isinstance(voices, list) else []
            self._on_event("loaded", engine.spec.model, f"{engine.load_s:.3f}")
        self._changed()

    def _worker_gone(self, engine: Engine, worker: WorkerProcess) -> None:
        if worker not in engine.workers:
            return
        engine.workers.remove(worker)
        model = engine.spec.model
        if self._is_stopping or worker.is_dismissed:
            self._on_event("unloaded", model, worker.end_reason)
            return
        now = time.monotonic()
        engine.deaths.append(now)
        logger.warning("worker %s (pid %d) ended: %s", model, worker.pid, worker.end_reason)
        often = len(engine.deaths) == BROKEN_DEATHS and now - engine.deaths[0] < BROKEN_WINDOW_S
        if often or worker.refusal is not None or not worker.is_announced:
            backoff_s = min(BACKOFF_FIRST_S * 2**engine.failures, BACKOFF_LAST_S)
            engine.failures += 1
            engine.broken_until = now + backoff_s
            engine.broken_reason = worker.end_reason
            engine.deaths.clear()
            self._on_event("broken", model, f"{worker.end_reason}; tried again in {backoff_s:.0f} s")
        else:
            self._on_event("replaced", model, worker.end_reason)

    # -- supervision ----------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Ping working workers, kill the silent ones, end the idle ones.

        A scribe is one thread in the midst of a document: its work has a limit of time instead.
        """
        while True:
            # Often enough for systemd's watchdog, whatever the heartbeat is set to.
            interval_s = min(max(0.2, self.limits.heartbeat_s / 4), _TURN_S)
            is_working = any(child.running for child in self.children())
            await asyncio.sleep(interval_s if is_working else _TURN_S)
            self.turns += 1
            now = time.monotonic()
            for child in self.children():
                if child.is_dismissed or (child.running and child not in self._scribes):
                    self._check(child, now)
            self._end_idle(now)

    def _check(self, child: WorkerProcess, now: float) -> None:
        if child.is_dismissed:
            child.kill("it was asked to go and did not")
        elif child.pinged_at is None:
            child.ping()
        elif now - child.pinged_at > self.limits.heartbeat_s:
            child.kill(f"it gave no sign of life for {now - child.last_heard:.1f} s")

    def _end_idle(self, now: float) -> None:
        for engine in self.engines.values():
            if any(now - worker.spawned_at > BROKEN_WINDOW_S for worker in engine.workers):
                engine.failures = 0  # it has worked for a while: the next fault begins anew
            keep_s = self.limits.keep_alive_s if engine.keep_alive_s is None else engine.keep_alive_s
            if engine.spec.is_lean or keep_s < 0:
                continue
            for worker in engine.workers:
                if (
                    worker.state is WorkerState.READY
                    and not worker.running
                    and now - worker.idle_since > keep_s
                ):
                    worker.dismiss(f"idle for {keep_s:.0f} s")
        for scribe in self._scribes[1:]:
            if not scribe.running and now - scribe.idle_since > 10.0:
                scribe.dismiss("not needed")
