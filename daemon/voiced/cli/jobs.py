"""`voiced jobs`, `job`, `cancel`, `pause`, `resume`, `retry`. Ids may be shortened to a unique beginning."""

import argparse
import contextlib
from collections.abc import Callable, Iterable

from voiced.cli.connect import connect, connect_or_start
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.output import document, print_json, print_lines, watch, watch_json
from voiced.cli.parser import add_json, add_no_start, between
from voiced.cli.part import Part
from voiced.cli.text import counted, percent, printable, span, table
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import InvalidRequest, JobNotFound, VoicedError

SHOWN_ID_CHARS = 8
_WHOLE_ID_CHARS = 16
"""Shorter ones are none: `RequestId`."""
_MAX_SEARCHED = 10_000
_UNFINISHED = [state for state in m.JobState if not state.is_final]


def _declare_jobs(parser: argparse.ArgumentParser) -> None:
    states = [state.value for state in m.JobState]
    parser.add_argument(
        "--state", action="append", choices=states, default=[], help="only these; may be given again"
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=between(1, 1_000_000, int),
        default=50,
        help="at most N, newest first (50)",
    )
    parser.add_argument("--watch", action="store_true", help="show it again every second, until Ctrl+C")
    add_json(parser)


def _run_jobs(options: argparse.Namespace) -> int:
    states = [m.JobState(state) for state in options.state]
    with connect() as client:

        def read() -> list[m.JobInfo]:
            return list(client.jobs(states, limit=int(options.limit)))

        def page() -> list[str]:
            return jobs_page(read(), client.status().drop_folder.reading)

        if options.watch and options.json:
            return watch_json(lambda: {"jobs": [document(job) for job in read()]})
        if options.watch:
            return watch(page)
        if options.json:
            print_json({"jobs": [document(job) for job in read()]})
        else:
            print_lines(page())
    return Exit.OK


def jobs_page(jobs: list[m.JobInfo], reading: list[str]) -> list[str]:
    """Return jobs as a table, above it the dropped files that are none yet."""
    lines = [f"reading {printable(name)}: a job in a moment" for name in reading]
    return [*lines, *table(*job_rows(jobs))] if jobs else lines or ["no jobs"]


def job_rows(jobs: Iterable[m.JobInfo]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of a table of jobs."""
    header = ("ID", "STATE", "DONE", "LEFT", "AUDIO", "RTF", "DEVICE", "NAME")
    return header, [
        (
            job.job_id[:SHOWN_ID_CHARS],
            job.state.value,
            percent(job.segments_done / job.segments if job.segments else None),
            span(None if job.state.is_final else job.eta_s),
            span(job.audio_s),
            "-" if job.rtf is None else f"{job.rtf:.3f}",
            job.device or "-",
            job.name,
        )
        for job in jobs
    ]


def _declare_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the job, or the beginning of its id")
    add_json(parser)


def _run_job(options: argparse.Namespace) -> int:
    with connect() as client:
        job = find_job(client, options.id)
    if options.json:
        print_json(document(job))
    else:
        print_lines(job_page(job))
    return Exit.OK


def job_page(job: m.JobInfo) -> list[str]:
    """Return all that is known of a job."""
    first = "-" if job.first_audio_ms is None else f"{job.first_audio_ms:.1f} ms"
    facts = [
        ("job", job.job_id),
        ("name", job.name),
        ("state", job.state.value),
        ("segments", f"{job.segments_done} of {job.segments}"),
        ("characters", str(job.chars)),
        ("audio", span(job.audio_s)),
        ("work", f"{span(job.elapsed_s)}, RTF {'-' if job.rtf is None else f'{job.rtf:.3f}'}"),
        ("left", "" if job.state.is_final else span(job.eta_s)),
        ("first audio", first),
        ("model", job.model),
        ("voice", job.voice),
        ("language", job.language),
        ("device", job.device),
        ("lane", job.lane.value),
        ("format", job.format),
        ("file", job.path),
        ("words", f"{job.words_spoken} spoken, {job.words_missed} missed" if job.words_spoken else ""),
        ("checks", f"{counted(job.faulty_segments, 'segment')} to listen to" if job.faulty_segments else ""),
        ("created", job.created),
        ("updated", job.updated),
        ("error", f"{job.error} ({job.error_code})" if job.error else ""),
        *(("note", note) for note in job.notes),
    ]
    return [f"{name:<11}  {printable(value)}" for name, value in facts if value]


def find_job(client: Client, beginning: str) -> m.JobInfo:
    """Return the one job whose id is, or begins with, `beginning`.

    Raises:
        JobNotFound: If there is none.
        InvalidRequest: If there are several.
    """
    if len(beginning) >= _WHOLE_ID_CHARS:
        with contextlib.suppress(JobNotFound):
            return client.job(beginning)
    found: list[m.JobInfo] = []
    for job in client.jobs(limit=_MAX_SEARCHED):
        if beginning and job.job_id.startswith(beginning):
            found.append(job)
    if not found:
        raise JobNotFound(f"no job has the id {printable(beginning)!r}; `voiced jobs` lists them")
    if len(found) > 1:
        ids = ", ".join(job.job_id for job in found[:3]) + (" ..." if len(found) > 3 else "")
        raise InvalidRequest(
            f"{counted(len(found), 'job')} begin with {beginning!r}: {ids}; give more of the id"
        )
    return found[0]


def _declare_cancel(parser: argparse.ArgumentParser) -> None:
    _declare_ids(parser, "unfinished")


def _declare_retry(parser: argparse.ArgumentParser) -> None:
    _declare_ids(parser, "failed")
    add_no_start(parser)


def _declare_ids(parser: argparse.ArgumentParser, kind: str) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "ids", metavar="ID", nargs="*", default=[], help="jobs, or the beginnings of their ids"
    )
    which.add_argument("--all", action="store_true", help=f"all {kind} jobs")


def _declare_hold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "ids", metavar="ID", nargs="*", help="jobs, or the beginnings of their ids; none = the whole daemon"
    )
    parser.add_argument("--drop", action="store_true", help="the drop folder: files wait in it, jobs go on")
    add_no_start(parser)


def _run_cancel(options: argparse.Namespace) -> int:
    with connect() as client:
        return _each(client, options.ids or _ids(client, _UNFINISHED), client.cancel, "cancelled")


def _run_retry(options: argparse.Namespace) -> int:
    with connect_or_start(no_start=options.no_start) as client:
        ids = options.ids or _ids(client, [m.JobState.FAILED])
        return _each(client, ids, lambda job_id: client.retry(job_id).message, "goes on")


def _run_pause(options: argparse.Namespace) -> int:
    _check_held(options)
    with connect_or_start(no_start=options.no_start) as client:
        if options.ids:
            return _each(client, options.ids, lambda job_id: client.pause(job_id).message, "paused")
        print(client.pause(is_drop=options.drop).message or "paused; `voiced resume` goes on")
        return Exit.OK


def _run_resume(options: argparse.Namespace) -> int:
    _check_held(options)
    with connect_or_start(no_start=options.no_start) as client:
        if options.ids:
            return _each(client, options.ids, lambda job_id: client.resume(job_id).message, "goes on")
        print(client.resume(is_drop=options.drop).message or "goes on")
        return Exit.OK


def _check_held(options: argparse.Namespace) -> None:
    if options.drop and options.ids:
        raise CommandFailed("--drop is for the drop folder, not for jobs: leave the ids out", Exit.USAGE)


def _ids(client: Client, states: list[m.JobState]) -> list[str]:
    return [job.job_id for job in client.jobs(states)]


def _each(client: Client, ids: list[str], act: Callable[[str], str], done: str) -> int:
    """Do it to every job, also after one that refused; the first refusal gives the exit code."""
    refusal: VoicedError | None = None
    for beginning in ids:
        try:
            job = find_job(client, beginning)
            said = act(job.job_id) or done
        except (JobNotFound, InvalidRequest) as error:
            refusal = refusal or error
            continue
        print(f"{job.job_id[:SHOWN_ID_CHARS]}  {printable(job.name)}: {printable(said)}")
    if not ids:
        print("no such jobs")
    if refusal is not None:
        raise refusal
    return Exit.OK


PARTS = {
    "jobs": Part(
        _declare_jobs,
        _run_jobs,
        ("voiced jobs", "voiced jobs --state failed --state running", "voiced jobs --limit 500 --json"),
    ),
    "job": Part(_declare_job, _run_job, ("voiced job 3f2a", "voiced job 3f2a --json")),
    "cancel": Part(_declare_cancel, _run_cancel, ("voiced cancel 3f2a 77b0", "voiced cancel --all")),
    "pause": Part(_declare_hold, _run_pause, ("voiced pause", "voiced pause 3f2a", "voiced pause --drop")),
    "resume": Part(
        _declare_hold, _run_resume, ("voiced resume", "voiced resume 3f2a", "voiced resume --drop")
    ),
    "retry": Part(_declare_retry, _run_retry, ("voiced retry 3f2a", "voiced retry --all")),
}
