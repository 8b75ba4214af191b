"""What may hang, read by one thread of its own: GPUs and heat.

A driver or a sensor can hang in any call. The loop never waits for one: it asks, and takes the last answer. While a
question is open no second one is asked, and once it is late everything that hangs on it counts as unknown.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from voiced.devices.gpu import GpuLoad, GpuReport, GpuState, Workers
from voiced.devices.hardware import HardwareProbe, local_probe
from voiced.devices.nvml import GpuWatch, NvmlReader
from voiced.devices.power import Heat, Temperature, apple_gpu_fraction, is_throttled, read_heat

logger = logging.getLogger(__name__)

HANG_S = 15.0
"""Three samples at the usual 5 s: an answer this late means that the driver hangs."""
HEAT_INTERVAL_S = 30.0
"""Some machines' sensors take 100 ms and more to read."""


class _Question(NamedTuple):
    workers: Workers
    is_busy: bool
    wake: bool


class _Answer(NamedTuple):
    report: GpuReport
    is_throttled: bool


class SlowReadings:
    """What may hang, read by a thread of its own: GPUs and heat.

    Args:
        read_gpus: Gives the GPUs; called in the thread.
        read_heat: Gives the heat; called in the thread, rarely.
        close: Called in the thread at its end.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        read_gpus: Callable[[Workers, bool, bool], GpuReport],
        read_heat: Callable[[], Heat],
        close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_gpus = read_gpus
        self._read_heat = read_heat
        self._close = close
        self._clock = clock
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._question: _Question | None = None
        self._asked_s: float | None = None
        self._answer = _Answer(GpuReport((), "not read yet", is_read=False), False)
        self._is_closing = False
        self._heat: Heat | None = None
        self._heat_s: float | None = None
        self._was_throttled = False

    def ask(self, workers: Workers, *, is_busy: bool, wake: bool = False) -> bool:
        """Have everything read; False where the last question is still open, and nothing was asked.

        After `close` nothing is read any more.
        """
        with self._condition:
            if self._asked_s is not None:
                return False
            if self._is_closing:
                return True
            self._question = _Question({key: tuple(pids) for key, pids in workers.items()}, is_busy, wake)
            self._asked_s = self._clock()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="voiced-gpus", daemon=True)
                self._thread.start()
            self._condition.notify_all()
            return True

    def latest(self) -> tuple[GpuReport, bool]:
        """Return the last answer and whether heat slows the machine; GPUs are unknown while a question hangs."""
        with self._condition:
            report, throttled = self._answer
            late_s = 0.0 if self._asked_s is None else self._clock() - self._asked_s
        if late_s <= HANG_S:
            return report, throttled
        status = f"the GPU driver has not answered for {late_s:.0f} s: see `dmesg`, a restart of the computer helps"
        return report.forgotten(status), throttled

    def wait(self, timeout_s: float) -> bool:
        """Wait until no question is open; False after `timeout_s`."""
        with self._condition:
            return self._condition.wait_for(lambda: self._asked_s is None, timeout_s)

    def close(self, timeout_s: float = 2.0) -> bool:
        """End the thread; False where it hangs in the driver and was left behind."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._question is not None or self._is_closing)
                question, self._question = self._question, None
            if question is None:
                break
            answer = self._read(question)
            with self._condition:
                self._answer = answer
                self._asked_s = None
                self._condition.notify_all()
        self._close()

    def _read(self, question: _Question) -> _Answer:
        try:
            report = self._read_gpus(question.workers, question.is_busy, question.wake)
            throttled = self._throttled() or any(gpu.is_throttled for gpu in report.gpus)
        except Exception as error:  # the top of the thread: it must live as long as the daemon
            logger.exception("the GPUs could not be read")
            status = f"the GPUs could not be read ({error}): see the log"
            return _Answer(self._answer.report.forgotten(status), False)
        return _Answer(report, throttled)

    def _throttled(self) -> bool:
        now = self._clock()
        if self._heat_s is None or now - self._heat_s >= HEAT_INTERVAL_S:
            heat = self._read_heat()
            self._was_throttled = is_throttled(self._heat, heat)
            self._heat, self._heat_s = heat, now
        return self._was_throttled


def local_readings(*, keep_gpu_asleep: bool = True, probe: HardwareProbe | None = None) -> SlowReadings:
    """Return the readings of this machine's GPUs and heat.

    Args:
        keep_gpu_asleep: Whether a sleeping GPU is left alone.
        probe: Where to look; None = this machine.
    """
    found = probe or local_probe()

    def heat() -> Heat:
        return read_heat(found.system, found.root, _temperatures, found.run)

    if found.system == "Darwin":
        return SlowReadings(lambda workers, is_busy, wake: _apple_report(found, workers, is_busy), heat)
    watch = GpuWatch(found.root, found.environ, NvmlReader(), keep_asleep=keep_gpu_asleep)
    return SlowReadings(
        lambda workers, is_busy, wake: watch.read(workers, is_busy=is_busy, wake=wake), heat, watch.close
    )


def _apple_report(probe: HardwareProbe, workers: Workers, is_busy: bool) -> GpuReport:
    used = apple_gpu_fraction(probe.run(("ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")))
    gpu = GpuLoad(
        device="mps",
        number=0,
        name="Apple GPU",
        state=GpuState.UNKNOWN if used is None else GpuState.AWAKE,
        utilisation_fraction=used,
        # macOS does not tell processes apart, so only what is seen while we rest counts as load.
        own_utilisation_fraction=None if workers.get("mps") and is_busy else 0.0,
        memory_used_bytes=None,
    )
    return GpuReport((gpu,), "no NVIDIA GPU on macOS")


def _temperatures() -> list[Temperature]:
    import psutil

    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError, ValueError):
        return []  # a system without sensors, or a sensor that answers nonsense
    return [
        Temperature(name, float(one.current), None if one.critical is None else float(one.critical))
        for name, found in sensors.items()
        for one in found
    ]
