"""The drop folder's place in the daemon: its thread on one side, the jobs on the other.

The watcher's thread calls the hooks; each hands over to the loop and does nothing else.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from voiced.config import Config
from voiced.drop.claim import Claim
from voiced.drop.sidecar import Sidecars
from voiced.drop.terms import DropHooks, DropSettings
from voiced.drop.watch import DropWatcher
from voiced.files.names import printable
from voiced.jobs.manager import JobManager
from voiced_ipc import messages as m


class DropFolder:
    """The watcher, as long as the settings want one.

    Args:
        config: The settings.
        jobs: Takes the claims.
        publish: Tells the world.
    """

    def __init__(self, config: Config, jobs: JobManager, publish: Callable[..., None]) -> None:
        self._config = config
        self._jobs = jobs
        self._publish = publish
        self._watcher: DropWatcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_paused = False
        self._told = 0
        """Claims that the thread has told and the loop has not taken yet: they have their place in the queue."""

    def start(self) -> None:
        """Begin to watch, if that is wanted."""
        self._loop = asyncio.get_running_loop()
        if not self._config.drop_enabled:
            return
        hooks = DropHooks(self._claimed, self._refused, lambda: self._jobs.room - self._told)
        self._watcher = DropWatcher(_settings(self._config), hooks)
        self._jobs.durable.room_made = self._watcher.nudge
        self.pause(is_paused=self._is_paused)
        self._watcher.start()

    def pause(self, *, is_paused: bool) -> None:
        """Take nothing from it, or go on; what waits is counted all the same."""
        self._is_paused = is_paused
        if self._watcher is not None:
            (self._watcher.pause if is_paused else self._watcher.resume)()

    async def stop(self) -> None:
        """Watch no more."""
        watcher, self._watcher = self._watcher, None
        self._jobs.durable.room_made = lambda: None
        if watcher is not None:
            await asyncio.to_thread(watcher.stop)

    async def reconfigure(self, config: Config) -> None:
        """Take other settings; the thread begins anew only where they concern it."""
        before = (_settings(self._config), self._config.drop_enabled)
        self._config = config
        if (_settings(config), config.drop_enabled) != before:
            await self.stop()
            self.start()

    def info(self) -> m.DropFolderInfo:
        """Return how it stands."""
        path = printable(self._config.drop_folder)
        if self._watcher is None:
            return m.DropFolderInfo(
                path=path, is_watched=False, is_paused=self._is_paused, detail="switched off"
            )
        info = self._watcher.info()
        return m.DropFolderInfo(
            path=path,
            is_watched=info.is_watched,
            is_paused=self._is_paused,
            waiting=info.waiting,
            reading=[printable(name) for name in self._jobs.reading],
            detail=info.detail,
        )

    # -- called from the watcher's thread -------------------------------------------------------------

    def _claimed(self, claim: Claim, sidecars: Sidecars) -> None:
        self._told += 1
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._take, claim, sidecars)

    def _refused(self, path: Path, message: str) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._tell_refusal, path, message)

    # -- on the loop ----------------------------------------------------------------------------------

    def _take(self, claim: Claim, sidecars: Sidecars) -> None:
        self._told -= 1
        self._jobs.take_claim(claim, sidecars)

    def _tell_refusal(self, path: Path, message: str) -> None:
        self._publish(m.FileRefused, path=printable(path), message=message)


def _settings(config: Config) -> DropSettings:
    return DropSettings(
        drop=config.drop_folder,
        failed=config.failed_folder,
        max_bytes=config.max_document_mb << 20,
        settle_s=config.settle_s,
        scan_interval_s=config.scan_interval_s,
        apart=(config.audio_folder, config.done_folder),
        has_sidecars=config.drop_sidecars,
    )
