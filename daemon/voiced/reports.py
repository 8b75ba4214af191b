"""What is told of models: one `ModelInfo` for each that is here, from the library and the pool. Belongs to the loop."""

import time

from voiced.models.spec import ModelSpec
from voiced.workers.engine import Engine
from voiced.workers.pool import Pool
from voiced.workers.process import WorkerProcess, WorkerState
from voiced.workers.spawn import RunAs
from voiced_ipc import messages as m


def model_infos(pool: Pool) -> list[m.ModelInfo]:
    """Return the models that can be asked for, the embedded ones first.

    Args:
        pool: Knows what is loaded.
    """
    installed = pool.shelf.library.installed()
    sizes = {one.spec.model: one.size_bytes for one in installed}
    specs = {engine.spec.model: engine.spec for engine in pool.engines.values()}
    specs |= {one.spec.model: one.spec for one in installed if one.spec.model not in specs}
    faults = pool.shelf.library.damaged()
    infos = [
        _info(pool, spec, sizes.get(spec.model, 0), faults.get(spec.model, "")) for spec in specs.values()
    ]
    return [info for info in infos if info.state is not m.ModelState.MISSING]


def _info(pool: Pool, spec: ModelSpec, installed_bytes: int, fault: str) -> m.ModelInfo:
    engine = pool.engines.get(spec.model) or Engine(spec)
    workers = [
        worker for worker in engine.workers if worker.state is WorkerState.READY and not worker.is_dismissed
    ]
    main = engine.main
    is_here = spec.is_embedded or bool(installed_bytes) or bool(engine.workers)
    state = _state(engine, workers, is_here=is_here, fault=fault)
    run = main.run_as if main else RunAs(precision=spec.precisions[0])
    return m.ModelInfo(
        model=spec.model,
        engine=spec.engine,
        state=state,
        device=main.device if main else "",
        licence=spec.licence,
        sample_rate_hz=spec.sample_rate_hz,
        workers=len(engine.workers),
        rss_bytes=sum(worker.rss_bytes for worker in workers),
        detail=_detail(engine, main, state, fault),
        family=spec.family,
        identity=spec.identity,
        is_noncommercial=spec.is_noncommercial,
        installed_bytes=installed_bytes,
        needs_bytes=pool.sizes.estimate(spec, run.kind(spec)),
        device_bytes=sum(worker.device_bytes for worker in workers),
        precision=_precision(main) if workers else "",
        load_fraction=main.step.fraction if main and state is m.ModelState.LOADING else 0.0,
        unloads_in_s=_unloads_in_s(pool, engine, workers),
    )


def _state(engine: Engine, workers: list[WorkerProcess], *, is_here: bool, fault: str) -> m.ModelState:
    if workers:
        return m.ModelState.LOADED
    if any(worker.state is WorkerState.STARTING for worker in engine.workers):
        return m.ModelState.LOADING
    if fault or engine.broken_s > 0:
        return m.ModelState.BROKEN
    return m.ModelState.AVAILABLE if is_here else m.ModelState.MISSING


def _detail(engine: Engine, main: WorkerProcess | None, state: m.ModelState, fault: str) -> str:
    if state is m.ModelState.BROKEN:
        return fault or engine.broken_reason
    if state is m.ModelState.LOADING:
        return engine.waits_for or (main.step.what if main else "")
    if state is m.ModelState.LOADED and engine.notes:
        return "; ".join(engine.notes)
    return engine.spec.about


def _precision(main: WorkerProcess | None) -> str:
    if main is None:
        return ""
    quantization = main.run_as.quantization
    return main.run_as.precision + (f"+{quantization}" if quantization != "none" else "")


def _unloads_in_s(pool: Pool, engine: Engine, workers: list[WorkerProcess]) -> float | None:
    keep_s = engine.keep_s(pool.limits.keep_alive_s)
    if not workers or engine.spec.is_lean or keep_s < 0 or not engine.is_idle:
        return None
    return max(0.0, keep_s - (time.monotonic() - engine.idle_since_s))
