"""Commands that read: JSON under the schema's names, and pages."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run
from tests.daemon.cli.standin import StandIn
from tests.told import told_job
from voiced.cli.exits import Exit
from voiced.cli.jobs import jobs_page
from voiced_ipc import messages as m

ID = "3f2a" + "0" * 28
OTHER = "3f77" + "0" * 28


def _names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(struct)} - {"request_id"}


def _json(run: Run, *arguments: str) -> Any:
    ran = run(*arguments)
    assert ran.code == Exit.OK, ran.err
    return json.loads(ran.out)


def test_status_as_json_is_the_schema(run: Run, daemon: StandIn) -> None:
    document = _json(run, "status", "--json")
    assert set(document) == _names(m.Status)
    assert set(document["system_info"]) == _names(m.HardwareInfo)
    assert document["status"] == "ok"


def test_lists_as_json(run: Run, daemon: StandIn) -> None:
    daemon.answers |= standin.jobs_of(told_job(ID))
    assert set(_json(run, "jobs", "--json")["jobs"][0]) == _names(m.JobInfo)
    assert set(_json(run, "job", ID, "--json")) == _names(m.JobInfo)
    assert set(_json(run, "voices", "--json")["voices"][0]) == _names(m.VoiceInfo)
    assert set(_json(run, "models", "--json")["models"][0]) == _names(m.ModelInfo)
    explained = _json(run, "device", "why", "--json")
    assert set(explained) == _names(m.DeviceExplanation) | {"device"}
    assert set(explained["decisions"][0]) == _names(m.DecisionInfo)


def test_the_status_page(run: Run, daemon: StandIn) -> None:
    daemon.answers[m.GetStatus] = standin.statuses(
        problems=["voiced.toml: device: 'x' cannot be used"],
        jobs=[told_job(ID, name=f"{n}.txt") for n in range(13)],
        lock=m.LockInfo(device="cpu", until="2026-01-02T05:00:00Z"),
        drop_folder=m.DropFolderInfo(
            path="/d", is_watched=False, is_paused=True, waiting=2, reading=["big.epub"], detail="it is gone"
        ),
        load=None,
        is_paused=True,
    )
    out = run("status").out
    for words in (
        "paused",
        "up 1:02:03",
        "! voiced.toml: device: 'x' cannot be used",
        "lock cpu until 2026-01-02T05:00:00Z",
        "not watched: it is gone",
        "paused: `voiced resume --drop` goes on",
        "2 files waiting",
        "reading big.epub",
        "not yet measured",
        "3f2a0000",
        "... and 3 more",
    ):
        assert words in out
    assert "voiced restart" not in out


def test_an_older_daemon_is_told(run: Run, daemon: StandIn) -> None:
    daemon.answers[m.GetStatus] = standin.statuses(version="0.0.1")
    assert "daemon 0.0.1, installed" in run("status").out
    assert "voiced restart" in run("version").out
    assert _json(run, "version", "--json")["daemon"] == "0.0.1"


def test_gpus_are_shown(run: Run, daemon: StandIn) -> None:
    gpus = [
        m.GpuSample(
            index=0, name="A", utilisation_fraction=0.5, memory_used_bytes=1 << 30, memory_total_bytes=8 << 30
        ),
        m.GpuSample(index=1, name="B", is_asleep=True),
        m.GpuSample(index=2, name="C"),
    ]
    measured = standin.status().load
    assert measured is not None
    load = msgspec.structs.replace(measured, gpus=gpus, is_throttled=True)
    daemon.answers[m.GetStatus] = standin.statuses(load=load)
    out = run("device").out
    assert "GPU 0 50 %, 1.0 GiB of 8.0 GiB" in out
    assert "GPU 1 asleep" in out
    assert "GPU 2 -, -" in out
    assert "throttled" in out


def test_why(run: Run, daemon: StandIn) -> None:
    out = run("device", "why").out
    assert "there is no GPU" in out
    assert "no-gpu" in out


def test_jobs_filters(run: Run, daemon: StandIn) -> None:
    daemon.answers |= standin.jobs_of(
        told_job(ID, state=m.JobState.FAILED, error="disk full"), told_job(OTHER)
    )
    assert len(_json(run, "jobs", "--json", "--state", "failed")["jobs"]) == 1
    assert len(_json(run, "jobs", "--json", "--state", "failed", "--state", "running")["jobs"]) == 2
    assert len(_json(run, "jobs", "--json", "--limit", "1")["jobs"]) == 1
    assert "no jobs" in run("jobs", "--state", "done").out
    assert "disk full" in run("job", "3f2a").out


def test_ids_may_be_shortened(run: Run, daemon: StandIn) -> None:
    daemon.answers |= standin.jobs_of(told_job(ID), told_job(OTHER))
    assert _json(run, "job", "3f2", "--json")["job_id"] == ID
    assert _json(run, "job", OTHER, "--json")["job_id"] == OTHER
    ran = run("job", "3f")
    assert ran.code == Exit.DATA
    assert ID in ran.err
    assert OTHER in ran.err
    for missing in ("77", "9" * 32):
        ran = run("job", missing)
        assert ran.code == Exit.DATA
        assert "voiced jobs" in ran.err


def test_filters_of_voices_reach_the_daemon(run: Run, daemon: StandIn) -> None:
    run("voices", "--language", "en", "--model", "espeak")
    request = daemon.of(m.ListVoices)[0]
    assert (request.language, request.model) == ("en", "espeak")


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments", [["status", "--watch"], ["jobs", "--watch"], ["status", "--watch", "--json"]]
)
def test_watching_ends_quietly_with_ctrl_c(daemon: StandIn, arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 65536)
    assert first
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    if "--json" in arguments:
        json.loads((first + out).splitlines()[0])


def test_files_that_are_read_stand_above_the_jobs() -> None:
    assert jobs_page([], []) == ["no jobs"]
    assert jobs_page([], ["big.epub"]) == ["reading big.epub: a job in a moment"]
    lines = jobs_page([told_job("1")], ["big\x1b.epub"])
    assert lines[0] == "reading big\ufffd.epub: a job in a moment"
    assert len(lines) == 3
