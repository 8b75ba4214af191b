"""A model unloaded: until its process is gone, and the daemon's family has no more memory than before the load."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.checkpoints import absence
from tests.bench.figures import Row, absent, absolute
from tests.bench.session import Session
from tests.bench.texts import TWO_WORDS
from tests.overlays import find_overlay
from tests.support import DaemonProcess, running_daemon, temporary_home
from tests.system.installed import build, import_model, link_overlay, without_faults
from voiced.models.catalogue import find_spec
from voiced_ipc import Client
from voiced_ipc import messages as m

LIMIT_MS = 5000.0
_NEAR_BYTES, _NEAR_FRACTION = 64_000_000, 0.05
"""As near as memory must come to what it was before: the greater of both."""
_GIVE_UP_S = 30.0
_LOOK_S = 0.0005
_LOAD_S = 300.0

_QWEN = ("--kind", "custom_voice")
_SUBJECTS = (
    ("mms:eng", "vits", ()),
    ("kokoro", "kokoro", ()),
    ("qwen3-tts:0.6b-speakers", "qwen3_tts", _QWEN),
)
"""Models, the builders of their checkpoints, and what those are told."""


class _Unload(NamedTuple):
    gone_ms: float
    free_ms: float
    held_bytes: int
    """What its processes had resident."""


def measure(session: Session) -> Iterator[Row]:
    """Return the rows of unloading, for each model whose packages are here."""
    for model, builder, arguments in _SUBJECTS:
        spec = find_spec(model)
        assert spec is not None
        overlay = find_overlay(spec.family) if spec.family else Path("/nowhere")
        if overlay is None:
            yield absent(f"{model}, unloaded", absence(spec.family))
            continue
        with temporary_home() as home:
            if spec.family:
                link_overlay(home, spec.family)
            published = build(builder, home.root / "published", *arguments, overlay=overlay)
            import_model(home, model, without_faults(published))
            with running_daemon(home) as daemon, daemon.client(_LOAD_S) as client:
                found = [_unload(daemon, client, model) for _ in range(session.rounds(7, 2))]
        note = f"its processes had {found[-1].held_bytes / 1e6:.0f} MB resident"
        yield absolute(
            f"{model}, unloaded: process gone", [one.gone_ms for one in found], "ms", LIMIT_MS, note
        )
        what = f"{model}, unloaded: memory as before"
        yield absolute(what, [one.free_ms for one in found], "ms", LIMIT_MS)


def _unload(daemon: DaemonProcess, client: Client, model: str) -> _Unload:
    others = set(daemon.children())
    before = _family_bytes(daemon)
    client.synthesize(TWO_WORDS, model=model, language="en")
    started = [psutil.Process(pid) for pid in set(daemon.children()) - others]
    # A scribe may start at that moment too, and stays.
    mine = [process for process in started if "voiced.child.worker" in process.cmdline()]
    held = sum(process.memory_info().rss for process in mine)
    enough = before + max(_NEAR_BYTES, _NEAR_FRACTION * held)
    began = time.perf_counter()
    client.control(m.UnloadModel(request_id=m.new_id(), model=model))
    gone_ms = _until(began, lambda: not any(process.is_running() for process in mine))
    free_ms = _until(began, lambda: _family_bytes(daemon) <= enough)
    return _Unload(gone_ms, free_ms, held)


def _family_bytes(daemon: DaemonProcess) -> int:
    """What the daemon and its children have resident; what the whole machine has free says more of other programs."""
    found = 0
    for pid in (daemon.pid, *daemon.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += psutil.Process(pid).memory_info().rss
    return found


def _until(began: float, is_so: Callable[[], bool]) -> float:
    """Milliseconds from `began` until something was first seen to be so; however long it was waited for, if never."""
    while not is_so() and time.perf_counter() - began < _GIVE_UP_S:
        time.sleep(_LOOK_S)
    return (time.perf_counter() - began) * 1000
