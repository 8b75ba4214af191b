"""`voiced status`: the whole truth on one page."""

from typing import TYPE_CHECKING

import voiced
from voiced.cli.connect import connect
from voiced.cli.exits import Exit
from voiced.cli.output import document, print_json, print_lines, watch, watch_json
from voiced.cli.part import Part
from voiced.cli.text import counted, percent, printable, size, span, table
from voiced_ipc import messages as m

if TYPE_CHECKING:
    import argparse

_MAX_JOBS = 10


def _declare(parser: "argparse.ArgumentParser") -> None:
    from voiced.cli.parser import add_json

    add_json(parser)
    parser.add_argument("--watch", action="store_true", help="show it again every second, until Ctrl+C")


def _run(options: "argparse.Namespace") -> int:
    with connect() as client:
        if options.watch and options.json:
            return watch_json(lambda: document(client.status()))
        if options.watch:
            return watch(lambda: status_page(client.status(), voiced.__version__))
        status = client.status()
    if options.json:
        print_json(document(status))
    else:
        print_lines(status_page(status, voiced.__version__))
    return Exit.OK


def status_page(status: m.Status, installed: str) -> list[str]:
    """Return the status as lines.

    Args:
        status: What the daemon says.
        installed: The version of this program; where it differs, the page says what to do.
    """
    health = "paused" if status.is_paused else status.status.value
    lines = [f"voiced {status.version}  {health}  up {span(status.uptime_s)}  pid {status.pid}"]
    if status.version != installed:
        lines.append(f"! daemon {status.version}, installed {installed}: voiced restart")
    lines += [f"! {printable(problem)}" for problem in status.problems]
    drop = status.drop_folder
    watched = "" if drop.is_watched else f"  (not watched: {printable(drop.detail) or 'switched off'})"
    held = "  (paused: `voiced resume --drop` goes on)" if drop.is_paused else ""
    waiting = f"  ({counted(drop.waiting, 'file')} waiting)" if drop.waiting else ""
    reading = f"  (reading {printable(', '.join(drop.reading))})" if drop.reading else ""
    facts = [
        ("device", f"{status.device}  lock {lock_text(status.lock)}"),
        ("machine", machine_text(status.system_info)),
        ("load", load_text(status.load)),
        *((f"model {model.model}", model_text(model)) for model in status.models if shows(model)),
        ("jobs", f"{status.running} running, {status.queued} queued, {status.finished} finished"),
        ("drop folder", printable(drop.path) + reading + waiting + held + watched),
        ("audio folder", printable(status.audio_folder)),
    ]
    if status.cache_stats.enabled:
        cache = status.cache_stats
        facts.append(("cache", f"{cache.size} kept, {cache.hits} hits, {cache.misses} misses"))
    width = max(len(name) for name, _ in facts)
    lines += [f"{name:<{width}}  {value}" for name, value in facts]
    return lines + _jobs(status.jobs)


def shows(model: m.ModelInfo) -> bool:
    """Return whether a model belongs on the page: it is, or should be, in memory."""
    return model.state is not m.ModelState.AVAILABLE or model.workers > 0


def model_text(model: m.ModelInfo) -> str:
    """Return state, place and size of a model; and the reason where it is not at work."""
    state = f"{model.state.value} on {model.device}" if model.device else model.state.value
    parts = [state]
    if model.workers:
        parts.append(counted(model.workers, "worker"))
    if model.rss_bytes:
        parts.append(size(model.rss_bytes))
    if model.load_fraction:
        parts.append(percent(model.load_fraction))
    if model.detail and model.state in (m.ModelState.BROKEN, m.ModelState.LOADING):
        parts.append(printable(model.detail))
    return ", ".join(parts)


def lock_text(lock: m.LockInfo) -> str:
    """Return the device lock, and when it ends."""
    if lock.until is not None:
        return f"{lock.device} until {lock.until}"
    if lock.pid is not None:
        return f"{lock.device} until process {lock.pid} ends"
    return lock.device


def machine_text(machine: m.HardwareInfo) -> str:
    """Return the machine in a line."""
    parts = [
        machine.cpu_model,
        counted(machine.physical_cores, "core"),
        size(machine.memory_bytes),
        f"{machine.gpu_name} {size(machine.gpu_memory_bytes)}" if machine.gpu_name else "no GPU",
        f"tier {machine.tier}" if machine.tier else "",
    ]
    return printable(", ".join(part for part in parts if part))


def load_text(load: m.LoadInfo | None) -> str:
    """Return the load of the machine in a line."""
    if load is None:
        return "not yet measured"
    own = f" (ours {percent(load.own_cpu_fraction)}, {size(load.own_memory_bytes)})"
    parts = [f"CPU {percent(load.cpu_fraction)}, memory {percent(load.memory_fraction)}{own}"]
    for gpu in load.gpus:
        if gpu.is_asleep:
            parts.append(f"GPU {gpu.index} asleep")
            continue
        used = "-"
        if gpu.memory_used_bytes is not None and gpu.memory_total_bytes is not None:
            used = f"{size(gpu.memory_used_bytes)} of {size(gpu.memory_total_bytes)}"
        parts.append(f"GPU {gpu.index} {percent(gpu.utilisation_fraction)}, {used}")
    if load.is_throttled:
        parts.append("throttled")
    return "  ".join(parts)


def _jobs(jobs: list[m.JobInfo]) -> list[str]:
    if not jobs:
        return []
    from voiced.cli.jobs import job_rows

    more = [f"... and {len(jobs) - _MAX_JOBS} more: voiced jobs"] if len(jobs) > _MAX_JOBS else []
    return ["", *table(*job_rows(jobs[:_MAX_JOBS])), *more]


PARTS = {
    "status": Part(
        _declare,
        _run,
        ("voiced status", "voiced status --watch", "voiced status --json"),
        bare={"json": False, "watch": False},
    )
}
