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

from voiced.devices.hardware import Hardware, read_hardware, tier_of
from voiced.devices.hardware import to_info as hardware_info
from voiced.devices.load import LoadMonitor
from voiced.devices.lock import (
    AUTO,
    DeviceLock,
    current_lock,
    lock_from_json,
    new_lock,
    process_start,
    resolve_device,
)
from voiced.devices.presets import presets
from voiced.devices.rules import Placement, Policy
from voiced.devices.selector import IntelligentDeviceSelector
from voiced.jobs.store import Store
from voiced.workers.pool import Pool
from voiced_ipc import messages as m
from voiced_ipc.errors import DeviceUnavailable

logger = logging.getLogger(__name__)

LOCK_SETTING = "device_lock"
_LAGS = 12


class DeviceMonitor:
    """Knows the machine, its load, the lock and the last decisions.

    Args:
        pool: Whose models are decided on.
        store: Keeps the lock.
        publish: Tells the world.
        keep_gpu_asleep: Whether a sleeping GPU is left alone.
    """

    def __init__(
        self, pool: Pool, store: Store, publish: Callable[..., None], *, keep_gpu_asleep: bool
    ) -> None:
        self._pool = pool
        self._store = store
        self._publish = publish
        self._load = LoadMonitor(keep_gpu_asleep=keep_gpu_asleep)
        self._selector = IntelligentDeviceSelector()
        self._lock = AUTO
        self._configured = "auto"
        self._is_strict = False
        self._hardware: Hardware | None = None
        self._hardware_info: m.HardwareInfo | None = None
        self._load_info: m.LoadInfo | None = None
        self._lags_s: deque[float] = deque(maxlen=_LAGS)
        self._task: asyncio.Task[None] | None = None
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
            except Exception:  # the top of this task: one bad reading must not end all of them
                logger.exception("a sample of the load failed")
            due = max(due + interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _tick(self) -> None:
        lock, ended = current_lock(self._lock, datetime.now(UTC), process_start)
        if ended:
            self._set(lock, ended)
        children = self._pool.children()
        sample = self._load.sample([os.getpid(), *(child.pid for child in children if child.pid)])
        self._selector.consider_all(sample, self._placements())
        self._load_info = sample.to_info()
        self._publish(m.LoadChanged, load=self._load_info)

    def _placements(self) -> list[Placement]:
        return [
            Placement(
                model=model,
                device="cpu",
                has_gpu_path=engine.spec.has_gpu_path,
                is_idle=not any(worker.running for worker in engine.workers),
            )
            for model, engine in self._pool.engines.items()
            if engine.workers
        ]

    # -- the lock -------------------------------------------------------------------------------------

    async def lock(self, request: m.SetDeviceLock) -> str:
        """Set the lock, keep it, and say what holds now.

        Raises:
            InvalidRequest, DeviceUnavailable: If it cannot be.
        """
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
        if lock.is_set:
            return note or f"locked to {lock.device}"
        return note or f"the device is {self._configured}"

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
    def max_text_chars(self) -> int:
        """Characters that `truncate` keeps on this machine."""
        return presets()[self.tier].max_segment_chars

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
