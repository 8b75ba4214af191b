"""The running daemon: builds the parts around the loop, keeps them alive, takes them down."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
from datetime import datetime

from voiced.boot import STOP_SIGNALS, Booted
from voiced.cache_desk import CacheDesk, Caches
from voiced.config import Config, Problem, load_config
from voiced.desk import Desk
from voiced.devices.load import LoadMonitor
from voiced.dropping import DropFolder
from voiced.errors import LibraryError
from voiced.exit_codes import EXIT_OK, EXIT_RESTART
from voiced.files.atomic import sweep_temporaries
from voiced.jobs.casting import Casting
from voiced.jobs.finish import Finisher
from voiced.jobs.intake import Intake, Machine
from voiced.jobs.job import Job, stamp
from voiced.jobs.manager import PAUSED_SETTING, JobManager
from voiced.jobs.pace import Pace
from voiced.jobs.retention import look_back
from voiced.jobs.scribes import Scribes
from voiced.jobs.store import Store
from voiced.jobs.studio import Studio
from voiced.jobs.sweep import keep_spool, sweep
from voiced.logs import set_level
from voiced.manners import Awake, Manners, awake_command
from voiced.models.memory import Sizes
from voiced.models.prompt_cache import PromptCache
from voiced.models.voices import Voices
from voiced.models.weight_cache import WeightCache
from voiced.monitor import LOCK_SETTING, DeviceMonitor
from voiced.placing import wanted_of
from voiced.sdnotify import watchdog_interval_s
from voiced.server.server import Server
from voiced.server.sockets import Sockets
from voiced.voice_desk import VoiceDesk, owner_of
from voiced.workers.events import PoolEvent, PoolEventKind
from voiced.workers.pool import Pool, PoolLimits
from voiced.workers.shelf import Shelf
from voiced_ipc import messages as m
from voiced_ipc.errors import VoicedError

logger = logging.getLogger(__name__)

PACE_SETTING = "pace"
SIZES_SETTING = "sizes"
HISTORY_SETTING = "history_clock"
DROP_PAUSED_SETTING = "is_drop_paused"
_DAY_S = 24 * 3600.0


class Daemon:
    """All parts of one daemon.

    Args:
        booted: Locked, bound and ready.
    """

    def __init__(self, booted: Booted) -> None:
        self._booted = booted
        _log_start(booted)
        self._sockets = Sockets(booted.listeners, booted.descriptors)
        self.config = booted.config
        self._config_problems: tuple[Problem, ...] = booted.problems
        self._preload_problems: list[str] = []
        self._lexicon_problems: tuple[str, ...] = ()
        self._spool_problem = ""
        self._store = Store(booted.database)
        self._unfinished: list[Job] = self._store.unfinished()
        self._kept = {
            key: self._store.setting(key)
            for key in (
                PAUSED_SETTING,
                DROP_PAUSED_SETTING,
                LOCK_SETTING,
                PACE_SETTING,
                SIZES_SETTING,
                HISTORY_SETTING,
            )
        }
        self._pace = Pace(self._kept[PACE_SETTING] or "")
        paths = booted.paths
        shelf = Shelf(paths.models, paths.overlays, paths.weights)
        self._pool = Pool(_pool_limits(self.config), shelf, self._pool_changed, self._pool_event)
        self._pool.sizes = Sizes(self._kept[SIZES_SETTING] or "")
        self._scribes = Scribes(self._pool.scribery)
        voices = self._voices = Voices(paths.voices)
        caches = Caches(
            PromptCache(paths.prompts, voices, self.config.prompt_cache_mb << 20),
            WeightCache(paths.weights, self.config.weight_cache_gb << 30),
        )
        self._caches = caches
        self._intake = Intake(self.config, paths, Casting(self._pool, voices), self._scribes)
        finisher = Finisher(self._store, self._scribes.finish, booted.paths.spool, booted.file_mode)
        self._jobs = JobManager(
            self._store, self._intake, finisher, self._pool, self._pace, self._publish, caches.prompts
        )
        load = LoadMonitor(keep_gpu_asleep=self.config.keep_gpu_asleep)
        self._monitor = DeviceMonitor(self._pool, self._store, self._publish, load)
        self._pool.ground = self._monitor.ground()
        self._intake.casting.resolve_device = self._monitor.resolve
        self._intake.machine = lambda: Machine(self._monitor.tier, self._monitor.max_text_chars)
        studio = Studio(
            voices, self._scribes, paths.incoming, lambda name: owner_of(name, self._pool.engines.values())
        )
        self._desk = Desk(
            self._jobs,
            self._pool,
            self._monitor,
            paths,
            self,
            VoiceDesk(self._jobs, voices, studio, caches.prompts.forget, lambda: self.config.model),
            CacheDesk(caches),
        )
        self._manners = Manners(Awake(awake_command()), self._jobs.scheduler.hold_batch)
        self._monitor.on_tick = self._mind_power
        self._server = Server(self._sockets, self._desk)
        self._drop = DropFolder(self.config, self._jobs, self._publish)
        self._drop.pause(is_paused=bool(self._kept[DROP_PAUSED_SETTING]))
        self._stop = asyncio.Event()
        self._exit_code = EXIT_OK
        self._told_manager = ""
        self._chores: list[asyncio.Task[None]] = []

    # -- life -----------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until stopped; return the exit code."""
        loop = asyncio.get_running_loop()
        self._catch_signals(loop)
        # Before anything new can come: what lies about and belongs to no job is left from an earlier end.
        if self._booted.database_problem:
            self._spool_problem = keep_spool(self._booted.paths)
        sweep(self._booted.paths, self.config.audio_folder, self._store.ids_with_spool())
        self._voices.sweep()
        self._jobs.background.spawn(self._sweep_library())
        self._jobs.background.spawn(self._sweep_temporaries())
        self._store.start(loop)
        if self._booted.paths.lexicon_file.exists():
            await self._read_lexicon()
        self._configure_device(self.config)
        self._pool.shelf.is_apple = self._monitor.hardware.has_mps
        self._pool.start()
        self._preload()
        self._monitor.start(self.config.monitor_interval_s, self._kept[LOCK_SETTING])
        self._jobs.on_hold = lambda is_held: self._scribes.hold(is_held=is_held)
        self._jobs.hold(is_held=bool(self._kept[PAUSED_SETTING]))
        self._jobs.durable.restore(self._unfinished)
        self._unfinished = []
        self._drop.start()
        # Last, because who has waited comes in by libzmq's thread at once, and is counted by the loop's turns alone.
        self._server.start(loop)
        self._chores = [loop.create_task(self._watchdog()), loop.create_task(self._forget())]
        logger.info("ready: %d job(s) taken up", len(self._jobs.active))
        self._tell_manager()
        await self._stop.wait()
        await self._end()
        return self._exit_code

    async def _end(self) -> None:
        self._booted.notifier.stopping()
        self._publish(m.Stopping, reason="restart" if self._exit_code == EXIT_RESTART else "stop")
        for chore in self._chores:
            chore.cancel()
        await self._drop.stop()
        await self._jobs.stop(self.config.shutdown_timeout_s)
        await self._monitor.stop()
        self._manners.stop()
        with contextlib.suppress(VoicedError):
            await self._store.keep(PACE_SETTING, self._pace.dump())
        await self._pool.stop()
        with contextlib.suppress(VoicedError):
            await self._store.keep(SIZES_SETTING, self._pool.sizes.dump())
        await self._server.stop()
        await asyncio.to_thread(self._store.close)
        self._booted.lock.release()
        logger.info("stopped")

    def _preload(self) -> None:
        """The embedded voice and a scribe cost little and make the first request quick; others are wished for."""
        self._pool.scribery.load()
        for model in ("espeak", *self.config.preload):
            try:
                self._pool.load(model)
            except VoicedError as error:
                logger.error("%s", error.message)
                self._preload_problems.append(f"not loaded at the start: {error.message}")

    async def _sweep_library(self) -> None:
        """Remove what an install that was killed left behind; one that runs now keeps its own."""
        try:
            await asyncio.to_thread(self._pool.shelf.library.sweep)
        except (LibraryError, OSError) as error:
            logger.info("the model library was not swept: %s", error)

    async def _sweep_temporaries(self) -> None:
        """Remove half-made copies of an earlier run; the folders may be large, or far away."""
        config = self.config
        for folder in (config.failed_folder, config.done_folder, config.audio_folder):
            await asyncio.to_thread(sweep_temporaries, folder)

    # -- signals --------------------------------------------------------------------------------------

    def _catch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        loop.add_signal_handler(
            signal.SIGHUP, lambda: self._jobs.background.spawn(self._reload_for_manager())
        )
        stacks = (self._booted.paths.state / "stacks.txt").open("a")
        faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _signalled(self, number: int) -> None:
        if self._stop.is_set():
            logger.warning("a second %s: ending at once", signal.Signals(number).name)
            logging.shutdown()
            os._exit(128 + number)
        logger.info("%s: stopping", signal.Signals(number).name)
        self._stop.set()

    async def _reload_for_manager(self) -> None:
        self._booted.notifier.reloading()
        await self.reload()
        self._booted.notifier.ready(self._summary())

    # -- asked by the desk ----------------------------------------------------------------------------

    def shut_down(self, *, is_restart: bool) -> None:
        """Stop soon: the answer goes out first."""
        self._exit_code = EXIT_RESTART if is_restart else EXIT_OK
        asyncio.get_running_loop().call_soon(self._stop.set)

    async def reload(self) -> list[str]:
        """Read the settings again; return what could not be used."""
        config, problems = await asyncio.to_thread(
            load_config, self._booted.paths, None, self._booted.overrides
        )
        self._config_problems = problems
        for problem in problems:
            logger.warning("setting %s", problem)
        set_level(config.log_level)
        self.config = self._intake.config = config
        self._pool.limits = _pool_limits(config)
        self._caches.bound(config.prompt_cache_mb << 20, config.weight_cache_gb << 30)
        self._jobs.scheduler.limits = self._jobs.scheduler.limits._replace(
            attempts=config.attempts, deadline_s=config.segment_deadline_s
        )
        self._configure_device(config)
        await self._read_lexicon()
        await self._drop.reconfigure(config)
        logger.info("the configuration was read again")
        return [*(str(problem) for problem in problems), *self._lexicon_problems]

    async def _read_lexicon(self) -> None:
        from voiced.text.lexicon_file import read_lexicon

        path = self._booted.paths.lexicon_file
        self._intake.lexicon, self._lexicon_problems = await asyncio.to_thread(read_lexicon, path)

    def health(self, problems: list[str]) -> m.Health:
        """Return the daemon in one word, given what is wrong."""
        if self._stop.is_set():
            return m.Health.STOPPING
        return m.Health.DEGRADED if problems else m.Health.OK

    def problems(self) -> list[str]:
        """Return what is wrong and how to mend it."""
        found = [*(str(problem) for problem in self._config_problems), *self._preload_problems]
        found += self._lexicon_problems
        found += filter(None, (self._booted.database_problem, self._spool_problem, self._monitor.problem))
        detail = self._drop.info().detail
        if detail and self.config.drop_enabled:
            found.append(f"drop folder: {detail}")
        return found

    def drop_info(self) -> m.DropFolderInfo:
        """Return how the drop folder stands."""
        return self._drop.info()

    async def pause_drop(self, *, is_paused: bool) -> str:
        """Hold the drop folder, or go on with it; kept over restarts."""
        await self._store.keep(DROP_PAUSED_SETTING, "1" if is_paused else "")
        self._drop.pause(is_paused=is_paused)
        return "the drop folder is paused" if is_paused else "the drop folder goes on"

    def _configure_device(self, config: Config) -> None:
        self._monitor.wanted = wanted_of(config)
        self._monitor.configure(config.device, is_strict=config.strict_device)

    # -- told by the parts ----------------------------------------------------------------------------

    def _publish(self, event: type[m.Event], **fields: object) -> None:
        self._server.publish(event, **fields)
        if not issubclass(event, m.SegmentFinished | m.LoadChanged):
            self._tell_manager()

    def _pool_changed(self) -> None:
        self._scribes.wake()
        self._jobs.scheduler.wake()

    def _pool_event(self, event: PoolEvent) -> None:
        kind, model, run = event.kind, event.model, event.run
        if kind is PoolEventKind.LOADING:
            self._publish(
                m.ModelLoading, model=model, device=run.device, fraction=event.fraction, what=event.text
            )
        elif kind is PoolEventKind.LOADED:
            self._publish(
                m.ModelLoaded,
                model=model,
                device=run.device,
                load_s=event.seconds,
                precision=run.precision,
            )
            self._sockets.guard.settle()
            self._caches.weights.look()
        elif kind is PoolEventKind.UNLOADED:
            self._publish(m.ModelUnloaded, model=model, reason=event.text)
            watch = self._monitor.watch_for_leak(model, run.device, event.held_bytes)
            self._jobs.background.spawn(watch)
        elif kind is PoolEventKind.SWITCHED:
            self._publish(
                m.DeviceSwitched, model=model, old=event.old_device, new=run.device, reason=event.text
            )
        else:
            self._publish(m.WorkerReplaced, model=model, reason=event.text)

    def _tell_manager(self) -> None:
        """Keep the service manager's status line true; it is told only what changed."""
        summary = self._summary()
        if summary != self._told_manager:
            self._told_manager = summary
            self._booted.notifier.status(summary)

    def _summary(self) -> str:
        runs = self._jobs.active
        if self._jobs.scheduler.is_paused:
            return f"paused, {len(runs)} job(s) wait"
        speaking = sum(1 for run in runs if run.has_begun)
        return f"speaking {speaking} job(s), {len(runs) - speaking} wait" if runs else "idle"

    def _mind_power(self) -> None:
        self._manners.look(
            has_work=bool(self._jobs.active),
            may_hold=self.config.hold_on_battery,
            may_keep_awake=self.config.keep_awake,
        )

    # -- chores ---------------------------------------------------------------------------------------

    async def _watchdog(self) -> None:
        """Feed the service manager's watchdog, only while the loop, the store and the pool have each turned."""
        interval_s = watchdog_interval_s()
        if interval_s is None:
            return
        turns = -1
        while True:
            await asyncio.sleep(interval_s)
            has_turned, turns = self._pool.turns != turns, self._pool.turns
            try:
                await self._store.do(lambda _connection: None)
            except VoicedError as error:  # a full disk is no reason to be killed: the thread lives
                logger.error("%s", error.message)
            if has_turned:
                self._booted.notifier.watchdog()

    async def _forget(self) -> None:
        """Once a day let go of old history."""
        believed = self._kept[HISTORY_SETTING]
        while True:
            now = stamp()
            look = look_back(believed, datetime.fromisoformat(now), self.config.history_days)
            with contextlib.suppress(VoicedError):
                # The clock first: where it cannot be kept, nothing is forgotten on its word.
                await self._store.keep(HISTORY_SETTING, look.believed)
                believed = look.believed
                if self.config.history_days and look.before:
                    await self._store.forget(look.before, now)
            await asyncio.sleep(_DAY_S)


def _log_start(booted: Booted) -> None:
    for problem in booted.problems:
        logger.warning("setting %s", problem)
    if booted.database_problem:
        logger.error("%s", booted.database_problem)
    if os.getuid() == 0:
        logger.warning("runs as root: any text it reads is read as root")


def _pool_limits(config: Config) -> PoolLimits:
    cores = config.workers or config.threads or _physical_cores()
    return PoolLimits(cores, config.heartbeat_s, config.keep_alive_s)


def _physical_cores() -> int:
    """Cores that we may use; two threads of one core share its arithmetic."""
    import psutil

    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))
