"""What a daemon tells of itself, as values to begin from: every field is filled, a test changes what it is about."""

from typing import Any

from voiced_ipc import messages as m


def told_job(job_id: str, **changes: Any) -> m.JobInfo:
    """Return a running job."""
    fields: dict[str, Any] = {
        "job_id": job_id,
        "state": m.JobState.RUNNING,
        "lane": m.Lane.NORMAL,
        "output": m.Output.FILE,
        "name": "book.txt",
        "model": "espeak",
        "voice": "en",
        "language": "en",
        "device": "cpu",
        "format": "wav",
        "chars": 1000,
        "segments": 10,
        "segments_done": 4,
        "audio_s": 61.5,
        "created": "2026-01-02T03:04:05Z",
        "updated": "2026-01-02T03:04:06Z",
        "elapsed_s": 1.0,
        "eta_s": 90.0,
        "rtf": 0.0163,
        "first_audio_ms": 4.2,
        "path": "",
        "words_spoken": 0,
        "words_missed": 0,
        "error_code": "",
        "error": "",
    }
    return m.JobInfo(**fields | changes)


def told_accepted(job_id: str, **changes: Any) -> m.Accepted:
    """Return that a small job stands."""
    fields: dict[str, Any] = {
        "request_id": job_id,
        "job_id": job_id,
        "output": m.Output.FILE,
        "model": "tone",
        "voice": "",
        "language": "en",
        "device": "cpu",
        "precision": "fp32",
        "sample_rate_hz": 1000,
        "channels": 1,
        "chars": 4,
        "segments": 1,
        "original_chars": 4,
    }
    return m.Accepted(**fields | changes)


def told_model(**changes: Any) -> m.ModelInfo:
    """Return a loaded model."""
    fields: dict[str, Any] = {
        "model": "espeak",
        "engine": "espeak",
        "state": m.ModelState.LOADED,
        "device": "cpu",
        "licence": "GPL-3.0-or-later",
        "sample_rate_hz": 22050,
    }
    return m.ModelInfo(**fields | changes)


def told_load(**changes: Any) -> m.LoadInfo:
    """Return the load of a machine with something to do."""
    fields: dict[str, Any] = {
        "taken": "2026-01-02T03:04:05Z",
        "cpu_fraction": 0.25,
        "own_cpu_fraction": 0.5,
        "memory_fraction": 0.4,
        "memory_available_bytes": 4 << 30,
        "own_memory_bytes": 50 << 20,
    }
    return m.LoadInfo(**fields | changes)


def told_status(**changes: Any) -> m.Status:
    """Return the status of a well daemon with nothing to do."""
    import voiced

    fields: dict[str, Any] = {
        "request_id": "",
        "status": m.Health.OK,
        "device": "cpu",
        "version": voiced.__version__,
        "pid": 2**22 + 1,  # no process: beyond the kernel's greatest
        "started": "2026-01-02T03:04:05Z",
        "uptime_s": 3723.0,
        "is_paused": False,
        "lock": m.LockInfo(device="auto"),
        "system_info": m.HardwareInfo(
            tier="cpu-small", cpu_model="A Processor", physical_cores=2, logical_cores=4, memory_bytes=8 << 30
        ),
        "cache_stats": m.CacheStats(),
        "load": None,
        "models": [],
        "jobs": [],
        "queued": 0,
        "running": 0,
        "finished": 0,
        "drop_folder": m.DropFolderInfo(path="/home/me/Voiced/Drop", is_watched=True),
        "audio_folder": "/home/me/Voiced/Audio",
        "failed_folder": "/home/me/Voiced/Failed",
        "incoming_folder": "",
    }
    return m.Status(**fields | changes)
