"""The variables that a child is started with: device, threads, allocators. Set later they would do nothing."""

from collections.abc import Mapping

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_MALLOC_SWITCHES = {
    # macOS prints dozens of warnings from every process otherwise.
    "MallocStackLogging": "0",
    "MallocStackLoggingNoCompact": "1",
    "MallocScribble": "0",
    "MallocPreScribble": "0",
    "MallocGuardEdges": "0",
}
_HEAP = {
    # Audio and activations are arrays of megabytes that live for a moment. By default glibc gives each back to the
    # system and takes it again, page by page: that was half the time of a small voice (two sentences: 1.7 and 0.85 ms).
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""For glibc; other systems pass over it."""
_NOT_FOR_CHILDREN = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
)
"""What the service manager told the daemon alone."""


def child_environment(
    base: Mapping[str, str],
    *,
    device: str,
    threads: int,
    is_mps: bool | None = None,
    quiet: bool = True,
) -> dict[str, str]:
    """Return the environment of a child that runs on `device`.

    Args:
        base: The daemon's own environment; what is not about devices passes through it.
        device: `cpu`, `cuda`, `cuda:N` or `mps`. `cpu` hides every GPU, so that nothing can choose one later.
        threads: Its share of the cores; 0 leaves the libraries their own choice.
        is_mps: Whether the child computes on Apple's GPU; None = what `device` says.
        quiet: Whether libraries are kept from drawing progress bars and printing advice.

    `CUDA_VISIBLE_DEVICES` of `base` is the user's: `cuda:N` counts within it, and is then the child's `cuda:0`.
    """
    on_mps = device == "mps" if is_mps is None else is_mps
    made = {name: value for name, value in base.items() if name not in _NOT_FOR_CHILDREN}
    made |= _MALLOC_SWITCHES
    for name, value in _HEAP.items():
        made.setdefault(name, value)
    if threads > 0:
        made |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    # Threads that wait for each other sleep. They spin otherwise, and where anything else wants a core (another
    # worker, a game) a small model then took 15 times as long: 40 s of a segment in place of 2.7 s, 2 threads, 2 cores.
    made.setdefault("OMP_WAIT_POLICY", "passive")
    made["TOKENIZERS_PARALLELISM"] = "false"
    made["PYTORCH_MPS_NO_FORK"] = "1"
    made["PYTORCH_ENABLE_MPS_FALLBACK"] = "1" if on_mps else "0"
    if on_mps:
        # No upper limit: the daemon's own budget decides, and the driver's limit kills the process.
        made["PYTORCH_MPS_HIGH_WATERMARK_RATIO"] = "0.0"
    if device.startswith("cuda"):
        made.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # the numbers that NVML and nvidia-smi show
        for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):  # the name since torch 2.9, and before
            made.setdefault(name, "max_split_size_mb:128")
        visible = _visible(base.get("CUDA_VISIBLE_DEVICES"), device)
        if visible is not None:
            made["CUDA_VISIBLE_DEVICES"] = visible
    else:
        made["CUDA_VISIBLE_DEVICES"] = ""
        made["HIP_VISIBLE_DEVICES"] = ""
    # What is not there was not pulled: nothing may ask the network behind the user's back.
    made["HF_HUB_OFFLINE"] = "1"
    made["TRANSFORMERS_OFFLINE"] = "1"
    made["HF_HUB_DISABLE_TELEMETRY"] = "1"
    made["PYTHONUNBUFFERED"] = "1"
    if quiet:
        made["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        made["TRANSFORMERS_VERBOSITY"] = "error"
        made["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
    return made


def _visible(given: str | None, device: str) -> str | None:
    """The one GPU that `device` names, of those that the user lets us see; None = all, empty = none."""
    _, _, number = device.partition(":")
    if not number:
        return given
    if given is None:
        return number
    listed = [entry.strip() for entry in given.split(",") if entry.strip()]
    return listed[int(number)] if int(number) < len(listed) else ""
