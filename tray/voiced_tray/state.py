"""What the tray knows, as one frozen value, and the pure reducer that keeps it true.

`GetStatus` is the truth; events carry it forward in between. The poller makes the inputs, the app applies them on
the main thread, `words` and `menu` turn the state into what is seen.
"""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from voiced_ipc import messages as m


class Link(Enum):
    """How the tray stands to the daemon."""

    LOOKING = "looking"
    """Nothing was asked yet."""
    ONLINE = "online"
    OFFLINE = "offline"
    """Nothing listens."""
    SILENT = "silent"
    """Something listens, but does not answer, or not in our language."""


class IconState(Enum):
    """What the icon shows."""

    IDLE = "idle"
    """Nothing is loaded and no device is locked."""
    CPU = "cpu"
    CUDA = "cuda"
    """A GPU: CUDA or Apple's."""
    BUSY = "busy"
    PAUSED = "paused"
    ERROR = "error"
    OFFLINE = "offline"


class DeviceChoice(NamedTuple):
    """A device that this machine has."""

    device: str
    """What `SetDeviceLock` calls it."""
    name: str
    """What the maker calls it; empty where nobody told."""


class Notice(NamedTuple):
    """Something that a person should hear of once."""

    title: str
    message: str


_NO_LOCK = m.LockInfo(device="auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrayState:
    """Everything that icon, title and menu are made of."""

    own_pid: int = 0
    """The tray's process: a lock that ends with it ends at log-out."""
    has_mps: bool = False
    """Whether this machine has Apple's GPU."""
    clipboard_hint: str = ""
    """Why the clipboard cannot be read; empty = it can."""
    link: Link = Link.LOOKING
    detail: str = ""
    """Why the daemon cannot be reached."""
    version: str = ""
    installed: str = ""
    """Version of the installed package; empty = not known."""
    health: m.Health = m.Health.OK
    device: str = ""
    """Where the next segment would run."""
    switch: str = ""
    """The last switch of device and its reason."""
    is_paused: bool = False
    lock: m.LockInfo = _NO_LOCK
    devices: tuple[DeviceChoice, ...] = ()
    """The devices beside the CPU."""
    load: m.LoadInfo | None = None
    models: tuple[m.ModelInfo, ...] = ()
    jobs: tuple[m.JobInfo, ...] = ()
    """Unfinished jobs, as many as the daemon tells."""
    waiting: int = 0
    """Jobs that wait, also those that are not told one by one."""
    running: int = 0
    drop_folder: str = ""
    audio_folder: str = ""
    failed_folder: str = ""
    problems: tuple[str, ...] = ()
    trouble: str = ""
    """What went wrong with the last thing that a person asked for."""
    failed_job: m.JobInfo | None = None
    """The last file job that stopped with an error and can be tried again."""
    files_done: int = 0
    """Files finished since the last notice about them."""
    is_reading: bool = False
    """The clipboard is being read aloud."""

    @property
    def current_job(self) -> m.JobInfo | None:
        """The job that is being spoken, else the first that waits; None while there is none."""
        at_work = (job for job in self.jobs if job.state in _AT_WORK)
        return next(at_work, self.jobs[0] if self.jobs else None)

    @property
    def is_outdated(self) -> bool:
        """Whether the daemon is another version than the one installed."""
        return self.link is Link.ONLINE and bool(self.installed) and self.version != self.installed


_AT_WORK = (m.JobState.RUNNING, m.JobState.FINISHING)


class StatusSeen(NamedTuple):
    """The daemon told the whole truth."""

    status: m.Status
    installed: str


class LinkLost(NamedTuple):
    """The daemon cannot be talked to."""

    link: Link
    detail: str


class RequestDone(NamedTuple):
    """The daemon did what was asked."""


class RequestFailed(NamedTuple):
    """Something that a person asked for was not done."""

    message: str


class ReadingChanged(NamedTuple):
    """Reading the clipboard aloud began or ended."""

    is_reading: bool


Input = StatusSeen | LinkLost | RequestDone | RequestFailed | ReadingChanged | m.Event


class Step(NamedTuple):
    """The state after an input, and what a person should hear of."""

    state: TrayState
    notices: tuple[Notice, ...] = ()


def reduce(state: TrayState, found: Input) -> Step:
    """Return the state after `found`. Pure."""
    match found:
        case StatusSeen():
            return Step(_with_status(state, found))
        case LinkLost(link, detail):
            return _lost(state, link, detail)
        case RequestDone():
            return Step(replace(state, trouble=""))
        case RequestFailed(message):
            return Step(replace(state, trouble=message), (Notice("voiced could not do that", message),))
        case ReadingChanged(is_reading):
            return Step(replace(state, is_reading=is_reading))
        case m.JobEvent():
            return _with_job(state, found)
        case m.FileRefused(path=path, message=message):
            return Step(state, (Notice(f"Not spoken: {Path(path).name}", message),))
        case _:
            return Step(_with_event(state, found))


def icon_state(state: TrayState) -> IconState:
    """Return what the icon shows: the first that is true, trouble first."""
    if state.link in (Link.LOOKING, Link.OFFLINE):
        return IconState.OFFLINE
    if (
        state.link is Link.SILENT
        or state.health is m.Health.DEGRADED
        or any(model.state is m.ModelState.BROKEN for model in state.models)
    ):
        return IconState.ERROR
    if state.is_paused:
        return IconState.PAUSED
    if state.running:
        return IconState.BUSY
    if is_loaded(state) or state.lock.device != "auto":
        return IconState.CUDA if state.device.startswith(("cuda", "mps")) else IconState.CPU
    return IconState.IDLE


def is_loaded(state: TrayState) -> bool:
    """Return whether any model is in memory."""
    return any(model.state is m.ModelState.LOADED for model in state.models)


def _lost(state: TrayState, link: Link, detail: str) -> Step:
    gone = TrayState(
        own_pid=state.own_pid,
        has_mps=state.has_mps,
        clipboard_hint=state.clipboard_hint,
        link=link,
        detail=detail,
        installed=state.installed,
        audio_folder=state.audio_folder,
        drop_folder=state.drop_folder,
        failed_folder=state.failed_folder,
        trouble=state.trouble,
        is_reading=state.is_reading,
    )
    if link is Link.SILENT and state.link is not Link.SILENT:
        return Step(gone, (Notice("voiced does not answer", detail),))
    return Step(gone)


def _with_status(state: TrayState, found: StatusSeen) -> TrayState:
    status = found.status
    return replace(
        state,
        link=Link.ONLINE,
        detail="",
        version=status.version,
        installed=found.installed,
        health=status.status,
        device=status.device,
        is_paused=status.is_paused,
        lock=status.lock,
        devices=_devices(status, has_mps=state.has_mps),
        load=status.load,
        models=tuple(status.models),
        jobs=tuple(status.jobs),
        waiting=status.queued,
        running=status.running,
        drop_folder=status.drop_folder.path,
        audio_folder=status.audio_folder,
        failed_folder=status.failed_folder,
        problems=(*status.problems, *([status.drop_folder.detail] if status.drop_folder.detail else [])),
    )


def _devices(status: m.Status, *, has_mps: bool) -> tuple[DeviceChoice, ...]:
    found: list[DeviceChoice] = []
    gpus = status.load.gpus if status.load else []
    if has_mps:
        found.append(DeviceChoice("mps", status.system_info.gpu_name))
    elif len(gpus) > 1:
        found.append(DeviceChoice("cuda", ""))
        found += [DeviceChoice(f"cuda:{gpu.index}", gpu.name) for gpu in gpus]
    elif gpus or status.system_info.gpu_name:
        found.append(DeviceChoice("cuda", gpus[0].name if gpus else status.system_info.gpu_name))
    return tuple(found)


def _with_job(state: TrayState, event: m.JobEvent) -> Step:
    job = event.job
    if not job.state.is_final:
        failed = None if state.failed_job and state.failed_job.job_id == job.job_id else state.failed_job
        return Step(replace(_with_jobs(state, _put(state.jobs, job)), failed_job=failed))
    state = _with_jobs(state, tuple(other for other in state.jobs if other.job_id != job.job_id))
    match event:
        case m.JobFailed():
            state = replace(state, failed_job=job if job.output is m.Output.FILE else None)
            return Step(state, (Notice(f"Not finished: {job.name}", job.error),))
        case m.JobFinished() if job.output is m.Output.FILE:
            return _file_done(replace(state, files_done=state.files_done + 1), job)
    return Step(state)


def _put(jobs: tuple[m.JobInfo, ...], job: m.JobInfo) -> tuple[m.JobInfo, ...]:
    if any(other.job_id == job.job_id for other in jobs):
        return tuple(job if other.job_id == job.job_id else other for other in jobs)
    return (*jobs, job)


def _with_jobs(state: TrayState, jobs: tuple[m.JobInfo, ...]) -> TrayState:
    """The counts follow the jobs that are told; those beyond the daemon's page only wait."""
    untold = max(0, state.waiting + state.running - len(state.jobs))
    running = sum(job.state in _AT_WORK for job in jobs)
    return replace(state, jobs=jobs, running=running, waiting=len(jobs) - running + untold)


def _file_done(state: TrayState, job: m.JobInfo) -> Step:
    """One notice for all files of a batch, when the last of them is ready."""
    if state.waiting or any(other.output is m.Output.FILE for other in state.jobs):
        return Step(state)
    message = job.path or job.name if state.files_done == 1 else f"{state.files_done} files are ready"
    return Step(replace(state, files_done=0), (Notice("Audio is ready", message),))


def _with_event(state: TrayState, event: m.Event) -> TrayState:
    match event:
        case m.ModelLoaded(model=model, device=device):
            return _with_model(state, model, m.ModelState.LOADED, device)
        case m.ModelUnloaded(model=model):
            return _with_model(state, model, m.ModelState.AVAILABLE, "")
        case m.DeviceSwitched(model=model, old=old, new=new, reason=reason):
            state = _with_model(state, model, m.ModelState.LOADED, new)
            return replace(state, device=new, switch=f"{old} to {new}: {reason}")
        case m.DeviceLockChanged(lock=lock):
            return replace(state, lock=lock)
        case m.PauseChanged(is_paused=is_paused):
            return replace(state, is_paused=is_paused)
        case m.LoadChanged(load=load):
            return replace(state, load=load)
        case m.Stopping():
            return replace(state, health=m.Health.STOPPING)
    return state


def _with_model(state: TrayState, model: str, now: m.ModelState, device: str) -> TrayState:
    return replace(
        state,
        models=tuple(
            structs.replace(other, state=now, device=device) if other.model == model else other
            for other in state.models
        ),
    )
