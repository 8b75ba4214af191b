"""Dropped texts: from a claim to a durable job, or aside with the reason. Belongs to the loop."""

import logging
import os
from collections.abc import Callable

from voiced.drop.claim import Claim, refuse
from voiced.drop.sidecar import Sidecars
from voiced.files.names import printable
from voiced.jobs.background import Background
from voiced.jobs.cancel import Cancellable
from voiced.jobs.durable import DISK_RETRY_S, DurableJobs
from voiced.jobs.intake import Intake
from voiced.jobs.run import Run
from voiced.jobs.sources import with_notes
from voiced.jobs.spool import discard
from voiced.jobs.store import Store
from voiced.scheduler import Scheduler
from voiced_ipc import messages as m
from voiced_ipc.errors import StorageFailed, VoicedError
from voiced_ipc.messages import JobState

logger = logging.getLogger(__name__)


class DroppedTexts:
    """Makes jobs of dropped texts.

    Args:
        durable: Takes the jobs.
        store: Where they are kept.
        intake: Plans them.
        scheduler: Has them spoken.
        background: Runs what nobody waits for.
        publish: Tells the world: an event class and its fields.
    """

    def __init__(
        self,
        durable: DurableJobs,
        store: Store,
        intake: Intake,
        scheduler: Scheduler,
        background: Background,
        publish: Callable[..., None],
    ) -> None:
        self._durable = durable
        self._store = store
        self._intake = intake
        self._scheduler = scheduler
        self._background = background
        self._publish = publish

    async def take(self, claim: Claim, sidecars: Sidecars, work: Cancellable) -> None:
        """Make a job of a dropped text, or set it aside with the reason.

        A claim of an older run goes on; one of which something new is said begins anew.

        Args:
            claim: The text.
            sidecars: What is said of it.
            work: What a cancel ends: until it is accepted.
        """
        try:
            known = await self._store.find(claim.job_id)
            state = JobState.QUEUED
            if known is not None and known.state.is_final:
                if await self._store.effect(lambda: os.path.lexists(claim.path)):
                    await self._durable.put_away(known)
                return
            if known is not None:
                run = self._scheduler.find(claim.job_id)
                if run is None:
                    logger.info("job %s is all spoken: a sidecar came too late", claim.job_id)
                    return
                if not sidecars.has_news(known.order.sidecars):
                    for problem in sidecars.problems:
                        run.note(problem)
                    return
                state = JobState.PAUSED if run.is_paused else state
                await self._withdraw(run)
            with work:
                planned = await self._intake.plan_claim(claim, sidecars.wishes)
            order = planned.order._replace(sidecars=sidecars.digests)
            notes = (*sidecars.problems, *planned.notes)
            await self._durable.accept(planned._replace(order=order, notes=notes), state)
        except StorageFailed as error:
            logger.error("a dropped text waits for the disk: %s", error.message)
            self._background.later(DISK_RETRY_S, lambda: self.take(claim, sidecars, Cancellable()))
        except VoicedError as error:
            await self._refuse(claim, with_notes(error.message, sidecars.problems), error.code.value)

    async def _withdraw(self, run: Run) -> None:
        """Let go of a dropped text's job without a word: it is planned anew, under the same id.

        The ledger forgets it first: whenever the daemon ends, the claim lies there and is planned then.

        Raises:
            StorageFailed: If the disk refuses.
        """
        job = run.job
        logger.info("job %s begins anew: its sidecar came", job.job_id)
        self._scheduler.remove(run)
        run.close()
        await self._store.withdraw(job.job_id)
        await self._durable.sweep(job)

    async def _refuse(self, claim: Claim, message: str, code: str) -> None:
        logger.info("dropped text %s refused: %s", claim.job_id, code)
        try:
            place = await self._store.effect(
                lambda: refuse(claim, self._intake.config.failed_folder, claim.relative, message)
            )
        except (OSError, StorageFailed) as fault:
            logger.warning("dropped text %s stays claimed until the disk allows: %s", claim.job_id, fault)
            self._background.later(DISK_RETRY_S, lambda: self._refuse(claim, message, code))
            return
        discard(self._intake.folder(claim.job_id))
        self._publish(m.FileRefused, path=printable(place), message=message)
