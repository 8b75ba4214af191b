"""`voiced demo`: a daemon of its own in a temporary folder, a few files through its drop folder, and one stream.

Touches nothing of the user's: no settings, no running daemon, no audio device. What it made is copied to a folder.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from voiced.cli.connect import await_listening, spawn_daemon
from voiced.cli.exits import CommandFailed, Exit
from voiced.cli.follow import follow
from voiced.cli.output import print_json, print_lines
from voiced.cli.parser import add_json
from voiced.cli.part import Part
from voiced.cli.text import span, table
from voiced_ipc import Client, Endpoint
from voiced_ipc import messages as m

TEXTS = {
    "english.txt": "Good morning. This is voiced, the speech service of your computer. Nothing of this leaves it.\n",
    "deutsch.txt": "Guten Morgen. Dieser Text lag in einem Ordner, und daraus wurde von selbst eine Tondatei.\n",
    "français.txt": "Bonjour. Déposez un texte dans le dossier, et vous trouverez le son à côté, sans rien demander.\n",
}
_STREAM_TEXT = "And this sentence was streamed while it was spoken."
_START_TIMEOUT_S = 20.0
_TAKEN_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
_LOOK_S = 0.02


class Result(NamedTuple):
    """One row of the table."""

    name: str
    file: str
    audio_s: float
    rtf: float | None
    first_audio_ms: float | None
    error: str = ""


class Private(NamedTuple):
    """A daemon of our own."""

    root: Path
    process: "subprocess.Popen[bytes]"
    client: Client
    start_ms: float


def _declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep",
        metavar="FOLDER",
        type=Path,
        default=Path("voiced-demo"),
        help="where the sound goes (voiced-demo)",
    )
    add_json(parser)


def _run(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, _interrupt)
    keep = options.keep.absolute()
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(
            f"{keep} cannot be made ({error.strerror}); choose another with --keep"
        ) from error
    with private_daemon() as daemon:
        version = daemon.client.status().version
        if not options.json:
            print(
                f"voiced {version}, a daemon of its own: it answered {daemon.start_ms:.0f} ms after its start."
            )
            print(f"{len(TEXTS)} texts go into its drop folder ...")
        results = [*_drop(daemon.client, keep), _stream(daemon.client)]
    is_good = all(not result.error for result in results)
    if options.json:
        print_json(
            {
                "version": version,
                "start_ms": round(daemon.start_ms, 1),
                "folder": str(keep),
                "results": [result._asdict() for result in results],
            }
        )
    else:
        print_lines(["", *result_table(results), "", f"The sound lies in {keep}"])
        for result in results:
            if result.error:
                print(f"voiced: {result.name}: {result.error}", file=sys.stderr)
    return Exit.OK if is_good else Exit.FAILED


def result_table(results: list[Result]) -> list[str]:
    """Return the results as a table."""
    return table(
        ("TEXT", "AUDIO", "RTF", "FIRST AUDIO", "FILE"),
        [
            (
                result.name,
                span(result.audio_s),
                "-" if result.rtf is None else f"{result.rtf:.4f}",
                "-" if result.first_audio_ms is None else f"{result.first_audio_ms:.1f} ms",
                "FAILED" if result.error else result.file or "(stream)",
            )
            for result in results
        ],
    )


@contextlib.contextmanager
def private_daemon() -> Iterator[Private]:
    """Return a daemon that shares nothing with the user's; it ends, and its folder goes, with the context."""
    with tempfile.TemporaryDirectory(prefix="voiced-") as folder:
        root = Path(folder)
        endpoint = Endpoint(root / "run")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VOICED_")}
        environ |= {"VOICED_ROOT": str(root / "root"), "VOICED_ENDPOINT": str(endpoint.folder)}
        begun = time.monotonic()
        process = spawn_daemon(root / "start.log", environ)
        try:
            await_listening(_START_TIMEOUT_S, process, root / "start.log", endpoint.speech)
            with Client(endpoint) as client:
                client.status()
                yield Private(root, process, client, (time.monotonic() - begun) * 1000)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask, then insist."""
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _drop(client: Client, keep: Path) -> list[Result]:
    drop = Path(client.status().drop_folder.path)
    for name, text in TEXTS.items():
        part = drop / f".{name}.part"
        part.write_text(text, encoding="utf-8")
        part.rename(drop / name)
    jobs = _await_jobs(client)
    return [_result(job, keep) for job in follow(client, jobs)]


def _await_jobs(client: Client) -> dict[str, str]:
    """Return the jobs of the dropped texts, id to name, when the daemon has taken them all."""
    end = time.monotonic() + _TAKEN_TIMEOUT_S
    while True:
        jobs = {job.job_id: job.name for job in client.jobs()}
        if len(jobs) >= len(TEXTS):
            return jobs
        if time.monotonic() >= end:
            status = client.status()
            raise CommandFailed(
                f"the drop folder took {len(jobs)} of {len(TEXTS)} texts within {_TAKEN_TIMEOUT_S:g} s "
                f"{status.drop_folder.detail} {' '.join(status.problems)}".rstrip()
            )
        time.sleep(_LOOK_S)


def _result(job: m.JobInfo, keep: Path) -> Result:
    result = Result(job.name, "", job.audio_s, job.rtf, job.first_audio_ms)
    if job.state is not m.JobState.DONE:
        return result._replace(error=job.error or job.state.value)
    source = Path(job.path)
    target = keep / source.name
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        return result._replace(error=f"{source}: {error.strerror}")
    return result._replace(file=str(target), error=_fault(target, job.audio_s))


def _fault(file: Path, audio_s: float) -> str:
    """Return what is wrong with a WAV file; nothing where it has the length that the daemon tells."""
    import wave

    try:
        with wave.open(str(file), "rb") as sound:
            length_s = sound.getnframes() / sound.getframerate()
    except (wave.Error, EOFError) as error:
        return f"{file} is no sound file: {error}"
    if length_s == 0 or abs(length_s - audio_s) > 0.01:
        return f"{file} has {length_s:.2f} s of audio, not {audio_s:.2f} s"
    return ""


def _stream(client: Client) -> Result:
    begun = time.monotonic()
    first_ms: float | None = None
    audio_bytes = 0
    with client.speak(_STREAM_TEXT, language="en") as stream:
        for pcm in stream:
            if first_ms is None:
                first_ms = (time.monotonic() - begun) * 1000
            audio_bytes += len(pcm)
        work_s = time.monotonic() - begun
        audio_s = audio_bytes / 2 / stream.accepted.sample_rate_hz
    error = "" if audio_bytes else "no audio came"
    return Result("say", "", audio_s, work_s / audio_s if audio_s else None, first_ms, error)


def _interrupt(number: int, frame: object) -> None:
    """SIGTERM leaves as tidily as Ctrl+C."""
    raise SystemExit(128 + number)


PARTS = {
    "demo": Part(
        _declare,
        _run,
        ("voiced demo", "voiced demo --keep /tmp/sound", "voiced demo --json"),
        "Starts a daemon in a temporary folder, makes files of a few texts, streams a sentence, and stops it again.\n"
        "Your settings and your running daemon are not touched; no audio device is needed.",
    )
}
