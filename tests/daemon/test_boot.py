"""Everything until READY, in processes of their own: boot changes the umask, the signal mask and the log."""

import json
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support import Home
from voiced.boot import DESCRIPTORS_WANTED

pytestmark = pytest.mark.process


_PROGRAM = """
    import json, os, signal, sys
    from voiced.boot import STOP_SIGNALS, boot
    from voiced_ipc.errors import VoicedError
    {before}
    os.umask(0o022)
    try:
        booted = boot(json.loads(sys.argv[1]))
    except (VoicedError, OSError) as error:
        print(json.dumps({{"error": type(error).__name__, "message": str(error)}}))
        raise SystemExit
    told = {{
        "umask": os.umask(0),
        "file_mode": booted.file_mode,
        "descriptors": booted.descriptors,
        "blocked": sorted(set(signal.pthread_sigmask(signal.SIG_BLOCK, ())) & set(STOP_SIGNALS)),
        "heavy": sorted({{"asyncio", "numpy", "watchdog", "psutil", "torch"}} & set(sys.modules)),
        "problems": [str(problem) for problem in booted.problems],
        "database_problem": booted.database_problem,
        "model": booted.config.model,
        "modes": [oct(folder.stat().st_mode & 0o777) for folder in
                  (booted.paths.state, booted.paths.spool, booted.paths.incoming)],
    }}
    {after}
    for listener in booted.listeners:
        listener.close()
    booted.lock.release()
    print(json.dumps(told))
"""


def booted(
    home: Home, overrides: dict[str, object] | None = None, before: str = "", after: str = ""
) -> dict[str, object]:
    program = textwrap.dedent(_PROGRAM).format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(overrides or {})],
        env=home.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_a_daemon_is_ready_with_little_imported(home: Home) -> None:
    told = booted(home)
    assert told["heavy"] == []
    assert told["umask"] == 0o077
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert told["descriptors"] in range(soft, max(soft, DESCRIPTORS_WANTED) + 1)
    assert told["file_mode"] == 0o644
    assert told["blocked"] == sorted((1, 2, 15))
    assert told["modes"] == ["0o700"] * 3
    assert told["problems"] == []
    assert told["database_problem"] == ""


def test_settings_and_their_problems(home: Home) -> None:
    told = booted(home, {"model": "tone", "speed": 99})
    assert told["model"] == "tone"
    assert len(str(told["problems"]).split("command line")) == 2


def test_a_folder_of_ours_that_is_open_is_closed(home: Home) -> None:
    home.paths.spool.mkdir(parents=True)
    home.paths.spool.chmod(0o775)
    assert booted(home)["modes"] == ["0o700"] * 3


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_into_which_everybody_may_have_put_something_is_refused(home: Home, mode: int) -> None:
    home.paths.incoming.mkdir(parents=True)
    home.paths.incoming.chmod(mode)
    told = booted(home)
    assert told["error"] == "UnsafeFolder"
    assert f"chmod 700 {home.paths.incoming}" in str(told["message"])
    assert home.paths.incoming.stat().st_mode & 0o7777 == mode


def test_a_state_folder_that_everybody_could_replace_is_refused(home: Home) -> None:
    home.root.chmod(0o777)
    told = booted(home)
    assert told["error"] == "UnsafeFolder"
    assert f"chmod o-w {home.root}" in str(told["message"])


def test_a_second_daemon_touches_nothing(home: Home) -> None:
    second = "import subprocess; told['second'] = json.loads(subprocess.run([sys.executable, '-c', "
    second += (
        "'import json, os\\nfrom voiced.boot import boot\\ntry:\\n    boot({})\\nexcept Exception as e:\\n"
    )
    second += "    print(json.dumps(type(e).__name__))'], capture_output=True, text=True).stdout)\n    "
    second += "told['still'] = os.path.exists(os.environ['VOICED_ENDPOINT'] + '/voiced.sock')"
    told = booted(home, after=second.replace("\n    ", "\n"))
    assert told["second"] == "AlreadyRunning"
    assert told["still"] is True


@pytest.mark.parametrize(
    ("what", "error"), [("link", "UnsafeFolder"), ("file", "FileExistsError"), ("sockets", "UnsafeFolder")]
)
def test_an_unsafe_place_is_refused_and_the_lock_let_go(home: Home, what: str, error: str) -> None:
    real = home.root / "real"
    real.mkdir(mode=0o700)
    blocking: Path = home.paths.spool
    if what == "sockets":
        blocking = home.endpoint.folder
        blocking.mkdir(mode=0o755)
        blocking.chmod(0o755)
    else:
        blocking.parent.mkdir(parents=True)
        if what == "link":
            blocking.symlink_to(real)
        else:
            blocking.write_text("")
    assert booted(home)["error"] == error
    if what == "sockets":
        blocking.chmod(0o700)
    else:
        blocking.unlink()
    assert "error" not in booted(home)


def test_a_store_that_cannot_be_opened_stops_the_start(home: Home) -> None:
    home.paths.database.mkdir(parents=True)
    told = booted(home)
    assert told["error"] == "StorageFailed"
    assert "jobs.sqlite" in str(told["message"])
    assert not home.endpoint.speech.exists()


def test_a_damaged_store_is_told_and_set_aside(home: Home) -> None:
    home.paths.state.mkdir(parents=True)
    home.paths.database.write_bytes(b"no database " * 400)
    assert "damaged-1" in str(booted(home)["database_problem"])


def test_an_endpoint_that_is_too_long(home: Home) -> None:
    long = Home(home.root / ("x" * 120))
    assert booted(long)["error"] == "DaemonUnavailable"
