"""Every error ends with its own code and one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run, Voiced
from tests.daemon.cli.standin import StandIn
from tests.told import told_job
from voiced import exit_codes
from voiced.cli.exits import CommandFailed, Exit, exit_for
from voiced.errors import AlreadyRunning, ConfigError, UnsafeFolder
from voiced_ipc import errors as e
from voiced_ipc import messages as m

CODES = {
    e.ErrorCode.VOICED_ERROR: 1,
    e.ErrorCode.DAEMON_UNAVAILABLE: 69,
    e.ErrorCode.REQUEST_TIMEOUT: 75,
    e.ErrorCode.PROTOCOL_ERROR: 76,
    e.ErrorCode.MALFORMED_MESSAGE: 76,
    e.ErrorCode.UNKNOWN_MESSAGE: 76,
    e.ErrorCode.VERSION_MISMATCH: 76,
    e.ErrorCode.NOT_SERVED: 76,
    e.ErrorCode.REQUEST_REJECTED: 65,
    e.ErrorCode.INVALID_REQUEST: 65,
    e.ErrorCode.ID_REUSED: 65,
    e.ErrorCode.UNKNOWN_MODEL: 65,
    e.ErrorCode.MODEL_MISSING: 65,
    e.ErrorCode.REFERENCE_REFUSED: 65,
    e.ErrorCode.MODEL_DAMAGED: 65,
    e.ErrorCode.UNKNOWN_VOICE: 65,
    e.ErrorCode.UNKNOWN_LANGUAGE: 65,
    e.ErrorCode.DOCUMENT_REFUSED: 65,
    e.ErrorCode.DEVICE_UNAVAILABLE: 65,
    e.ErrorCode.QUEUE_FULL: 75,
    e.ErrorCode.JOB_NOT_FOUND: 65,
    e.ErrorCode.SHUTTING_DOWN: 75,
    e.ErrorCode.SYNTHESIS_FAILED: 1,
    e.ErrorCode.ENGINE_LOAD_FAILED: 1,
    e.ErrorCode.ENGINE_CRASHED: 1,
    e.ErrorCode.DEVICE_OUT_OF_MEMORY: 1,
    e.ErrorCode.STORAGE_FAILED: 74,
    e.ErrorCode.STREAM_STALLED: 1,
    e.ErrorCode.INTERNAL_ERROR: 70,
    e.ErrorCode.JOB_CANCELLED: 1,
}


def test_every_error_of_the_wire_has_its_code() -> None:
    assert set(CODES) >= set(e.ErrorCode)
    for code, cls in e.ERROR_CLASSES.items():
        assert exit_for(cls("x")) == CODES[code], code


def test_the_daemons_own_errors() -> None:
    assert exit_for(ConfigError("x")) == Exit.CONFIG
    assert exit_for(AlreadyRunning("x")) == Exit.ALREADY_RUNNING == exit_codes.EXIT_ALREADY_RUNNING
    assert exit_for(UnsafeFolder("x")) == Exit.CONFIG == exit_codes.EXIT_CANNOT_START
    assert exit_for(CommandFailed("x", Exit.NO_INPUT)) == Exit.NO_INPUT


@pytest.mark.parametrize(
    "code", [e.ErrorCode.UNKNOWN_VOICE, e.ErrorCode.QUEUE_FULL, e.ErrorCode.INTERNAL_ERROR]
)
def test_what_the_daemon_answers_is_told_in_one_sentence(
    run: Run, daemon: StandIn, code: e.ErrorCode
) -> None:
    daemon.answers[m.GetStatus] = standin.refuse(code, "that went wrong; do this")
    ran = run("status")
    assert (ran.code, ran.out, ran.err) == (CODES[code], "", "voiced: that went wrong; do this\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--json"],
        ["jobs"],
        ["job", "abc"],
        ["cancel", "abc"],
        ["device"],
        ["stop"],
        ["reload"],
        ["say", "--no-start", "hi"],
        ["drop", "--no-start", __file__],
        ["voices", "--no-start"],
        ["models", "--no-start"],
        ["lock", "cpu", "--no-start"],
        ["pause", "--no-start"],
        ["resume", "--no-start"],
        ["retry", "--no-start", "--all"],
    ],
)
def test_without_a_daemon_it_is_69(run: Run, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.code == Exit.UNAVAILABLE
    assert "no daemon runs" in ran.err
    assert "voiced run" in ran.err
    assert ran.out == ""


def test_the_environment_forbids_a_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICED_NO_START", "1")
    assert run("say", "hi").code == Exit.UNAVAILABLE


def test_a_fault_of_ours_has_no_traceback_unless_asked_for(
    run: Run, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voiced.cli.status.status_page", lambda *_: 1 / 0)
    ran = run("status")
    assert ran.code == Exit.SOFTWARE
    assert "ZeroDivisionError" in ran.err
    assert "Traceback" not in ran.err
    monkeypatch.setenv("VOICED_DEBUG", "1")
    assert "Traceback" in run("status").err


@pytest.mark.process
def test_a_reader_that_goes_away_is_no_error(daemon: StandIn) -> None:
    names = "x" * 120
    jobs = [told_job(f"{n:032x}", name=names) for n in range(200)]
    daemon.answers |= standin.jobs_of(*jobs)
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "voiced", "jobs", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output_is_told(daemon: StandIn, voiced: Voiced, unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    environ = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = voiced("status", capture_output=False, stdout=full, stderr=subprocess.PIPE, env=environ)
    assert done.returncode == Exit.INPUT_OUTPUT
    assert done.stderr.startswith(b"voiced: ")
    assert b"No space left" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_names_are_printed_whatever_the_terminal_can_show(daemon: StandIn, voiced: Voiced) -> None:
    daemon.answers |= standin.jobs_of(told_job("a" * 32, name="书\x1b[31m.txt"))
    environ = os.environ | {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = voiced("jobs", env=environ)
    assert done.returncode == 0
    assert b"\\u4e66" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.process
def test_status_imports_little(daemon: StandIn) -> None:
    code = (
        "import sys; from voiced.cli.dispatch import dispatch; assert dispatch(['status']) == 0;"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    loaded = set(done.stderr.split())
    heavy = {
        "asyncio",
        "rich",
        "subprocess",
        "tempfile",
        "logging",
        "numpy",
        "sqlite3",
        "tomllib",
        "typing_extensions",
    }
    assert not heavy & loaded
    allowed = {"voiced", "voiced.errors", "voiced.cli"}
    assert {name for name in loaded if name.startswith("voiced.")} <= allowed | {
        f"voiced.cli.{name}"
        for name in ("dispatch", "commands", "exits", "part", "status", "connect", "output", "text")
    }
