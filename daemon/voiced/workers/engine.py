"""One model in the pool: its workers, what they told, and how often they died."""

import time
from collections import deque
from typing import Any

from voiced.models.spec import ModelSpec
from voiced.workers.link import Fields
from voiced.workers.process import WorkerProcess, WorkerState
from voiced_ipc.errors import EngineLoadFailed, ModelDamaged, VoicedError

BROKEN_DEATHS = 5
BROKEN_WINDOW_S = 60.0
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 300.0


class Engine:
    """A model and its workers. Belongs to the loop."""

    def __init__(self, spec: ModelSpec, install: str = "") -> None:
        self.spec = spec
        self.install = install
        """Which install of its files this is about."""
        self.workers: list[WorkerProcess] = []
        self.ready: Fields = {}
        """What its last worker told when it was ready: what the model can do."""
        self.has_loaded = False
        """Whether a worker of it was ever ready, perhaps before this daemon, so that its voices are known."""
        self.deaths: deque[float] = deque(maxlen=BROKEN_DEATHS)
        self.failures = 0
        """Failed starts and broken spells in a row: the backoff grows with them."""
        self.broken_until = 0.0
        self.broken_reason = ""
        self._refusal: VoicedError | None = None
        """Why it was not even tried, where that is what is wrong."""
        self.keep_alive_s: float | None = None
        """As the last request asked; None = as configured."""
        self.notes: tuple[str, ...] = ()
        """What differs from what was asked for, where it runs."""
        self.waits_for = ""
        """Why a load does not go on yet."""
        self.memory_faults = 0
        """How often in a row it ran out of memory: see `pool.relieve`."""
        self.max_chars = 0
        """Greatest piece that is spoken at once; 0 = whole segments."""
        self.cpu_until = 0.0
        """It does not go back to a GPU before, for want of memory there (monotonic)."""
        self.is_moving = False
        """A worker on another device is about to take over."""

    @property
    def voices(self) -> list[dict[str, Any]]:
        """The model's own voices, as its worker listed them."""
        voices = self.ready.get("voices", [])
        return voices if isinstance(voices, list) else []

    @property
    def sample_rate_hz(self) -> int:
        """Of its audio: as its last worker told, else as the catalogue has it."""
        told = self.ready.get("sample_rate_hz", 0)
        return told if isinstance(told, int) and told else self.spec.sample_rate_hz

    @property
    def main(self) -> WorkerProcess | None:
        """The worker of its usual place, one that is ready before others."""
        mains = [worker for worker in self.workers if not worker.is_aside and not worker.is_retiring]
        ready = [worker for worker in mains if worker.state is WorkerState.READY]
        return next(iter(ready or mains), None)

    def place_for(self, device: str) -> str:
        """Return the device that a request for one is about: a model without a GPU path has its usual place alone."""
        return device if self.spec.has_gpu_path else ""

    def is_served_by(self, worker: WorkerProcess, device: str) -> bool:
        """Return whether one of its workers is there for a request that wants a device."""
        return worker.serves(self.place_for(device))

    @property
    def is_idle(self) -> bool:
        """Whether no task runs on it."""
        return not any(worker.running for worker in self.workers)

    @property
    def idle_since_s(self) -> float:
        """When its last task ended (monotonic)."""
        return max((worker.idle_since for worker in self.workers), default=0.0)

    def keep_s(self, configured_s: float) -> float:
        """Return how long it stays idle; negative = for ever."""
        return configured_s if self.keep_alive_s is None else self.keep_alive_s

    def size_bytes(self, device: str) -> int:
        """Return what its workers take on a device, as far as they told."""
        return sum(worker.size_bytes for worker in self.workers if worker.device == device)

    @property
    def broken_s(self) -> float:
        """For how many more seconds it is not tried again; not above 0 = it may be."""
        return self.broken_until - time.monotonic()

    def count_death(self, worker: WorkerProcess) -> float:
        """Count a worker that ended by itself; return for how long the model is broken, 0 = it is not.

        Args:
            worker: It.
        """
        now = time.monotonic()
        self.deaths.append(now)
        often = len(self.deaths) == BROKEN_DEATHS and now - self.deaths[0] < BROKEN_WINDOW_S
        if not (often or worker.refusal is not None or not worker.is_announced):
            return 0.0
        self._refusal = None if worker.pid else worker.refusal
        if self._refusal is not None and not isinstance(self._refusal, ModelDamaged):
            # What is missing costs nothing to look for, and may be installed at any moment; hashing does cost.
            backoff_s = BACKOFF_FIRST_S
        else:
            backoff_s = min(BACKOFF_FIRST_S * 2**self.failures, BACKOFF_LAST_S)
            self.failures += 1
        self.broken_until = now + backoff_s
        self.broken_reason = worker.end_reason
        self.deaths.clear()
        return backoff_s

    def fault(self) -> VoicedError:
        """Return why no worker of it is started while it is broken."""
        if self._refusal is not None:  # says what to do: the time does not mend it
            return type(self._refusal)(self._refusal.message)
        return EngineLoadFailed(
            f"{self.spec.model} is broken ({self.broken_reason}); it is tried again in {self.broken_s:.0f} s"
        )

    def forgive(self) -> None:
        """Forget old faults once it has worked for a while: the next one begins anew."""
        now = time.monotonic()
        if any(now - worker.spawned_at > BROKEN_WINDOW_S for worker in self.workers):
            self.failures = 0
