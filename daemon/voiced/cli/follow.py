"""Jobs followed to their end, with a progress bar on a terminal."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from voiced.cli.text import printable
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import DaemonUnavailable, RequestTimeout

if TYPE_CHECKING:
    from rich.progress import Progress

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.25
"""Between two looks at the jobs: short ones end within a blink, long ones must not cost the daemon anything."""
_PATIENCE_S = 60.0
"""How long a daemon may be away: it restarts and goes on with the jobs."""


class Display(Protocol):
    """Shows how far the jobs are."""

    def update(self, job: m.JobInfo) -> None:
        """Show a job as it is now."""


def follow(
    client: Client, jobs: Mapping[str, str], finished: Callable[[m.JobInfo], None] | None = None
) -> list[m.JobInfo]:
    """Return the jobs as they ended, in their order.

    Args:
        client: Of the daemon that has them.
        jobs: Job id to the name shown.
        finished: Called with each as it ends.

    Raises:
        DaemonUnavailable, RequestTimeout: If the daemon stays away for a minute.
    """
    ended: dict[str, m.JobInfo] = {}
    wait_s = _FIRST_LOOK_S
    with _display(jobs) as display:
        while len(ended) < len(jobs):
            time.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_LOOK_S)
            for job_id in jobs:
                if job_id in ended:
                    continue
                job = _look(client, job_id)
                display.update(job)
                if job.state.is_final:
                    ended[job_id] = job
                    if finished is not None:
                        finished(job)
    return [ended[job_id] for job_id in jobs]


def _look(client: Client, job_id: str) -> m.JobInfo:
    end = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return client.job(job_id)
        except (DaemonUnavailable, RequestTimeout):
            if time.monotonic() >= end:
                raise
            time.sleep(_LONGEST_LOOK_S)


@contextlib.contextmanager
def _display(jobs: Mapping[str, str]) -> Iterator[Display]:
    if not sys.stderr.isatty():
        yield _Nothing()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    # Results go to standard output above the bars: the console must not swallow what we print.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as progress:
        yield _Bars(progress, jobs)


class _Nothing:
    def update(self, job: m.JobInfo) -> None:
        """Nobody looks."""


class _Bars:
    def __init__(self, progress: "Progress", jobs: Mapping[str, str]) -> None:
        self._progress = progress
        self._tasks = {
            job_id: progress.add_task(printable(name)[:40], total=None, note="")
            for job_id, name in jobs.items()
        }

    def update(self, job: m.JobInfo) -> None:
        """Move the job's bar."""
        self._progress.update(
            self._tasks[job.job_id],
            total=job.segments or None,
            completed=job.segments_done,
            note=job.state.value,
            visible=not job.state.is_final,
        )
