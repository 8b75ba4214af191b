"""The load monitor: every five seconds a sample, a look at the lock, and a decision for each loaded model.

Belongs to the loop. The rules are `voiced.devices`'; here they meet the pool, the settings and the events.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from voiced.devices.hardware import GB, Hardware, read_hardware, tier_of, with_details
from voiced.devices.hardware import to_info as hardware_info
from voiced.devices.load import LoadMonitor, LoadSample
from voiced.devices.lock import (
    AUTO,
    DeviceLock,
    current_lock,
    lock_from_json,
    new_lock,
    process_start,
    resolve_device,
)
from voiced.devices.presets import Preset, Wanted, presets
from voiced.devices.rules import Placement, Policy, Rule
from voiced.devices.selector import Decision, IntelligentDeviceSelector, needs_gpu_reading
from voiced.devices.wall_clock import WallClock
from voiced.jobs.store import Store
from voiced.models.memory import Room
from voiced.models.spec import ModelSpec
from voiced.placing import placing_of
from voiced.workers.ground import Ground, Placing
from voiced.workers.pool import Pool
from voiced_ipc import messages as m
from voiced_ipc.errors import DeviceUnavailable

logger = logging.getLogger(__name__)

LOCK_SETTING = "device_lock"
_LAGS = 12
LEAK_S = 5.0
"""So long after its worker ended a GPU's memory is back."""
LEAK_BYTES = 64 << 20
LEAK_FRACTION = 0.05
GPU_RESERVE_FRACTION = 0.05
"""Of a GPU's memory stays free: what the driver and the desktop need in a moment."""
SHORT_FRACTION = 0.92
"""Use of the memory from which idle models give theirs back."""
CRITICAL_FRACTION = 0.96
"""Use of the memory from which those give it back too that somebody keeps for ever."""


class DeviceMonitor:
    """Knows the machine, its load, the lock and the last decisions.

    Args:
        pool: Whose models are decided on.
        store: Keeps the lock.
        publish: Tells the world.
        load: Takes the samples.
        hardware: The machine; None = this one, looked at when it is first asked for.
        clock: Tells when the time of day was set; None = this computer's.
    """

    def __init__(
        self,
        pool: Pool,
        store: Store,
        publish: Callable[..., None],
        load: LoadMonitor,
        hardware: Hardware | None = None,
        clock: WallClock | None = None,
    ) -> None:
        self._pool = pool
        self._clock = clock or WallClock()
        self._store = store
        self._publish = publish
        self._load = load
        self._selector = IntelligentDeviceSelector()
        self._lock = AUTO
        self._configured = "auto"
        self._is_strict = False
        self.wanted = Wanted()
        """What the settings say of how models run."""
        self._sample: LoadSample | None = None
        self._hardware = hardware
        self._hardware_info: m.HardwareInfo | None = None
        self._load_info: m.LoadInfo | None = None
        self._lags_s: deque[float] = deque(maxlen=_LAGS)
        self._task: asyncio.Task[None] | None = None
        self.on_tick: Callable[[], None] = lambda: None
        """Called after each sample."""
        self.problem = ""
        """What is wrong with the device asked for; empty = nothing."""

    # -- life -----------------------------------------------------------------------------------------

    def start(self, interval_s: float, kept_lock: str | None) -> None:
        """Begin to measure.

        Args:
            interval_s: Between samples.
            kept_lock: The lock as the settings kept it.
        """
        if kept_lock:
            self._lock, reason = lock_from_json(kept_lock)
            if reason:
                logger.warning("%s", reason)
            self._lock = self._lock.bounded(datetime.now(UTC))
        self._apply()
        self._task = asyncio.get_running_loop().create_task(self._run(interval_s), name="monitor")

    def configure(self, device: str, *, is_strict: bool) -> None:
        """Take the configured device; a lock that somebody set goes before it."""
        self._configured, self._is_strict = device, is_strict
        self._apply()

    async def stop(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.to_thread(self._load.close)

    async def _run(self, interval_s: float) -> None:
        due = time.monotonic()
        while True:
            self._lags_s.append(max(0.0, time.monotonic() - due))
            try:
                self._tick()
                self.on_tick()
            except Exception:  # the top of this task: one bad reading must not end all of them
                logger.exception("a sample of the load failed")
            now = time.monotonic()
            # What was slept through is not made up for: two samples at once would tell nothing new.
            due = due + interval_s if due + interval_s > now else now + interval_s
            await asyncio.sleep(due - now)

    def _tick(self) -> None:
        self._follow_clock()
        lock, ended = current_lock(self._lock, datetime.now(UTC), process_start)
        if ended:
            self._set(lock, ended)
        sample = self._take()
        for decision in self._selector.consider_all(sample, self._placements()):
            self._follow(decision)
        self._give_back(sample)
        self._load_info = sample.to_info()
        self._publish(m.LoadChanged, load=self._load_info)

    def _follow_clock(self) -> None:
        """A lock for two hours lasts two hours, though somebody sets the clock meanwhile."""
        jump_s = self._clock.jumped_s()
        if not jump_s:
            return
        logger.warning("the clock of the computer was set by %+.0f s", jump_s)
        shifted = self._lock.shifted(jump_s)
        if shifted != self._lock:
            self._store.keep(LOCK_SETTING, shifted.to_json()).add_done_callback(_log_failure)
            self._set(shifted, "the clock was set")

    def _take(self) -> LoadSample:
        children = self._pool.children()
        on_gpus: dict[str, list[int]] = {}
        for worker in self._pool.workers():
            if worker.pid and worker.device != "cpu":
                on_gpus.setdefault(worker.device, []).append(worker.pid)
        pids = [os.getpid(), *(child.pid for child in children if child.pid)]
        is_busy = any(worker.running for worker in self._pool.workers() if worker.device != "cpu")
        self._sample = self._load.sample(pids, on_gpus, is_gpu_busy=is_busy)
        self._learn(self._sample)
        return self._sample

    def _learn(self, sample: LoadSample) -> None:
        """Keep what only a GPU's driver tells: its memory chooses the tier, its capability the precision."""
        known = with_details(self.hardware, (gpu.to_info() for gpu in sample.gpus))
        if known != self._hardware:
            self._hardware, self._hardware_info = known, None

    def _placements(self) -> list[Placement]:
        """The loaded models; one that is being loaded or moved is left alone."""
        found = []
        for engine in self._pool.engines.values():
            main = engine.main
            if main is not None and main.is_announced and not engine.is_moving:
                placement = self._placement(engine.spec, main.device)
                found.append(placement._replace(since_s=main.spawned_at, is_idle=engine.is_idle))
        return found

    def _placement(self, spec: ModelSpec, device: str) -> Placement:
        def need(there: str) -> int:
            run = placing_of(spec, there, self.hardware, self.wanted).run
            return self._pool.sizes.estimate(spec, run.kind(spec))

        if not spec.has_gpu_path:
            return Placement(spec.model, device, has_gpu_path=False)
        gpu = next((gpu.device for gpu in self.hardware.gpus), "mps")
        return Placement(
            spec.model,
            device,
            needs_vram_bytes=need(gpu),
            needs_memory_bytes=need("cpu"),
            min_vram_gb=spec.min_vram_gb,
        )

    def _follow(self, decision: Decision) -> None:
        """Do what was decided."""
        if decision.should_unload:
            self._pool.unload(decision.model, decision.reason)
        elif decision.should_switch and decision.rule in (Rule.LOCKED, Rule.GPU_LOST):
            self._pool.move_now(decision.model, decision.device, decision.reason)
        elif decision.should_switch:
            self._pool.move(decision.model, decision.device, decision.reason)

    def _give_back(self, sample: LoadSample) -> None:
        """Where the machine is short of memory, idle models give theirs back."""
        if sample.memory_fraction < SHORT_FRACTION:
            return
        is_critical = sample.memory_fraction >= CRITICAL_FRACTION
        reason = f"the machine is short of memory ({sample.memory_fraction * 100:.0f} % in use)"
        for model in self._pool.unload_idle("cpu", reason, with_pinned=is_critical):
            logger.warning("%s was unloaded: %s", model, reason)

    # -- asked by the pool ----------------------------------------------------------------------------

    def ground(self) -> Ground:
        """Return what the pool is told about the machine."""
        return Ground(self.place, self.room)

    async def place(self, spec: ModelSpec, asked: str) -> Placing:
        """Return where and how a model is to be loaded.

        Args:
            spec: It.
            asked: The device that a request wants; empty = as decided.

        Raises:
            DeviceUnavailable: If that is not there, and strict mode forbids another.
        """
        if not spec.has_gpu_path:
            return placing_of(spec, "cpu", self.hardware, self.wanted)
        device, note = self.resolve(asked or "auto")
        if device in ("auto", "cuda"):  # any: the rules choose
            device = await self._decided(spec)
        placing = placing_of(spec, device, self.hardware, self.wanted)
        return placing._replace(notes=(note, *placing.notes)) if note else placing

    async def _decided(self, spec: ModelSpec) -> str:
        placement = self._placement(spec, "")
        sample = self._sample or self._take()
        if needs_gpu_reading(sample, placement, self._selector.policy):
            await asyncio.to_thread(lambda: self._load.refresh_gpus(wake=True))
            sample = self._take()
        return self._selector.consider(sample, placement).device

    def resolve(self, asked: str) -> tuple[str, str]:
        """Return the device that a request gets, and a note where it is another than it asked for.

        Args:
            asked: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

        Raises:
            InvalidRequest: If it is no device.
            DeviceUnavailable: If it is not there, and strict mode forbids another.
        """
        device, note = resolve_device(asked, self.hardware, self._is_strict)
        if self._lock.is_set and device not in ("auto", self._lock.device):
            lock, _ = resolve_device(self._lock.device, self.hardware, False)
            return lock, f"{asked} was asked for, and somebody locked the device to {self._lock.device}"
        return device, note

    def room(self, device: str) -> Room:
        """Return the memory of a device now; of a GPU as last read."""
        if device in ("cpu", "mps"):
            import psutil

            memory = psutil.virtual_memory()
            return Room(memory.available, memory.total, int(self.preset.memory_margin_gb * GB))
        gpu = self._sample.gpu(device) if self._sample else None
        if gpu is None or gpu.memory_total_bytes is None or gpu.free_memory_bytes is None:
            return Room()
        reserve = int(GPU_RESERVE_FRACTION * gpu.memory_total_bytes)
        return Room(gpu.free_memory_bytes, gpu.memory_total_bytes, reserve)

    async def watch_for_leak(self, model: str, device: str, held_bytes: int) -> None:
        """Look, some seconds after a worker on a GPU ended, whether its memory came back, and tell where it did not.

        Args:
            model: The worker's.
            device: Where it was.
            held_bytes: What it held there.
        """
        before = self._sample.gpu(device) if self._sample else None
        if device == "cpu" or not held_bytes or before is None or before.memory_used_bytes is None:
            return  # the end of a process gives the machine's own memory back, always
        await asyncio.sleep(LEAK_S)
        report = await asyncio.to_thread(self._load.refresh_gpus)
        after = next((gpu for gpu in report.gpus if gpu.device == device), None)
        if after is None or after.memory_used_bytes is None:
            return
        missing = held_bytes - (before.memory_used_bytes - after.memory_used_bytes)
        if missing > max(LEAK_BYTES, LEAK_FRACTION * held_bytes):
            logger.error("%s left %d MiB on %s behind", model, missing >> 20, device)
            self._publish(m.LeakSuspected, model=model, device=device, missing_bytes=missing)

    def usual_device(self, model: str) -> str:
        """Return where the next segment of a model would run, as far as it is known."""
        engine = self._pool.engines.get(model)
        main = engine.main if engine else None
        if main is not None:
            return main.device
        policy = self._selector.policy
        return "cpu" if policy.lock in ("auto", "cpu") else policy.lock

    # -- the lock -------------------------------------------------------------------------------------

    async def lock(self, request: m.SetDeviceLock) -> str:
        """Set the lock, keep it, and say what holds now.

        Raises:
            InvalidRequest, DeviceUnavailable: If it cannot be.
        """
        self._follow_clock()
        lock = new_lock(
            request.device,
            for_s=request.for_s,
            until_pid=request.until_pid,
            now=datetime.now(UTC),
            start_of=process_start,
        )
        _, note = resolve_device(lock.device, self.hardware, self._is_strict)
        await self._store.keep(LOCK_SETTING, lock.to_json())
        self._set(lock, "somebody set it")
        self._obey()
        if lock.is_set:
            return note or f"locked to {lock.device}"
        return note or f"the device is {self._configured}"

    def _obey(self) -> None:
        """A lock that a person set acts at once, not with the next sample."""
        if self._sample is not None and self._selector.policy.lock != "auto":
            for decision in self._selector.consider_all(self._sample, self._placements()):
                self._follow(decision)

    def _set(self, lock: DeviceLock, reason: str) -> None:
        self._lock = lock
        self._apply()
        self._publish(m.DeviceLockChanged, lock=lock.to_info(), reason=reason)

    def _apply(self) -> None:
        """Put what holds into the selector's policy."""
        wanted = self._lock.device if self._lock.is_set else self._configured
        try:
            device, self.problem = resolve_device(wanted, self.hardware, self._is_strict)
        except DeviceUnavailable as error:
            device, self.problem = "cpu", error.message
        self._selector.set_policy(Policy(lock=device, is_unified_memory=self.hardware.is_apple_silicon))

    # -- what is known --------------------------------------------------------------------------------

    @property
    def hardware(self) -> Hardware:
        """The machine; looked at once."""
        if self._hardware is None:
            self._hardware = read_hardware()
        return self._hardware

    @property
    def tier(self) -> str:
        """The tier of the machine."""
        return tier_of(self.hardware)

    @property
    def preset(self) -> Preset:
        """What the tier of the machine is set to."""
        return presets()[self.tier]

    @property
    def max_text_chars(self) -> int:
        """Characters that `truncate` keeps on this machine."""
        return self.preset.max_segment_chars

    def hardware_info(self) -> m.HardwareInfo:
        """Return the machine as the protocol tells it."""
        if self._hardware_info is None:
            self._hardware_info = hardware_info(self.hardware)
        return self._hardware_info

    def lock_info(self) -> m.LockInfo:
        """Return the lock in force; a configured device is one."""
        return self._lock.to_info() if self._lock.is_set else m.LockInfo(device=self._configured)

    def load_info(self) -> m.LoadInfo | None:
        """Return the last sample."""
        return self._load_info

    def decisions(self, limit: int) -> list[m.DecisionInfo]:
        """Return the last decisions, newest first."""
        return self._selector.decisions(limit)

    @property
    def loop_lag_ms(self) -> float:
        """Worst lateness of the last samples: how long something held up the loop."""
        return max(self._lags_s, default=0.0) * 1000


def _log_failure(kept: "asyncio.Future[None]") -> None:
    if not kept.cancelled() and (error := kept.exception()) is not None:
        logger.error("the device lock could not be kept: %s", error)
