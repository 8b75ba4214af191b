"""A book of ten hours: the greatest memory of the daemon and of its scribe."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.figures import Row, absolute
from tests.bench.session import Session
from tests.bench.texts import TEN_HOURS_BYTES, prose
from tests.support import DaemonProcess, running_daemon, temporary_home
from voiced_ipc.messages import JobState

LIMIT_MB = 200.0
_TIMEOUT_S = 600.0


def measure(session: Session) -> Iterator[Row]:
    """Return the row of the long book; nothing in a quick run."""
    if session.is_quick:
        return
    with temporary_home() as home, running_daemon(home) as daemon:
        with daemon.client() as client:
            job = client.submit_text(prose(TEN_HOURS_BYTES), name="long.txt", language="en")
        done = daemon.wait_job(job.job_id, timeout_s=_TIMEOUT_S)
        if done.state is not JobState.DONE:
            raise ValueError(f"the book ended as {done.state.value}: {done.error}")
        own, scribe, speaker = _peaks_mb(daemon)
    yield absolute(
        f"book of {done.audio_s / 3600:.1f} hours: peak RSS of daemon and scribe",
        [own + scribe],
        "MB",
        LIMIT_MB,
        f"daemon {own:.1f}, scribe {scribe:.1f}, espeak worker {speaker:.1f} MB; {done.elapsed_s:.1f} s of work",
    )


def _peaks_mb(daemon: DaemonProcess) -> tuple[float, float, float]:
    """Return the greatest RSS that daemon, scribe and espeak worker ever had."""
    peaks = {"scribe": 0.0, "espeak": 0.0}
    for pid in daemon.children():
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            command = " ".join(psutil.Process(pid).cmdline())
            kind = "scribe" if "child.scribe" in command else "espeak"
            peaks[kind] = max(peaks[kind], _peak_mb(pid))
    return _peak_mb(daemon.pid), peaks["scribe"], peaks["espeak"]


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
