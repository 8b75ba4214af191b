"""The tray's wording: states as sentences. Pure; colour and shape of the icon are never the only sign."""

from datetime import datetime
from pathlib import Path

from voiced_ipc import messages as m
from voiced_tray.state import Link, TrayState, is_loaded

MAX_NAME_CHARS = 40
"""Longer names are cut in the middle, so that the ending stays readable."""


def status_line(state: TrayState, now: datetime) -> str:
    """Return the one line that says how things stand.

    Args:
        state: What is known.
        now: The moment, in the zone that times are shown in.
    """
    match state.link:
        case Link.LOOKING:
            return "Looking for the daemon"
        case Link.OFFLINE:
            return "The daemon is not running"
        case Link.SILENT:
            return "The daemon does not answer"
    return _activity(state) + _lock_suffix(state, now)


def title(state: TrayState, now: datetime) -> str:
    """Return the tooltip: the status line and, while the daemon runs, the load in steps of 5 %."""
    load = f" ({load_text(state.load)})" if state.link is Link.ONLINE and state.load else ""
    return f"voiced: {status_line(state, now)}{load}"


def _activity(state: TrayState) -> str:
    waiting = f", {state.waiting} waiting" if state.waiting else ""
    if state.health is m.Health.STOPPING:
        return "The daemon is stopping"
    if state.is_paused:
        return f"Paused{waiting}"
    place = f" on {device_name(state.device)}" if state.device else ""
    if state.running:
        jobs = f"{state.running} jobs" if state.running > 1 else "speaking"
        return f"Busy: {jobs}{place}{waiting}"
    word = "Degraded" if state.health is m.Health.DEGRADED else "Ready"
    loaded = "" if is_loaded(state) else ", no model loaded"
    return f"{word}{place}{loaded}{waiting}"


def _lock_suffix(state: TrayState, now: datetime) -> str:
    if state.lock.device == "auto":
        return ""
    return f", locked to {device_name(state.lock.device)}{lock_end(state, now)}"


def lock_end(state: TrayState, now: datetime) -> str:
    """Return when the lock ends, with a space before it; empty where it holds until it is set again."""
    lock = state.lock
    if lock.until:
        return f" until {clock_text(lock.until, now)}"
    if lock.pid is not None and lock.pid == state.own_pid:
        return " until log-out"
    if lock.pid is not None:
        return f" until process {lock.pid} ends"
    return ""


def clock_text(stamp: str, now: datetime) -> str:
    """Return an ISO stamp as a time of the day in the zone of `now`, with the day where it is another."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    moment = moment.astimezone(now.tzinfo)
    return moment.strftime("%H:%M" if moment.date() == now.date() else "%a %d %b %H:%M")


def device_name(device: str) -> str:
    """Return what people call a device."""
    base, _, index = device.partition(":")
    names = {"auto": "automatic", "cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}
    return f"{names.get(base, base)} {index}".rstrip()


def job_line(job: m.JobInfo) -> str:
    """Return a job with its progress: in steps of 10 %, because every change draws the menu anew."""
    name = short(job.name)
    if job.state in (m.JobState.QUEUED, m.JobState.PAUSED):
        return f"{name}: {job.state.value}"
    if job.state is m.JobState.FINISHING:
        return f"{name}: writing the file"
    done = 10 * (10 * job.segments_done // job.segments) if job.segments else 0
    left = f", {time_left(job.eta_s)}" if job.eta_s is not None else ""
    return f"{name}: {done} %{left}"


def time_left(seconds: float) -> str:
    """Return a coarse time to go, so that it seldom changes."""
    if seconds < 60:
        return "less than a minute left"
    if seconds < 3600:
        minutes = round(seconds / 60)
        return f"about {minutes} min left"
    return f"about {round(seconds / 3600)} h left"


def load_text(load: m.LoadInfo) -> str:
    """Return the load of the machine in steps of 5 %."""
    parts = [f"CPU {_percent(load.cpu_fraction)}", f"memory {_percent(load.memory_fraction)}"]
    for gpu in load.gpus:
        name = f"GPU {gpu.index}" if len(load.gpus) > 1 else "GPU"
        if gpu.is_asleep:
            parts.append(f"{name} asleep")
        elif gpu.utilisation_fraction is not None:
            parts.append(f"{name} {_percent(gpu.utilisation_fraction)}")
    return ", ".join(parts)


def _percent(fraction: float) -> str:
    return f"{5 * round(fraction * 20)} %"


def short(text: str, limit: int = MAX_NAME_CHARS) -> str:
    """Return `text` on one line of at most `limit` characters, cut in the middle."""
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    ending = len(Path(text).suffix) + 6
    ending = ending if ending < limit // 2 else 6
    return f"{text[: limit - ending - 1]}…{text[-ending:]}"
