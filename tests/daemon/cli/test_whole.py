"""Commands against the daemon itself: the demo, and a life from the first word to the stop."""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest

from tests.daemon.cli.conftest import Voiced
from tests.daemon.cli.players import is_alive
from voiced.cli.exits import Exit

pytestmark = pytest.mark.process


@pytest.fixture
def temporary(user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo's daemon lives; empty when it has gone."""
    folder = user / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_the_demo(voiced: Voiced, user: Path, temporary: Path) -> None:
    done = voiced("demo", "--json", "--keep", str(user / "kept"), timeout=60)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len(document["results"]) == 4
    for result in document["results"]:
        assert result["error"] == ""
        assert result["audio_s"] > 1
        assert result["rtf"] > 0
        assert result["first_audio_ms"] > 0
        if result["file"]:
            with wave.open(result["file"]) as sound:
                assert sound.getnframes() / sound.getframerate() == pytest.approx(result["audio_s"], abs=0.01)
    assert len(list((user / "kept").iterdir())) == 3
    assert list(temporary.iterdir()) == []
    assert not (user / "root").exists()  # nothing of the user's was touched
    assert not (user / "run").exists()


def test_the_demo_as_people_see_it(voiced: Voiced, user: Path, temporary: Path) -> None:
    done = voiced("demo", cwd=user, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    for words in (
        "FIRST AUDIO",
        "english.txt",
        "deutsch.txt",
        "français.txt",
        "(stream)",
        str(user / "voiced-demo"),
    ):
        assert words in shown


def test_the_demo_ends_cleanly_when_interrupted(user: Path, temporary: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "voiced", "demo", "--keep", str(user / "kept")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"a daemon of its own" in process.stdout.readline()
    pid = int(next(temporary.glob("*/root/state/voiced.lock")).read_text().split()[0])
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (Exit.INTERRUPTED, b"")
    assert list(temporary.iterdir()) == []
    assert not is_alive(pid)


def test_the_demo_fails_when_its_folder_cannot_be_made(voiced: Voiced, user: Path, temporary: Path) -> None:
    (user / "file").write_text("")
    done = voiced("demo", "--keep", str(user / "file" / "below"))
    assert done.returncode == Exit.FAILED
    assert b"--keep" in done.stderr
    assert list(temporary.iterdir()) == []


def test_from_the_first_word_to_the_stop(voiced: Voiced, user: Path) -> None:
    text = user / "a.txt"
    text.write_text("One sentence. Another sentence.")
    try:
        said = voiced("say", "-o", str(user / "a.wav"), "Hello, world.")
        assert said.returncode == 0, said.stderr
        with wave.open(str(user / "a.wav")) as sound:
            assert sound.getnframes() > sound.getframerate() // 4
        dropped = voiced("drop", "--json", str(text))
        job = json.loads(dropped.stdout)["jobs"][0]
        assert Path(job["path"]).stat().st_size > 1000
        assert voiced("job", job["job_id"][:6]).returncode == 0
        before = json.loads(voiced("status", "--json").stdout)["pid"]
        assert voiced("run").returncode == Exit.ALREADY_RUNNING
        assert voiced("say", "--voice", "no-such-voice", "hi").returncode == Exit.DATA
        assert voiced("restart").returncode == 0
        assert json.loads(voiced("status", "--json").stdout)["pid"] != before
        assert json.loads(voiced("job", job["job_id"], "--json").stdout)["state"] == "done"
    finally:
        stopped = voiced("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert voiced("status").returncode == Exit.UNAVAILABLE


def test_a_pause_of_speech_is_ended_by_the_reader(voiced: Voiced, user: Path) -> None:
    """Ctrl+C during a long speech: the daemon's job is cancelled, not left running."""
    try:
        assert voiced("voices").returncode == 0
        long = user / "long.txt"
        long.write_text("This is a sentence of a long text. " * 2000)
        target = user / "long.raw"
        os.mkfifo(target)
        process = subprocess.Popen(
            [sys.executable, "-m", "voiced", "say", "-f", str(long), "-o", str(target)],
            stderr=subprocess.PIPE,
        )
        with target.open("rb") as reader:
            assert reader.read(1000)
            process.send_signal(signal.SIGINT)
            process.wait(30)
        process.communicate()
        assert process.returncode == Exit.INTERRUPTED
        end = time.monotonic() + 10
        while status := json.loads(voiced("status", "--json").stdout)["jobs"]:
            assert time.monotonic() < end, status
    finally:
        voiced("stop")
