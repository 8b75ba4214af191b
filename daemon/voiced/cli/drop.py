"""`voiced drop`: documents become sound files, as durable jobs that outlive this command."""

import argparse
import contextlib
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from voiced.audio.formats import FORMATS
from voiced.cli.connect import connect_or_start
from voiced.cli.exits import CommandFailed, Exit, exit_for
from voiced.cli.follow import follow
from voiced.cli.output import document, print_json
from voiced.cli.parser import add_json, add_no_start, between
from voiced.cli.part import Part
from voiced.cli.speech import add_speech, speech_fields
from voiced.cli.text import printable, span
from voiced_ipc import Client
from voiced_ipc import messages as m
from voiced_ipc.errors import QueueFull, RequestRejected, VoicedError


class _Taken(NamedTuple):
    """A document that the daemon has taken."""

    name: str
    accepted: m.Accepted


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="documents; - reads a text from standard input"
    )
    parser.add_argument("--detach", action="store_true", help="print the jobs' ids at once and leave")
    parser.add_argument("--name", metavar="NAME", help="name of the output, for one document (- : stdin.txt)")
    parser.add_argument("--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}; otherwise as configured")
    parser.add_argument(
        "--subtitles", choices=[kind.value for kind in m.Subtitles], help="write them beside it"
    )
    parser.add_argument(
        "--chapters",
        choices=[kind.value for kind in m.Chapters],
        help="one file with marks, or a folder with a file for each (one-file)",
    )
    parser.add_argument(
        "--loudness", metavar="LUFS", type=between(-40, 0, float), help="of the whole file; 0 = as it is"
    )
    parser.add_argument(
        "--priority", choices=[lane.value for lane in m.Lane], help="interactive > normal > batch (normal)"
    )
    add_speech(parser, is_file=True)
    add_json(parser)
    add_no_start(parser)


def _run(options: argparse.Namespace) -> int:
    if options.name and len(options.files) > 1:
        raise CommandFailed("--name is for one document", Exit.USAGE)
    files = [_source(name) for name in options.files]
    fields = _fields(options)
    with connect_or_start(no_start=options.no_start) as client:
        taken, refusal = _submit(client, files, fields)
        if options.detach:
            _print_accepted(taken, as_json=options.json)
            return refusal
        jobs = {accepted.job_id: name for name, accepted in taken}
        try:
            finished = follow(client, jobs, None if options.json else _print_result)
        except KeyboardInterrupt:
            _tell_going_on(jobs)
            return Exit.INTERRUPTED
    if options.json:
        print_json({"jobs": [document(job) for job in finished]})
    return refusal or (Exit.OK if all(job.state is m.JobState.DONE for job in finished) else Exit.FAILED)


def _tell_going_on(job_ids: Collection[str]) -> None:
    if job_ids:
        print(f"voiced: the jobs go on: {' '.join(job_ids)}; `voiced jobs` shows them", file=sys.stderr)


def _source(name: str) -> Path:
    path = Path("/dev/stdin" if name == "-" else name)
    try:
        if path.is_dir():
            raise CommandFailed(
                f"{name} is a folder; give its files, or move it into the drop folder", Exit.DATA
            )
        path.open("rb").close()
    except OSError as error:
        raise CommandFailed(f"{name}: {error.strerror}", Exit.NO_INPUT) from error
    return path


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    fields = speech_fields(options)
    if options.name:
        fields["name"] = options.name
    elif options.files == ["-"]:
        fields["name"] = "stdin.txt"
    if options.format:
        fields["format"] = options.format
    if options.subtitles:
        fields["subtitles"] = m.Subtitles(options.subtitles)
    if options.chapters:
        fields["chapters"] = m.Chapters(options.chapters)
    if options.loudness is not None:
        fields["loudness_lufs"] = options.loudness
    if options.priority:
        fields["lane"] = m.Lane(options.priority)
    return fields


def _submit(client: Client, files: list[Path], fields: dict[str, Any]) -> tuple[list[_Taken], int]:
    """Return the accepted jobs and the exit code of the first refusal; the others still go in."""
    incoming = Path(client.status().incoming_folder)
    taken: list[_Taken] = []
    code = 0
    for file in files:
        name, job_id = fields.get("name", file.name), m.new_id()
        try:
            accepted = client.submit_file(file, incoming, request_id=job_id, **fields)
        except KeyboardInterrupt:
            with contextlib.suppress(VoicedError):
                client.cancel(job_id)  # it may be read at this moment
            print(f"voiced: {printable(name)}: cancelled before it was taken", file=sys.stderr)
            _tell_going_on([accepted.job_id for _, accepted in taken])
            raise
        except (RequestRejected, OSError) as error:
            message = error.message if isinstance(error, VoicedError) else error.strerror or str(error)
            print(f"voiced: {printable(name)}: {message}", file=sys.stderr)
            code = code or (exit_for(error) if isinstance(error, VoicedError) else Exit.INPUT_OUTPUT)
            if isinstance(error, QueueFull):
                break
            continue
        taken.append(_Taken(name, accepted))
        for note in accepted.notes:
            print(f"voiced: {printable(name)}: {printable(note)}", file=sys.stderr)
    return taken, code


def _print_accepted(taken: list[_Taken], *, as_json: bool) -> None:
    if as_json:
        print_json({"jobs": [{"name": name, **document(accepted)} for name, accepted in taken]})
        return
    for _, accepted in taken:
        print(accepted.job_id)


def _print_result(job: m.JobInfo) -> None:
    if job.state is m.JobState.DONE:
        rtf = "" if job.rtf is None else f", RTF {job.rtf:.3f}"
        print(f"{printable(job.path)}  {span(job.audio_s)}{rtf}", flush=True)
        for note in job.notes:
            print(f"  note: {printable(note)}")
    elif job.state is m.JobState.CANCELLED:
        print(f"voiced: {printable(job.name)}: cancelled", file=sys.stderr)
    else:
        print(
            f"voiced: {printable(job.name)}: {printable(job.error)}; `voiced retry {job.job_id}` tries again",
            file=sys.stderr,
        )


PARTS = {
    "drop": Part(
        _declare,
        _run,
        (
            "voiced drop book.txt",
            "voiced drop --format flac --language fr chapitre1.txt chapitre2.txt",
            "voiced drop --detach *.txt",
            "pdftotext paper.pdf - | voiced drop --name paper.txt -",
        ),
        "The files are copied; the audio comes into the audio folder that `voiced status` shows. The jobs are kept\n"
        "by the daemon: Ctrl+C stops showing them, they go on.",
    )
}
