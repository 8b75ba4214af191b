"""Where the dropped text of a job goes that has ended, and what is told beside it. Runs in the store's thread."""

from typing import TYPE_CHECKING

from voiced.jobs import publish
from voiced.jobs.database import find_job, update_job
from voiced.jobs.job import Job
from voiced_ipc.messages import JobState

if TYPE_CHECKING:
    from sqlite3 import Connection

_CANCELLED = "It was cancelled. Nothing of it is kept; drop it again to have it spoken."


def put_away(connection: "Connection", job: Job) -> Job:
    """Put the source of a job away that has ended, in the store's thread: nobody takes the job up meanwhile."""
    known = find_job(connection, job.job_id) or job
    if not known.state.is_final:
        return known
    if known.state is JobState.DONE:
        source = publish.put_away_source(known)
    else:
        kept = f"Its audio so far is kept: `voiced retry {known.job_id}` goes on from there."
        why = with_notes(f"{known.progress.error.rstrip('.')}. {kept}", known.progress.notes)
        is_cancelled = known.state is JobState.CANCELLED
        source = publish.set_source_aside(known, _CANCELLED if is_cancelled else why)
    if source != known.progress.source:
        known = known.moved(known.state, source=source)
        update_job(connection, known)
    return known


def with_notes(message: str, notes: tuple[str, ...]) -> str:
    """Return what is told of a text that could not be spoken, with what was noted before."""
    return "\n".join((message, *(f"Noted: {note}" for note in notes)))
