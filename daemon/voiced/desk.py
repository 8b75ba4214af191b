"""The desk: every request of the protocol, handed to the part that serves it. Thin, and without rules of its own.

A verb that this version does not serve is answered with `NotServed`, never with silence.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from voiced import __version__
from voiced.cache_desk import CacheDesk
from voiced.config import Config
from voiced.estimates import estimate
from voiced.jobs.job import stamp
from voiced.jobs.manager import JobManager
from voiced.jobs.sinks import Peer
from voiced.monitor import DeviceMonitor
from voiced.paths import Paths
from voiced.reports import model_infos
from voiced.tips import tips_for
from voiced.voice_desk import VoiceDesk
from voiced.workers.pool import Pool
from voiced_ipc import messages as m
from voiced_ipc.errors import InvalidRequest, NotServed

_STATUS_JOBS = 50
_TELL_S = 2.0
"""So often whoever waits for a model to load is told that it goes on."""
_Result = TypeVar("_Result")


class Control(Protocol):
    """What the desk asks of the daemon itself."""

    config: Config

    def health(self, problems: list[str]) -> m.Health:
        """Return the daemon in one word, given what is wrong."""

    def problems(self) -> list[str]:
        """Return what is wrong and how to mend it."""

    def drop_info(self) -> m.DropFolderInfo:
        """Return how the drop folder stands."""

    async def pause_drop(self, *, is_paused: bool) -> str:
        """Hold the drop folder, or go on with it; return what was done."""

    async def reload(self) -> list[str]:
        """Read the settings again; return what could not be used."""

    def shut_down(self, *, is_restart: bool) -> None:
        """Stop soon."""


class Desk:
    """Serves requests.

    Args:
        jobs: All jobs.
        pool: All workers.
        monitor: The machine and its load.
        paths: The folders.
        control: What the app does when asked: reload, shut down.
        voices: What it asks of voices.
        caches: What it asks of the caches.
    """

    def __init__(
        self,
        jobs: JobManager,
        pool: Pool,
        monitor: DeviceMonitor,
        paths: Paths,
        control: Control,
        voices: VoiceDesk,
        caches: CacheDesk,
    ) -> None:
        self._jobs = jobs
        self._pool = pool
        self._monitor = monitor
        self._paths = paths
        self._control = control
        self._caches = caches
        self._started = stamp()
        self._started_s = time.monotonic()
        self._answers: dict[type[m.Request], Callable[..., m.Reply]] = {
            m.GetStatus: self._status,
            m.ListModels: self._models,
            m.ExplainDevice: self._explain,
            m.GetTips: self._tips,
            **caches.answers,
        }
        self._handlers: dict[type[m.Request], Callable[..., Awaitable[m.Reply]]] = {
            m.GetJob: self._job,
            m.ListJobs: self._list_jobs,
            m.Cancel: self._cancel,
            m.Pause: self._pause,
            m.Resume: self._resume,
            m.RetryJob: self._retry,
            m.SetDeviceLock: self._lock,
            m.EstimateMemory: self._estimate,
            m.LoadModel: self._load,
            m.UnloadModel: self._unload,
            m.Reload: self._reload,
            m.Shutdown: self._shutdown,
            **voices.handlers,
            **caches.handlers,
        }

    def answer(self, request: m.Request) -> m.Reply | None:
        """Return the reply to a request that needs no waiting; None = `serve` has to."""
        handler = self._answers.get(type(request))
        return None if handler is None else handler(request)

    async def serve(self, request: m.Request, payload: bytes, peer: Peer) -> m.Reply | None:
        """Return the reply to a request; None where it answers by itself.

        Raises:
            VoicedError: What the server turns into an `ErrorReply`.
        """
        if isinstance(request, m.Synthesize):
            return await self._synthesize(request, payload, peer)
        if isinstance(request, m.Credit):
            self._jobs.streams.grant(request.job_id, request.credit_bytes)
            return None
        handler = self._handlers.get(type(request))
        if handler is None:
            verb = m.tag_of(type(request))
            raise NotServed(f"this version ({__version__}) does not serve {verb} yet")
        return await handler(request)

    async def _synthesize(self, request: m.Synthesize, payload: bytes, peer: Peer) -> m.Reply | None:
        if request.output is m.Output.FILE:
            return await _told(self._jobs.submit(request, payload), request, peer)
        await _told(self._jobs.stream(request, payload, peer), request, peer)
        return None

    # -- reading --------------------------------------------------------------------------------------

    def _status(self, request: m.GetStatus) -> m.Status:
        runs = self._jobs.active
        control = self._control
        problems = control.problems()
        return m.Status(
            request_id=request.request_id,
            status=control.health(problems),
            device=self._device(),
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            uptime_s=time.monotonic() - self._started_s,
            is_paused=self._jobs.scheduler.is_paused,
            lock=self._monitor.lock_info(),
            system_info=self._monitor.hardware_info(),
            cache_stats=self._caches.stats(),
            load=self._monitor.load_info(),
            models=model_infos(self._pool),
            jobs=[run.info() for run in runs[:_STATUS_JOBS]],
            queued=sum(1 for run in runs if not run.has_begun),
            running=sum(1 for run in runs if run.has_begun),
            finished=self._jobs.done,
            drop_folder=control.drop_info(),
            audio_folder=str(control.config.audio_folder),
            failed_folder=str(control.config.failed_folder),
            incoming_folder=str(self._paths.incoming),
            problems=problems,
            loop_lag_ms=self._monitor.loop_lag_ms,
        )

    def _device(self) -> str:
        return self._monitor.usual_device(self._control.config.model)

    async def _job(self, request: m.GetJob) -> m.JobReply:
        return m.JobReply(request_id=request.request_id, job=await self._jobs.find(request.job_id))

    async def _list_jobs(self, request: m.ListJobs) -> m.Jobs:
        jobs, following = await self._jobs.page(request.states, request.before, request.limit)
        return m.Jobs(request_id=request.request_id, jobs=jobs, next=following)

    def _models(self, request: m.ListModels) -> m.Models:
        return m.Models(request_id=request.request_id, models=model_infos(self._pool))

    async def _estimate(self, request: m.EstimateMemory) -> m.MemoryEstimate:
        engine = self._pool.engine(request.model or self._control.config.model)
        main = engine.main
        if main is not None and main.is_announced:
            run, model_bytes = main.run_as, 0  # what it takes is taken already
        else:
            run = (await self._monitor.place(engine.spec, "")).run
            model_bytes = self._pool.sizes.estimate(engine.spec, run.kind(engine.spec))
        available = self._monitor.room(run.device).available_bytes
        found = estimate(model_bytes, available, request.chars, self._monitor.preset)
        return m.MemoryEstimate(
            request_id=request.request_id,
            model=engine.spec.model,
            device=run.device,
            available_bytes=available,
            is_measured=self._pool.sizes.is_measured(run.kind(engine.spec)),
            **found._asdict(),
        )

    def _explain(self, request: m.ExplainDevice) -> m.DeviceExplanation:
        return m.DeviceExplanation(
            request_id=request.request_id,
            lock=self._monitor.lock_info(),
            decisions=self._monitor.decisions(request.limit),
        )

    def _tips(self, request: m.GetTips) -> m.Tips:
        tips = [m.TipInfo(topic=tip.topic, text=tip.text) for tip in tips_for(self._monitor.hardware)]
        return m.Tips(request_id=request.request_id, tips=tips)

    # -- changing -------------------------------------------------------------------------------------

    async def _cancel(self, request: m.Cancel) -> m.Acknowledged:
        return _done(request, await self._jobs.cancel(request.job_id))

    async def _pause(self, request: m.Pause) -> m.Acknowledged:
        return _done(request, await self._hold(request, is_paused=True))

    async def _resume(self, request: m.Resume) -> m.Acknowledged:
        return _done(request, await self._hold(request, is_paused=False))

    async def _hold(self, request: m.Pause | m.Resume, *, is_paused: bool) -> str:
        if not request.is_drop:
            return await self._jobs.pause(request.job_id, is_paused=is_paused)
        if request.job_id is not None:
            raise InvalidRequest("give a job or is_drop, not both")
        return await self._control.pause_drop(is_paused=is_paused)

    async def _retry(self, request: m.RetryJob) -> m.Acknowledged:
        return _done(request, await self._jobs.retry(request.job_id))

    async def _lock(self, request: m.SetDeviceLock) -> m.Acknowledged:
        return _done(request, await self._monitor.lock(request))

    async def _load(self, request: m.LoadModel) -> m.Acknowledged:
        self._pool.use(request.model, request.keep_alive_s)
        device, note = self._jobs.device(request.device, self._pool.engine(request.model).spec)
        engine = await self._pool.loaded(request.model, device)
        worker = next(worker for worker in engine.workers if engine.is_served_by(worker, device))
        notes = "".join(f"; {one}" for one in dict.fromkeys((note, *engine.notes)) if one)
        return _done(request, f"{engine.spec.model} is loaded ({worker.load_s:.2f} s){notes}")

    async def _unload(self, request: m.UnloadModel) -> m.Acknowledged:
        model = self._pool.engine(request.model).spec.model
        was_loaded = self._pool.unload(model, "somebody asked for it")
        await self._pool.gone(model)  # a child that does not listen is killed at the supervisor's next turn
        return _done(request, f"{model} is unloaded" if was_loaded else f"{model} was not loaded")

    async def _reload(self, request: m.Reload) -> m.Acknowledged:
        problems = await self._control.reload()
        return _done(request, "; ".join(problems) or "the configuration was read again")

    async def _shutdown(self, request: m.Shutdown) -> m.Acknowledged:
        self._control.shut_down(is_restart=request.restart)
        return _done(request, "stopping; durable jobs go on after the next start")


async def _told(work: Coroutine[Any, Any, _Result], request: m.Synthesize, peer: Peer) -> _Result:
    """Await the acceptance of a request; where that takes long, a model is loaded first, tell that it goes on."""
    ticking = _Ticking(request.request_id, peer)
    try:
        return await work
    finally:
        ticking.cancel()


class _Ticking:
    """Tells a peer every few seconds that its request is being worked at."""

    def __init__(self, job_id: str, peer: Peer) -> None:
        self._job_id = job_id
        self._peer = peer
        self._again()

    def cancel(self) -> None:
        """Tell nothing more."""
        self._timer.cancel()

    def _again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        job_id = self._job_id
        self._peer.send(
            m.Progress(request_id=job_id, job_id=job_id, segments=0, segments_done=0, audio_s=0.0)
        )
        self._again()


def _done(request: m.Request, message: str) -> m.Acknowledged:
    return m.Acknowledged(request_id=request.request_id, message=message)
