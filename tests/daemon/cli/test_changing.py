"""Commands that change the daemon."""

import subprocess
import sys

import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run, Voiced
from tests.daemon.cli.standin import StandIn
from tests.told import told_job
from voiced.cli.exits import Exit
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode

ID = "3f2a" + "0" * 28
OTHER = "77b0" + "0" * 28


@pytest.mark.parametrize(("command", "kind"), [("pause", m.Pause), ("resume", m.Resume)])
def test_holding_the_daemon_and_jobs(run: Run, daemon: StandIn, command: str, kind: type[m.Request]) -> None:
    daemon.answers |= standin.jobs_of(told_job(ID), told_job(OTHER))
    assert run(command).code == Exit.OK
    assert run(command, "3f", "77").code == Exit.OK
    assert [request.job_id for request in daemon.of(kind)] == [None, ID, OTHER]


@pytest.mark.parametrize(("command", "kind"), [("pause", m.Pause), ("resume", m.Resume)])
def test_holding_the_drop_folder(run: Run, daemon: StandIn, command: str, kind: type[m.Request]) -> None:
    assert run(command, "--drop").code == Exit.OK
    ran = run(command, "--drop", "3f")
    assert ran.code == Exit.USAGE
    assert "leave the ids out" in ran.err
    assert [(request.job_id, request.is_drop) for request in daemon.of(kind)] == [(None, True)]


@pytest.mark.parametrize(("command", "kind"), [("cancel", m.Cancel), ("retry", m.RetryJob)])
def test_all_takes_those_that_it_concerns(
    run: Run, daemon: StandIn, command: str, kind: type[m.Request]
) -> None:
    daemon.answers |= standin.jobs_of(
        told_job(ID, state=m.JobState.FAILED),
        told_job(OTHER),
        told_job("5" * 32, state=m.JobState.DONE),
    )
    assert run(command, "--all").code == Exit.OK
    assert [request.job_id for request in daemon.of(kind)] == [OTHER if command == "cancel" else ID]


def test_one_refusal_does_not_stop_the_others(run: Run, daemon: StandIn) -> None:
    daemon.answers |= standin.jobs_of(told_job(ID), told_job(OTHER))
    ran = run("cancel", "nope", "77", "3f")
    assert ran.code == Exit.DATA
    assert "'nope'" in ran.err
    assert [request.job_id for request in daemon.of(m.Cancel)] == [OTHER, ID]


@pytest.mark.parametrize(
    ("arguments", "device", "for_s", "pid"),
    [
        (["cpu"], "cpu", None, None),
        (["AUTO"], "auto", None, None),
        (["cuda:1", "--for", "1h30m"], "cuda:1", 5400.0, None),
        (["mps", "--until-pid", "77"], "mps", None, 77),
    ],
)
def test_locks(
    run: Run, daemon: StandIn, arguments: list[str], device: str, for_s: float | None, pid: int | None
) -> None:
    assert run("lock", *arguments).code == Exit.OK
    request = daemon.of(m.SetDeviceLock)[0]
    assert (request.device, request.for_s, request.until_pid) == (device, for_s, pid)


@pytest.mark.process
def test_a_lock_while_a_command_runs(daemon: StandIn) -> None:
    code = "import os, sys; print(os.getpid()); sys.exit(7)"
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", "lock", "cpu", "--while", sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 7  # the command's own
    assert int(out) == process.pid
    assert daemon.of(m.SetDeviceLock)[0].until_pid == process.pid


@pytest.mark.parametrize("command", [["no-such-program-at-all"], []])
def test_no_lock_for_a_command_that_is_not_there(run: Run, daemon: StandIn, command: list[str]) -> None:
    ran = run("lock", "cpu", "--while", *command)
    assert ran.code == Exit.USAGE
    assert "no such program" in ran.err
    assert not daemon.of(m.SetDeviceLock)


def test_models_are_loaded_and_unloaded(run: Run, daemon: StandIn) -> None:
    daemon.answers |= {m.LoadModel: standin.done(), m.UnloadModel: standin.done("gone")}
    assert "espeak is loaded" in run("load", "espeak", "--device", "CPU", "--keep-alive=-1").out
    request = daemon.of(m.LoadModel)[0]
    assert (request.model, request.device, request.keep_alive_s) == ("espeak", "cpu", -1)
    assert run("unload", "--all").out == "gone\n"
    assert run("unload", "a", "b").code == Exit.OK
    assert [request.model for request in daemon.of(m.UnloadModel)] == ["espeak", "a", "b"]
    assert run("unload").code == Exit.USAGE


def test_reload_tells_what_is_wrong_now(run: Run, daemon: StandIn) -> None:
    daemon.answers[m.GetStatus] = standin.statuses(problems=["voiced.toml: speed: 9"])
    ran = run("reload")
    assert ran.code == Exit.OK
    assert "voiced.toml: speed: 9" in ran.out


@pytest.mark.process
def test_stop_waits_for_the_end(run: Run, daemon: StandIn) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    pipe = process.stdin
    daemon.answers[m.GetStatus] = standin.statuses(pid=process.pid)
    ran = run("stop", "--timeout", "0.05")
    assert ran.code == Exit.BUSY
    assert f"pid {process.pid}" in ran.err
    assert run("stop", "--timeout", "0").code == Exit.OK

    def shut(request: m.Shutdown, payload: bytes) -> standin.Answers:
        pipe.close()
        process.wait()
        return standin.done()(request, payload)

    daemon.answers[m.Shutdown] = shut
    assert run("stop").code == Exit.OK
    assert process.returncode is not None
    assert not daemon.of(m.Shutdown)[-1].restart


def test_a_refused_stop(run: Run, daemon: StandIn) -> None:
    daemon.answers[m.Shutdown] = standin.refuse(ErrorCode.NOT_SERVED, "not here")
    assert run("stop").code == Exit.PROTOCOL


def test_run_hands_its_settings_on() -> None:
    from voiced.cli.parser import command_parser
    from voiced.cli.run import PARTS, overrides_of

    parser = command_parser("run", PARTS["run"])
    words = ["--device", "CPU", "--set", "keep_alive_s = 60", "--set", "speech.model=espeak", "--foreground"]
    assert overrides_of(parser.parse_args(words)) == {
        "device": "cpu",
        "keep_alive_s": "60",
        "model": "espeak",
    }


def test_the_tray_takes_the_place_of_the_command(voiced: Voiced, tmp_path: object) -> None:
    done = voiced("tray", "--help")
    assert b"usage: voiced tray" not in done.stdout  # whatever comes, comes from the tray itself


def test_config_needs_no_daemon(run: Run, user: object) -> None:
    from voiced.config.keys import KEYS

    out = run("config").out
    for key in KEYS:
        assert f"\n{key} = " in out
    assert "# set" not in out
    assert run("config", "path").out.strip().endswith("voiced.toml")


def test_config_is_toml_and_names_what_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import json
    import tomllib
    from pathlib import Path

    file = Path(run("config", "path").out.strip())
    file.parent.mkdir(parents=True)
    file.write_text('[speech]\nvoice = "a\\\\b\\"c"\nspeed = 99\n[device]\ndevice = "gpu"\n')
    monkeypatch.setenv("VOICED_MODEL", "piper:x")
    ran = run("config")
    assert ran.code == Exit.CONFIG
    assert "speed" in ran.err
    assert "0.25 to 4" in ran.err
    shown = tomllib.loads(ran.out)
    assert shown["speech"]["voice"] == 'a\\b"c'
    assert shown["device"]["device"] == "cpu"
    assert 'model = "piper:x"  # set' in ran.out
    document = json.loads(run("config", "--json").out)
    assert document["config"]["model"] == "piper:x"
    assert {problem["key"] for problem in document["problems"]} == {"speed", "device"}


def test_the_example_is_toml(run: Run) -> None:
    import tomllib

    assert set(tomllib.loads(run("config", "--example").out)) == {"speech", "folders", "device", "daemon"}
