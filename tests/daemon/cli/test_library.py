"""`voiced import`, `rm` and `models`: as processes and against a stand-in of the daemon."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daemon.cli import standin
from tests.daemon.cli.conftest import Run, Voiced
from tests.daemon.cli.standin import StandIn
from tests.daemon.models.published import PIPER, VOICE, leftovers, make_piper, need_torch, spec_of
from tests.support import wait_for
from voiced.cli.exits import Exit
from voiced.cli.models import models_page, unloads_text
from voiced.models.catalogue import CATALOGUE
from voiced.models.library import Library
from voiced.paths import find_paths
from voiced_ipc import messages as m
from voiced_ipc.errors import ErrorCode

pytestmark = pytest.mark.process


@pytest.fixture
def folder(user: Path) -> Path:
    return make_piper(user / "voice")


@pytest.fixture
def library(user: Path) -> Library:
    return Library(find_paths().models)


def make_mms(folder: Path) -> Path:
    """As far as the licence is asked about."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.json"):
        (folder / name).write_text("{}")
    return folder


# -- import -------------------------------------------------------------------------------------------


def test_import_needs_no_daemon(voiced: Voiced, folder: Path, library: Library) -> None:
    done = voiced("import", PIPER, str(folder))
    assert done.returncode == Exit.OK, done.stderr
    assert f"{PIPER} is installed: 3 files" in done.stdout.decode()
    assert "voiced engine install piper" in done.stdout.decode()
    assert library.check(PIPER, deep=True)
    for path in [library.folder, *library.folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0


def test_import_as_json(run: Run, folder: Path, library: Library) -> None:
    ran = run("import", PIPER, str(folder), "--json")
    assert ran.code == Exit.OK, ran.err
    document = json.loads(ran.out)
    installed = library.check(PIPER)
    assert (document["model"], document["files"], document["source"]) == (PIPER, 3, "import")
    assert (document["folder"], document["size_bytes"]) == (str(installed.folder), installed.size_bytes)


def test_a_terminal_sees_a_bar(folder: Path, library: Library) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", "import", PIPER, str(folder)],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while data := terminal.read(65536):
                shown += data
        except OSError:  # the other end is closed
            pass
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, shown
    assert b"is installed" in out
    assert b"installing piper" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense", "."], "voiced models --all"),
        (["espeak", "."], "comes with voiced"),
        (["kokoro", "/nowhere"], "is no folder"),
        (["kokoro", "."], "has no"),
    ],
)
def test_what_cannot_be_imported(run: Run, library: Library, arguments: list[str], words: str) -> None:
    ran = run("import", *arguments)
    assert ran.code == Exit.DATA
    assert words in ran.err.splitlines()[-1]
    assert library.installed() == []


def test_a_noncommercial_licence_must_be_accepted(
    run: Run, voiced: Voiced, user: Path, library: Library
) -> None:
    folder = make_mms(user / "mms")
    done = voiced("import", "mms:deu", str(folder))
    assert done.returncode == Exit.DATA
    assert b"--accept-licence" in done.stderr
    assert b"CC-BY-NC-4.0" in done.stderr
    assert not library.folder.exists()
    # Accepted, it goes on, and these files are none.
    need_torch()
    ran = run("import", "mms:deu", str(folder), "--accept-licence")
    assert "model.safetensors" in ran.err
    assert ran.code != Exit.OK
    assert library.installed() == []


def test_a_newer_one_is_told_to_the_daemon(run: Run, folder: Path, daemon: StandIn) -> None:
    daemon.answers[m.UnloadModel] = standin.done("gone")
    assert run("import", PIPER, str(folder)).code == Exit.OK
    assert daemon.of(m.UnloadModel) == []
    assert run("import", PIPER, str(folder)).code == Exit.OK
    assert [request.model for request in daemon.of(m.UnloadModel)] == [PIPER]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_import_that_is_stopped_leaves_nothing(
    user: Path, library: Library, number: signal.Signals
) -> None:
    folder = make_piper(user / "voice")
    path = user / "path"
    path.mkdir()
    # The child that looks at the files takes its time.
    (path / "sitecustomize.py").write_text(
        "import sys, time\nif 'voiced.child.convert' in sys.orig_argv: time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", "import", PIPER, str(folder)],
        env=dict(os.environ) | {"PYTHONPATH": str(path)},
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    copied = f"{VOICE}.onnx.json"
    wait_for(lambda: list(library.folder.glob(f".staging-*/files/{copied}")), what="the copy")
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert process.returncode == (Exit.INTERRUPTED if number == signal.SIGINT else 128 + number)
    assert leftovers(library) == []
    assert library.installed() == []


# -- rm -----------------------------------------------------------------------------------------------


def test_models_are_removed(run: Run, folder: Path, library: Library, daemon: StandIn) -> None:
    daemon.answers[m.UnloadModel] = standin.done("gone")
    run("import", PIPER, str(folder))
    ran = run("rm", "--yes", PIPER)
    assert ran.code == Exit.OK, ran.err
    assert f"{PIPER} is removed" in ran.out
    assert "are free again" in ran.out
    assert [request.model for request in daemon.of(m.UnloadModel)] == [PIPER]
    assert library.installed() == []
    assert leftovers(library) == []


def test_rm_goes_on_where_the_daemon_does_not(
    run: Run, folder: Path, library: Library, daemon: StandIn
) -> None:
    daemon.answers[m.UnloadModel] = standin.refuse(ErrorCode.UNKNOWN_MODEL, "never heard of it")
    run("import", PIPER, str(folder))
    ran = run("rm", "--yes", PIPER)
    assert ran.code == Exit.OK
    assert "may still be loaded: never heard of it" in ran.err
    assert library.installed() == []


def test_nothing_is_removed_unasked(voiced: Voiced, run: Run, folder: Path, library: Library) -> None:
    run("import", PIPER, str(folder))
    done = voiced("rm", PIPER)
    assert done.returncode == Exit.DATA
    assert b"--yes" in done.stderr
    assert library.find(PIPER)


@pytest.mark.parametrize(("answer", "is_removed"), [(b"y\n", True), (b"\n", False), (b"n\n", False)])
def test_rm_asks_on_a_terminal(
    run: Run, folder: Path, library: Library, answer: bytes, is_removed: bool
) -> None:
    run("import", PIPER, str(folder))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", "rm", PIPER], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE
    )
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, answer)
    process.communicate(timeout=30)
    os.close(ours)
    assert PIPER.encode() in shown
    assert (process.returncode == Exit.OK) is is_removed
    assert (library.find(PIPER) is None) is is_removed


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (["kokoro"], "not installed"),
        (["espeak"], "comes with voiced"),
        (["../../etc"], "no model's id"),
        ([PIPER, "kokoro"], "not installed"),
    ],
)
def test_what_cannot_be_removed(
    run: Run, folder: Path, library: Library, models: list[str], words: str
) -> None:
    run("import", PIPER, str(folder))
    ran = run("rm", "--yes", *models)
    assert ran.code == Exit.DATA
    assert words in ran.err
    assert library.find(PIPER)  # all or nothing


def test_a_damaged_model_can_be_removed(run: Run, folder: Path, library: Library) -> None:
    run("import", PIPER, str(folder))
    (library.folder / PIPER.replace(":", "--") / "voiced.json").write_text("")
    assert run("rm", "--yes", PIPER).code == Exit.OK
    assert library.damaged() == {}


# -- models -------------------------------------------------------------------------------------------


def info(**changes: object) -> m.ModelInfo:
    fields: dict[str, object] = {
        "model": "kokoro",
        "engine": "kokoro",
        "state": m.ModelState.LOADED,
        "device": "cuda:0",
        "licence": "Apache-2.0",
        "sample_rate_hz": 24000,
        "workers": 1,
        "rss_bytes": 700 << 20,
        "installed_bytes": 327 << 20,
        "needs_bytes": 2 << 30,
        "unloads_in_s": 187.0,
    }
    return m.ModelInfo(**(fields | changes))  # type: ignore[arg-type]


def test_the_page_of_models() -> None:
    models = [
        info(),
        info(
            model="mms:deu",
            state=m.ModelState.AVAILABLE,
            device="",
            workers=0,
            rss_bytes=0,
            unloads_in_s=None,
        ),
        info(
            model="bad",
            state=m.ModelState.BROKEN,
            detail="it crashed",
            is_noncommercial=True,
            unloads_in_s=None,
        ),
        info(model="pinned", unloads_in_s=None),
    ]
    header, *rows = models_page(models)
    assert header.split("  ")[0] == "MODEL"
    for words in ("loaded on cuda:0", "327 MiB", "2.0 GiB", "3:07", "Apache-2.0"):
        assert words in rows[0]
    assert "available" in rows[1]
    assert "it crashed" in rows[2]
    assert "Apache-2.0 (non-commercial)" in rows[2]
    assert [unloads_text(model) for model in models] == ["3:07", "-", "-", "stays"]
    assert "voiced models --all" in models_page([])[0]


def test_models_that_can_be_installed(run: Run, daemon: StandIn) -> None:
    missing = info(model="chatterbox", state=m.ModelState.MISSING, workers=0, detail="told by the daemon")

    def listed(request: m.ListModels, payload: bytes) -> standin.Answers:
        return [(m.Models(request_id=request.request_id, models=[standin.model(), missing]), b"")]

    daemon.answers[m.ListModels] = listed
    here = run("models").out
    assert "espeak" in here
    assert "chatterbox" not in here
    every = run("models", "--all").out
    for spec in CATALOGUE.values():
        command = f"voiced {'pull' if spec.sources else 'import'} {spec.model}"
        assert (command in every) is not spec.is_embedded
    assert every.count("voiced pull chatterbox") == 1
    assert "told by the daemon" in every
    assert f"{spec_of('openaudio-s1-mini').licence} (non-commercial)" in every
    assert [model["model"] for model in json.loads(run("models", "--json").out)["models"]] == ["espeak"]
    document = json.loads(run("models", "--all", "--json").out)["models"]
    assert {model["model"] for model in document} == CATALOGUE.keys() - {"tone"}
    assert {model["state"] for model in document} == {"loaded", "missing"}
