"""`voiced drop`: documents in, results out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run, Voiced
from tests.daemon.cli.standin import StandIn
from tests.told import told_job
from voiced.cli.exits import Exit
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode


@pytest.fixture
def incoming(user: Path, daemon: StandIn) -> Path:
    """A daemon that takes documents, and finishes each at the second look."""
    folder = user / "incoming"
    folder.mkdir()
    looks: dict[str, int] = {}
    names: dict[str, str] = {}

    def taken(request: m.Synthesize, payload: bytes) -> standin.Answers:
        names[request.request_id] = request.name
        return [(standin.accepted(request), b"")]

    def look(request: m.GetJob, payload: bytes) -> standin.Answers:
        looks[request.job_id] = looks.get(request.job_id, 0) + 1
        state = m.JobState.DONE if looks[request.job_id] > 1 else m.JobState.RUNNING
        job = told_job(
            request.job_id,
            name=names[request.job_id],
            state=state,
            path=f"/audio/{names[request.job_id]}.wav",
        )
        return [(m.JobReply(request_id=request.request_id, job=job), b"")]

    daemon.answers[m.GetStatus] = standin.statuses(incoming_folder=str(folder))
    daemon.answers[m.Synthesize] = taken
    daemon.answers[m.GetJob] = look
    return folder


@pytest.fixture
def book(user: Path) -> Path:
    file = user / "book.txt"
    file.write_bytes(b"A book.\xff")
    return file


def test_documents_are_copied_and_followed(
    run: Run, daemon: StandIn, incoming: Path, book: Path, user: Path
) -> None:
    other = user / "other.md"
    other.write_text("Another.")
    ran = run(
        "drop",
        str(book),
        str(other),
        "--format",
        "flac",
        "--subtitles",
        "vtt",
        "--priority",
        "batch",
        "--seed",
        "3",
    )
    assert ran.code == Exit.OK, ran.err
    assert "/audio/book.txt.wav  1:02, RTF 0.016" in ran.out
    assert "/audio/other.md.wav" in ran.out
    first, second = daemon.of(m.Synthesize)
    assert (incoming / first.incoming).read_bytes() == b"A book.\xff"
    assert (first.name, first.format, first.subtitles, first.lane, first.seed, first.output) == (
        "book.txt",
        "flac",
        m.Subtitles.VTT,
        m.Lane.BATCH,
        3,
        m.Output.FILE,
    )
    assert second.name == "other.md"
    assert book.exists()


def test_detached_it_prints_ids(run: Run, daemon: StandIn, incoming: Path, book: Path) -> None:
    ran = run("drop", "--detach", str(book))
    assert ran.out.strip() == daemon.of(m.Synthesize)[0].request_id
    assert not daemon.of(m.GetJob)
    document = json.loads(run("drop", "--detach", "--json", str(book)).out)
    assert document["jobs"][0]["name"] == "book.txt"
    assert {"job_id", "original_chars", "is_truncated"} <= set(document["jobs"][0])


def test_results_as_json(run: Run, daemon: StandIn, incoming: Path, book: Path) -> None:
    document = json.loads(run("drop", "--json", str(book)).out)
    assert document["jobs"][0]["state"] == "done"


def test_standard_input(voiced: Voiced, daemon: StandIn, incoming: Path) -> None:
    assert voiced("drop", "-", input=b"from a pipe").returncode == 0
    assert voiced("drop", "--name", "paper.txt", "-", input=b"again").returncode == 0
    first, second = daemon.of(m.Synthesize)
    assert (first.name, second.name) == ("stdin.txt", "paper.txt")
    assert (incoming / first.incoming).read_bytes() == b"from a pipe"


def test_a_failed_job_is_1_and_tells_how_to_go_on(
    run: Run, daemon: StandIn, incoming: Path, book: Path
) -> None:
    def failed(request: m.GetJob, payload: bytes) -> standin.Answers:
        job = told_job(request.job_id, state=m.JobState.FAILED, error="the disk is full")
        return [(m.JobReply(request_id=request.request_id, job=job), b"")]

    daemon.answers[m.GetJob] = failed
    ran = run("drop", str(book))
    assert ran.code == Exit.FAILED
    assert "the disk is full" in ran.err
    assert "voiced retry" in ran.err


def test_a_refused_document_does_not_stop_the_others(
    run: Run, daemon: StandIn, incoming: Path, book: Path, user: Path
) -> None:
    pdf = user / "x.pdf"
    pdf.write_bytes(b"%PDF")
    taken = daemon.answers[m.Synthesize]
    no = standin.refuse(ErrorCode.DOCUMENT_REFUSED, "PDF is not read")
    daemon.answers[m.Synthesize] = lambda request, payload: (no if request.name == "x.pdf" else taken)(
        request, payload
    )
    ran = run("drop", str(pdf), str(book))
    assert ran.code == Exit.DATA
    assert "x.pdf: PDF is not read" in ran.err
    assert "book.txt.wav" in ran.out


def test_a_full_queue_ends_it(run: Run, daemon: StandIn, incoming: Path, book: Path) -> None:
    daemon.answers[m.Synthesize] = standin.refuse(ErrorCode.QUEUE_FULL, "512 jobs wait: try again later")
    ran = run("drop", str(book), str(book))
    assert ran.code == Exit.BUSY
    assert len(daemon.of(m.Synthesize)) == 1


@pytest.mark.parametrize(("name", "code"), [("none.txt", Exit.NO_INPUT), (".", Exit.DATA)])
def test_what_is_no_file_is_told_before_anything_is_sent(
    run: Run, daemon: StandIn, incoming: Path, book: Path, user: Path, name: str, code: Exit
) -> None:
    ran = run("drop", str(book), str(user / name))
    assert ran.code == code
    assert not daemon.of(m.Synthesize)


def test_one_name_is_for_one_document(run: Run, book: Path) -> None:
    assert run("drop", "--name", "x", str(book), str(book)).code == Exit.USAGE


@pytest.mark.process
def test_ctrl_c_leaves_the_jobs_alone(daemon: StandIn, incoming: Path, book: Path) -> None:
    daemon.answers[m.GetJob] = lambda request, payload: [
        (m.JobReply(request_id=request.request_id, job=told_job(request.job_id)), b"")
    ]
    process = subprocess.Popen([sys.executable, "-m", "voiced", "drop", str(book)], stderr=subprocess.PIPE)
    daemon.await_request(m.GetJob)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    assert b"the jobs go on" in errors
    assert not daemon.of(m.Cancel)


@pytest.mark.process
def test_ctrl_c_cancels_what_is_not_taken_yet(daemon: StandIn, incoming: Path, book: Path) -> None:
    taken = daemon.answers[m.Synthesize]

    def first_only(request: m.Synthesize, payload: bytes) -> standin.Answers:
        return taken(request, payload) if len(daemon.of(m.Synthesize)) == 1 else []

    daemon.answers[m.Synthesize] = first_only
    command = [sys.executable, "-m", "voiced", "drop", str(book), str(book)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    with daemon.arrived:
        assert daemon.arrived.wait_for(lambda: len(daemon.of(m.Synthesize)) == 2, 10)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == Exit.INTERRUPTED
    first, second = daemon.of(m.Synthesize)
    assert [cancel.job_id for cancel in daemon.of(m.Cancel)] == [second.request_id]
    assert b"book.txt: cancelled before it was taken" in errors
    assert f"the jobs go on: {first.request_id};".encode() in errors


@pytest.mark.process
def test_a_terminal_gets_a_bar(daemon: StandIn, incoming: Path, book: Path) -> None:
    import pty

    here, there = pty.openpty()
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", "drop", str(book)], stdout=subprocess.PIPE, stderr=there, env=environ
    )
    os.close(there)
    shown = b""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            shown += os.read(here, 4096)
        except OSError:  # the other end is closed
            break
    os.close(here)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"book.txt" in shown
    assert out.startswith(b"/audio/book.txt.wav")
