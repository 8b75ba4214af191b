"""The pool: which children live, who is free, who is replaced.

It starts a worker when a model is first needed, ends it when it was idle for its keep-alive, replaces it when it
crashes, hangs or grows, and declares an engine broken that keeps dying. It knows no job: the scheduler asks it for a
free worker and is told when something changed. How a worker comes to be is `loading`'s, how one takes over from
another `handover`'s.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from voiced.models.catalogue import ESPEAK, TONE
from voiced.models.memory import Sizes
from voiced.workers import supervision
from voiced.workers.awake import AwakeClock
from voiced.workers.engine import Engine
from voiced.workers.events import PoolEvent, PoolEventKind
from voiced.workers.ground import Ground
from voiced.workers.handover import hand_over
from voiced.workers.loading import make_room, open_files
from voiced.workers.process import WorkerProcess, WorkerState
from voiced.workers.scribery import Scribery
from voiced.workers.shelf import Shelf
from voiced.workers.spawn import RunAs, spawn_worker
from voiced_ipc.errors import DeviceOutOfMemory, ShuttingDown, VoicedError

logger = logging.getLogger(__name__)

_END_S = 2.0
_INSIST_S = 1.0
"""A worker that was told to go by a person is killed after it."""
_NO_GPU_S = 600.0
"""For so long a model stays on the CPU that a GPU had no memory for."""


class PoolLimits(NamedTuple):
    """What the pool holds itself to."""

    cores: int
    """Physical cores: threads of every worker."""
    heartbeat_s: float
    """Silence of a working child after which it counts as hung."""
    keep_alive_s: float
    """How long an idle model stays; -1 = for ever."""


class Pool:
    """All children of the daemon.

    Args:
        limits: See there.
        shelf: Where models, engine families and caches lie.
        on_change: Called when a worker became ready or free, or is gone.
        on_event: Told what happens to models.
    """

    def __init__(
        self,
        limits: PoolLimits,
        shelf: Shelf,
        on_change: Callable[[], None],
        on_event: Callable[[PoolEvent], None],
    ) -> None:
        self.limits = limits
        self.shelf = shelf
        self.ground = Ground()
        """What it knows of the machine; set before it starts."""
        self.sizes = Sizes()
        """What models took here; set before it starts."""
        self.engines = {spec.model: Engine(spec) for spec in (ESPEAK, TONE)}
        """The models that were asked for so far."""
        self.turns = 0
        """Rounds of the supervisor so far: tells the watchdog that it lives."""
        self._on_change = on_change
        self._on_event = on_event
        self._awake = AwakeClock()
        self.scribery = Scribery(self._changed)
        """The scribes."""
        self._chores: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._is_stopping = False

    def start(self) -> None:
        """Begin to supervise."""
        self._supervisor = asyncio.get_running_loop().create_task(self._supervise(), name="pool")

    async def stop(self) -> None:
        """End all children: ask, then kill."""
        self._is_stopping = self.scribery.is_stopping = True
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
        everyone = [*self.scribery.scribes, *self.workers()]
        return [child for child in everyone if child.state is not WorkerState.GONE]

    def workers(self) -> list[WorkerProcess]:
        """Return every child that holds a model, or is about to."""
        return [worker for engine in self.engines.values() for worker in engine.workers]

    # -- asked by the scheduler -----------------------------------------------------------------------

    def engine(self, model: str) -> Engine:
        """Return a model's place in the pool.

        Raises:
            UnknownModel: If there is none of that id.
            ModelMissing: If its files are not here.
        """
        known = self.engines.get(model)
        if known is not None and (known.workers or known.spec.is_embedded):
            return known
        spec = self.shelf.spec(model)
        install = self.shelf.install(spec)
        engine = self.engines.get(spec.model)
        if engine is None or (not engine.workers and (engine.spec, engine.install) != (spec, install)):
            # New, or installed again since.
            engine = self.engines[spec.model] = Engine(spec, install)
            engine.ready = self.shelf.abilities(spec)
            engine.has_loaded = bool(engine.ready)
        return engine

    def free_worker(self, model: str, device: str = "") -> WorkerProcess | None:
        """Return a worker that would begin at once, or None; starts one where none lives.

        Args:
            model: Its id.
            device: Where one request wants it; empty = where it usually runs.

        Raises:
            UnknownModel, ModelMissing, EngineLoadFailed, DeviceOutOfMemory: If there cannot be one.
        """
        engine = self.engine(model)
        for worker in engine.workers:
            if worker.is_free and engine.is_served_by(worker, device):
                return worker
        if not self._has_worker(engine, device):
            self.load(model, device)
        return None

    def worker_with_queue(self, model: str, device: str = "") -> WorkerProcess | None:
        """Return a worker that is busy and would begin with another task the moment it is not, or None.

        Args:
            model: Its id.
            device: As `free_worker`.
        """
        engine = self.engine(model)
        able = (worker for worker in engine.workers if worker.has_queue_room)
        return next((worker for worker in able if engine.is_served_by(worker, device)), None)

    def load(self, model: str, device: str = "") -> None:
        """Start a worker for a model unless one lives.

        Args:
            model: Its id.
            device: As `free_worker`.

        Raises:
            UnknownModel, ModelMissing: As `engine`.
            EngineLoadFailed, DeviceOutOfMemory, DeviceUnavailable: If it is broken, with the reason and what mends
                it, or when it is tried again.
            ShuttingDown: If nothing is started any more.
        """
        engine = self.engine(model)
        if self._is_stopping:
            raise ShuttingDown("the daemon is stopping")
        if self._has_worker(engine, device):
            return
        if engine.broken_s > 0:
            raise engine.fault()
        self.start_worker(engine, engine.place_for(device))

    async def loaded(self, model: str, device: str = "") -> Engine:
        """Return a model's place once a worker of it is ready.

        Raises:
            UnknownModel, ModelMissing: As `engine`.
            EngineLoadFailed: If it cannot be loaded.
            ShuttingDown: If nothing is started any more.
        """
        engine = self.engine(model)
        while not any(
            worker.state is WorkerState.READY
            and not worker.is_dismissed
            and engine.is_served_by(worker, device)
            for worker in engine.workers
        ):
            self.load(model, device)
            await self.change()
        return engine

    async def known(self, model: str) -> Engine:
        """Return a model's place once its voices are known; loads it where it never was.

        Raises:
            VoicedError: As `loaded`.
        """
        engine = self.engine(model)
        return engine if engine.has_loaded else await self.loaded(model)

    async def usage(self, model: str, device: str = "") -> RunAs:
        """Return where and how a model speaks, or will once it is loaded.

        Args:
            model: Its id.
            device: As `free_worker`.

        Raises:
            UnknownModel, ModelMissing: As `engine`.
            DeviceUnavailable: If the device is not there, and strict mode forbids another.
        """
        engine = self.engine(model)
        for worker in engine.workers:
            if worker.is_announced and engine.is_served_by(worker, device) and not worker.is_retiring:
                return worker.run_as
        is_kept_off = not device and engine.cpu_until > time.monotonic()
        return (await self.ground.place(engine.spec, "cpu" if is_kept_off else device)).run

    async def change(self) -> None:
        """Wait until some child's state changes."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _has_worker(self, engine: Engine, device: str) -> bool:
        return any(
            engine.is_served_by(worker, device) and not worker.is_retiring for worker in engine.workers
        )

    def _changed(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._on_change()

    def unload(self, model: str, reason: str) -> bool:
        """End the workers of a model; return whether there were any."""
        engine = self.engine(model)
        for worker in list(engine.workers):
            worker.dismiss(reason)
        return bool(engine.workers)

    async def gone(self, model: str) -> None:
        """Wait until the workers of a model that were told to go are gone, and their memory with them."""
        engine = self.engines.get(model)
        leaving = [worker for worker in engine.workers if worker.is_dismissed] if engine else []
        while any(worker.state is not WorkerState.GONE for worker in leaving):
            await self.change()

    def use(self, model: str, keep_alive_s: float | None) -> None:
        """Note how long the model is to stay after its last use; None = as configured."""
        self.engine(model).keep_alive_s = keep_alive_s

    # -- memory and devices ---------------------------------------------------------------------------

    def relieve(self, model: str, worker: WorkerProcess) -> str:
        """Make room after a worker ran out of memory; return what was done, empty = there is nothing more to do.

        First idle models go and smaller pieces are spoken, then the model goes to the CPU.
        """
        engine = self.engine(model)
        engine.memory_faults += 1
        if engine.memory_faults == 1:
            gone = self.unload_idle(worker.device, "another model ran out of memory", but=model)
            engine.max_chars = max(40, engine.spec.max_segment_chars // 2)
            return "; ".join([*(f"{name} was unloaded" for name in gone), "smaller pieces are spoken"])
        if worker.device != "cpu":
            engine.cpu_until = time.monotonic() + _NO_GPU_S
            self.retire(worker, f"{worker.device} has no memory for it")
            return "it goes on the CPU"
        return ""

    def unload_idle(self, device: str, reason: str, *, but: str = "", with_pinned: bool = False) -> list[str]:
        """Unload the models on a device that nobody uses; return which.

        Args:
            device: Where.
            reason: Why, for whoever wonders.
            but: A model that stays.
            with_pinned: Those that somebody keeps for ever go too.
        """
        gone = []
        for engine in self.engines.values():
            keeps = engine.keep_s(self.limits.keep_alive_s) < 0 and not with_pinned
            if engine.spec.is_lean or engine.spec.model == but or keeps or not engine.is_idle:
                continue
            there = [worker for worker in engine.workers if worker.device == device]
            for worker in there:
                worker.dismiss(reason)
            gone += [engine.spec.model] if there else []
        return gone

    def move(self, model: str, device: str, reason: str) -> None:
        """Let a fresh worker on another device take over once it has passed its test; does nothing while one does."""
        engine = self.engine(model)
        if not engine.is_moving and not self._is_stopping:
            engine.is_moving = True
            self._spawn_chore(hand_over(self, engine, device, reason), f"move {model}")

    def move_now(self, model: str, device: str, reason: str) -> None:
        """End the workers that are elsewhere at once; what they spoke is spoken again on `device`."""
        for worker in list(self.engine(model).workers):
            if worker.device != device:
                worker.dismiss(reason)
                asyncio.get_running_loop().call_later(
                    _INSIST_S, worker.kill, "it was asked to go and did not"
                )

    def retire(self, worker: WorkerProcess, reason: str) -> None:
        """Let a worker end what it does, and then go."""
        worker.is_retiring = True
        worker.end_reason = reason
        if not worker.running:
            worker.dismiss(reason)

    def switched(self, engine: Engine, old: WorkerProcess | None, new: WorkerProcess, reason: str) -> None:
        """A new worker has taken over."""
        there = old.device if old else ""
        self.tell(PoolEvent(PoolEventKind.SWITCHED, engine.spec.model, new.run_as, reason, old_device=there))
        self._changed()

    def tell(self, event: PoolEvent) -> None:
        """Tell what happened."""
        self._on_event(event)

    # -- children come and go -------------------------------------------------------------------------

    def start_worker(self, engine: Engine, device: str, *, is_held: bool = False) -> WorkerProcess:
        """Return a worker that is being started.

        Args:
            engine: Of which model.
            device: Where it is wanted; empty = where it usually runs.
            is_held: It is let in by the caller, after a test; it then takes the usual place.
        """
        worker = WorkerProcess(
            engine.spec.model, lambda changed: self._worker_changed(engine, changed), self._awake.now
        )
        worker.asked_device = device
        worker.is_held = is_held
        worker.is_aside = bool(device) and not is_held
        engine.workers.append(worker)
        self._spawn_chore(self._begin(engine, worker), f"start {worker.name}")
        return worker

    async def _begin(self, engine: Engine, worker: WorkerProcess) -> None:
        try:
            files = await open_files(self.shelf, engine.spec)
            asked = worker.asked_device
            if not asked and engine.cpu_until > time.monotonic():
                asked = "cpu"
            await make_room(self, engine, worker, asked)
            if worker.state is WorkerState.GONE:
                return  # dismissed meanwhile
            # All cores, whoever else is loaded: with another number of threads sums round otherwise, and a model would
            # speak differently beside another than alone.
            worker.run_as = worker.run_as._replace(threads=self.limits.cores)
            spawn = spawn_worker(engine.spec, worker.run_as, files)
            await worker.start(spawn.command, spawn.environment, spawn.load)
        except VoicedError as error:
            worker.give_up(error.message, error)
        except OSError as error:
            worker.give_up(f"cannot be started: {error}")
        except Exception:  # the top of this task: nobody may wait for ever
            logger.exception("%s cannot be started", worker.name)
            worker.give_up("a fault inside voiced; the log has the details")

    def _spawn_chore(self, chore: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(chore, name=name)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _worker_changed(self, engine: Engine, worker: WorkerProcess) -> None:
        if worker.state is WorkerState.GONE:
            self._worker_gone(engine, worker)
        elif worker.state is WorkerState.STARTING:
            self.tell(
                PoolEvent(
                    PoolEventKind.LOADING,
                    engine.spec.model,
                    worker.run_as,
                    worker.step.what,
                    fraction=worker.step.fraction,
                )
            )
        elif not worker.is_announced:
            self._worker_ready(engine, worker)
        elif not worker.running:
            self._worker_rests(engine, worker)
        self._changed()

    def _worker_ready(self, engine: Engine, worker: WorkerProcess) -> None:
        worker.is_announced = True
        engine.has_loaded = True
        if engine.ready != worker.ready:
            engine.ready = worker.ready
            self.shelf.keep_abilities(engine.spec, worker.ready)
        worker.ping()  # tells how much memory it takes
        model = engine.spec.model
        self.tell(PoolEvent(PoolEventKind.LOADED, model, worker.run_as, seconds=worker.load_s))

    def _worker_rests(self, engine: Engine, worker: WorkerProcess) -> None:
        """Between two tasks: is it to go?"""
        if engine.spec.is_lean or worker.is_dismissed:
            return
        if worker.is_retiring:
            worker.dismiss(worker.end_reason)
        elif worker.growth.is_too_great:
            grown = (
                f"it grew from {worker.growth.baseline_bytes >> 20} to {worker.growth.last_bytes >> 20} MiB"
            )
            logger.warning("worker %s (pid %d): %s", worker.name, worker.pid, grown)
            worker.dismiss(grown)  # the next one begins when it is gone: both at once may not fit
        else:
            worker.ping()

    def _worker_gone(self, engine: Engine, worker: WorkerProcess) -> None:
        if worker not in engine.workers:
            return
        engine.workers.remove(worker)
        model, run = engine.spec.model, worker.run_as
        self.sizes.learn(run.kind(engine.spec), worker.growth.peak_bytes)
        if self._is_stopping or worker.is_dismissed:
            if not engine.workers:
                engine.memory_faults = engine.max_chars = 0
            kind = PoolEventKind.REPLACED if worker.growth.is_too_great else PoolEventKind.UNLOADED
            self.tell(PoolEvent(kind, model, run, worker.end_reason, held_bytes=worker.device_bytes))
            return
        logger.warning("worker %s (pid %d) ended: %s", model, worker.pid, worker.end_reason)
        if isinstance(worker.refusal, DeviceOutOfMemory) and (eased := self.relieve(model, worker)):
            # Whoever waits for it asks again.
            self.tell(PoolEvent(PoolEventKind.REPLACED, model, run, f"{worker.end_reason}: {eased}"))
            return
        backoff_s = engine.count_death(worker)
        if backoff_s:
            text = f"{worker.end_reason}; tried again in {backoff_s:.0f} s"
            self.tell(PoolEvent(PoolEventKind.BROKEN, model, run, text))
        else:
            self.tell(PoolEvent(PoolEventKind.REPLACED, model, run, worker.end_reason))

    # -- supervision ----------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Ping working workers, kill the silent ones, end the idle ones.

        A scribe is one thread in the midst of a document: its work has a limit of time instead.
        """
        while True:
            is_working = any(child.running for child in self.children())
            turn_s = supervision.turn_s(self.limits.heartbeat_s, is_working=is_working)
            self._awake.tick(turn_s)
            await asyncio.sleep(turn_s)
            self.turns += 1
            now = time.monotonic()
            for child in self.children():
                if child not in self.scribery.scribes or child.is_dismissed:
                    supervision.check(child, child.awake(), self.limits.heartbeat_s)
            supervision.end_idle(self.engines.values(), now, self.limits.keep_alive_s)
            self.scribery.end_idle(now)
