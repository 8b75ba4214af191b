"""Overlays installed with the real pip, from wheels made here: whole or not at all."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import voiced
import voiced_ipc
from tests.daemon.child.helpers import children_of
from tests.daemon.models.overlay_box import NOBODY, Box
from tests.support import wait_for
from voiced.errors import LibraryError
from voiced.models.overlay import MANIFEST
from voiced.models.overlay_install import install, remove, room_problem
from voiced.models.overlay_lock import Pin, is_forbidden
from voiced.models.overlay_pip import PipProgress, Program, for_pip, pip_command, pip_trouble

pytestmark = pytest.mark.process


PINS = (Pin("toy", "1.0", "", ("0",)), Pin("far", "2.0", "sys_platform == 'win32'", ("0",)))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture
def silent_index() -> Iterator[socket.socket]:
    """An index that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def import_toy(folder: Path | None) -> str:
    """What `toy` says to a process that has the overlay first on its path."""
    code = "import sys; sys.path[:0] = sys.argv[1:]; import toy; print(toy.SAID)"
    command = [sys.executable, "-P", "-c", code, *([str(folder)] if folder else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def listing(folder: str) -> list[tuple[str, int]]:
    return sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(folder))


# -- what is installed ----------------------------------------------------------------------------------------


def test_an_overlay_is_installed(box: Box) -> None:
    box.family("f", box.toy(), box.wheel("other", "2.0", {"other.py": ""}, "License-Expression: MIT"))
    before = listing(sysconfig.get_path("purelib"))
    steps = box.install("f")
    assert import_toy(box.overlays.path("f")) == "hello"
    info = box.overlays.info("f")
    assert [(package.name, package.version, package.licence) for package in info.packages] == [
        ("other", "2.0", "MIT"),
        ("toy", "1.0", ""),
    ]
    assert info.is_ready
    assert info.disk_bytes > 0
    assert box.left() == ["f"]
    assert (box.folder.stat().st_mode & 0o777, (box.folder / "f").stat().st_mode & 0o777) == (0o700, 0o700)
    # Steps go up to the end.
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert (steps[-1].done, steps[-1].total) == (5, 5)
    # The main environment is as it was, and knows nothing of it.
    assert listing(sysconfig.get_path("purelib")) == before
    assert "No module named 'toy'" in import_toy(None)


def test_the_main_environment_keeps_its_own_version(box: Box) -> None:
    box.family(
        "f", box.wheel("msgspec", "0.0.1", {"msgspec/__init__.py": "SAID = 'overlay'\n"}), adapter="msgspec"
    )
    box.install("f")
    code = "import sys; sys.path[:0] = sys.argv[1:]; import msgspec; print(getattr(msgspec, 'SAID', 'main'))"
    said = [
        subprocess.run(
            [sys.executable, "-c", code, *more], capture_output=True, text=True, check=True
        ).stdout.strip()
        for more in ([], [str(box.overlays.path("f"))])
    ]
    assert said == ["main", "overlay"]


def test_an_overlay_that_fits_is_left_alone(box: Box) -> None:
    box.family("f", box.toy())
    box.install("f")
    before = (box.folder / "f").stat().st_ino
    assert box.install("f") == []
    assert (box.folder / "f").stat().st_ino == before
    assert box.install("f", is_forced=True)
    assert (box.folder / "f").stat().st_ino != before
    assert box.left() == ["f"]


def test_what_no_longer_fits_is_made_anew(box: Box) -> None:
    box.family("f", box.toy())
    box.install("f")
    box.lock("f", box.toy("1.1", said="newer"))
    assert box.install("f")
    assert import_toy(box.overlays.path("f")) == "newer"
    (box.folder / "f" / MANIFEST).write_text("junk")
    assert box.install("f")
    assert import_toy(box.overlays.path("f")) == "newer"


def test_the_adapter_that_was_tried_is_compiled(box: Box) -> None:
    box.family("f", box.toy())
    box.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    box.install("f")
    assert [file.name.partition(".")[0] for file in (box.folder / "f").rglob("*.pyc")] == ["toy"]


def test_only_what_the_family_names_is_compiled(box: Box) -> None:
    source = box.source("toy", "1.0")
    box.family("f", source)
    with pytest.raises(LibraryError, match=r"finds no wheel of toy==1\.0 for this system and Python 3\."):
        box.install("f")
    assert box.left() == ["f.log"]
    box.family("f", source, compiled=("toy",))
    steps = box.install("f")
    assert import_toy(box.overlays.path("f")) == "built"
    assert "compiling toy, which takes minutes" in {step.what for step in steps}
    assert box.left() == ["f"]


# -- what is refused --------------------------------------------------------------------------------------------


def test_another_hash_is_refused_and_the_older_overlay_stays(box: Box) -> None:
    box.family("f", box.toy())
    box.install("f")
    wheel = box.toy("1.1", said="good")
    box.lock("f", wheel)
    box.toy("1.1", said="evil")
    with pytest.raises(
        LibraryError, match=r"toy==1\.1 is not the file that voiced was tested with"
    ) as caught:
        box.install("f", is_forced=True)
    assert box.left() == ["f", "f.log"]
    assert str(box.folder / "f.log") in caught.value.message
    assert "DO NOT MATCH" in (box.folder / "f.log").read_text()
    assert import_toy(box.folder / "f") == "hello"


def test_a_package_that_would_hide_another_is_refused(box: Box) -> None:
    files = ("numpy/__init__.py", "torch.py", "json.py", "voiced/__init__.py", "toy.py")
    box.family("f", box.wheel("toy", "1.0", dict.fromkeys(files, "")))
    with pytest.raises(LibraryError) as caught:
        box.install("f")
    for name in ("json", "numpy", "torch", "voiced"):
        assert f"a module {name!r} would hide another" in caught.value.message
    assert "'toy'" not in caught.value.message
    assert box.left() == []


def test_a_package_of_the_main_environment_is_refused(box: Box) -> None:
    box.family("f", box.wheel("safetensors", "1.0", {"toy.py": ""}))
    with pytest.raises(LibraryError, match="safetensors belongs to the main environment"):
        box.install("f")
    assert box.left() == []


def test_packages_that_do_not_work_are_refused(box: Box) -> None:
    box.family("f", box.wheel("toy", "1.0", {"toy.py": "import nowhere\n"}))
    with pytest.raises(
        LibraryError, match="nothing was installed: ModuleNotFoundError: No module named 'nowhere'"
    ):
        box.install("f")
    assert box.left() == ["f.log"]


def test_an_adapter_may_be_a_function(box: Box) -> None:
    toy = box.wheel("toy", "1.0", {"toy.py": "def start():\n    raise SystemExit('it is broken')\n"})
    box.family("f", toy, adapter="toy:start")
    with pytest.raises(LibraryError, match="nothing was installed: it is broken"):
        box.install("f")
    box.family("f", toy)
    assert box.install("f")


def test_a_package_that_is_nowhere_is_told(box: Box) -> None:
    wheel = box.toy()
    box.family("f", wheel)
    wheel.unlink()
    with pytest.raises(LibraryError, match=r"finds no wheel of toy==1\.0 .*pip config list"):
        box.install("f")


def test_an_index_that_cannot_be_reached_is_told(box: Box) -> None:
    wheel = box.toy()
    box.family("f", wheel)
    wheel.unlink()
    box.environment |= {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": NOBODY, "PIP_RETRIES": "1"}
    with pytest.raises(LibraryError, match="the package index cannot be reached: check the network"):
        box.install("f")


def test_no_compiler_is_told(box: Box, tmp_path: Path) -> None:
    box.family("f", box.source("toy", "1.0"), compiled=("toy",))
    box.environment |= {"PATH": str(tmp_path), "CXX": ""}
    with pytest.raises(LibraryError, match=r"compiles toy here and there is no C\+\+ compiler: install one"):
        box.install("f")
    compiler = tmp_path / "mycxx"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    box.environment["CXX"] = "mycxx -O2"
    assert box.install("f")


def test_too_little_room_is_told(box: Box) -> None:
    box.family("f", box.toy(), disk_bytes=10**18)
    with pytest.raises(LibraryError, match=r"f needs 2000000000000 MB of free disk space .* are free at "):
        box.install("f")
    assert box.left() == []
    assert room_problem("f", 100, 200) == ""
    assert room_problem("f", 100, 199)


def test_torch_comes_first(box: Box) -> None:
    box.family("f", box.toy())
    box.here = box.here._replace(torch="")
    with pytest.raises(LibraryError, match=r"f needs torch first: `pip install 'voiced\[models\]'`"):
        box.install("f")
    box.family("f", box.toy(), needs_torch=False)
    assert box.install("f")


def test_families_that_cannot_be_installed(box: Box) -> None:
    box.family("f", box.toy())
    box.family("main", disk_bytes=0)
    with pytest.raises(LibraryError, match=r"no engine family 'g': there are f$"):
        box.install("g")
    with pytest.raises(LibraryError, match="main has no packages of its own"):
        box.install("main")
    (box.locks / "f.lock").write_text("--index-url https://example.org\n")
    with pytest.raises(LibraryError, match="voiced itself is damaged"):
        box.install("f")


def test_an_environment_without_pip(box: Box, tmp_path: Path) -> None:
    box.family("f", box.toy())
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    ours = tmp_path / "ours"
    ours.mkdir()
    for module in (voiced, voiced_ipc, msgspec):
        assert module.__file__ is not None
        folder = Path(module.__file__).parent
        (ours / folder.name).symlink_to(folder)
    code = (
        "import pathlib, sys; from voiced.models.overlay import *; from voiced.models.overlay_install import install\n"
        "root = pathlib.Path(sys.argv[1]); families = {'f': Family('', 'toy', 1, needs_torch=False)}\n"
        "list(install(Overlays(root / 'engines', families=families, locks=root / 'locks'), 'f', environment={}))"
    )
    done = subprocess.run(
        [bare / "bin" / "python", "-c", code, str(tmp_path)],
        env={"PYTHONPATH": str(ours)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.strip().splitlines()[-1]
    assert f"pip is not in the environment of voiced: `{bare}/bin/python -m ensurepip` brings it" in said


# -- interrupted --------------------------------------------------------------------------------------------------


def _ask_silent_index(box: Box, server: socket.socket) -> None:
    wheel = box.toy()
    box.family("f", wheel)
    wheel.unlink()
    address = f"http://127.0.0.1:{server.getsockname()[1]}"
    box.environment |= {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": address}


def own_children() -> list[int]:
    """The programs that this test has started: fixtures of a session may have some of theirs."""
    return [pid for pid in children_of(os.getpid()) if pid not in BEFORE]


BEFORE: list[int] = []


@pytest.fixture(autouse=True)
def children_before() -> None:
    BEFORE[:] = children_of(os.getpid())


def test_an_interrupted_installation_leaves_nothing(box: Box, silent_index: socket.socket) -> None:
    _ask_silent_index(box, silent_index)
    steps = install(box.overlays, "f", environment=box.environment)
    next(steps)
    with silent_index.accept()[0]:
        assert len(box.left()) == 1
        assert own_children()
        steps.close()
    assert box.left() == []
    assert not own_children()


def test_one_installation_at_a_time(box: Box, silent_index: socket.socket) -> None:
    _ask_silent_index(box, silent_index)
    steps = install(box.overlays, "f", environment=box.environment)
    next(steps)
    for at_work in (lambda: box.install("f"), lambda: remove(box.overlays, "f")):
        with pytest.raises(LibraryError, match=rf"at work \(process {os.getpid()}\)"):
            at_work()
    assert len(box.left()) == 1
    steps.close()


def test_what_a_killed_installation_left_is_swept(box: Box) -> None:
    box.family("f", box.toy())
    box.install("f")
    for name in (".installing-f-x", ".removed-f-y"):
        (box.folder / name / "packages").mkdir(parents=True)
    box.install("f")
    assert box.left() == ["f"]


def test_a_program_that_does_not_want_to_end_is_killed() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("voiced.models.overlay_pip._KILL_S", 0.1)
        with Program([sys.executable, "-c", code], {}) as program:
            assert next(line for line in program.lines() if line) == "up"
            assert own_children()
    assert not own_children()


def test_what_a_program_started_ends_with_it() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with Program([sys.executable, "-c", code], {}) as program:
        grandchild = int(next(line for line in program.lines() if line))
    wait_for(lambda: _is_gone(grandchild), what="the end of what it had started")


def _is_gone(pid: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return True


def _interrupt_while_it_runs() -> None:
    with Program([sys.executable, "-c", "import time; time.sleep(60)"], {}) as program:
        for _ in program.lines():
            signal.raise_signal(signal.SIGINT)


def test_a_program_that_is_interrupted_is_not_waited_for() -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupt_while_it_runs()
    assert not own_children()


# -- removed --------------------------------------------------------------------------------------------------------


def test_an_overlay_is_removed(box: Box) -> None:
    box.family("f", box.toy())
    box.install("f")
    size = box.overlays.info("f").disk_bytes
    assert remove(box.overlays, "f") == size
    assert box.left() == []
    assert remove(box.overlays, "f") == 0
    with pytest.raises(LibraryError, match="no engine family"):
        remove(box.overlays, "g")


# -- pip's words ------------------------------------------------------------------------------------------------------


def test_pip_is_told_to_take_what_the_lock_names_and_no_more() -> None:
    command = pip_command(Path("f.lock"), Path("here"), ("toy",))
    for option in ("--no-deps", "--require-hashes", "--no-input", "--no-compile"):
        assert option in command
    assert command[command.index("--only-binary") + 1] == ":all:"
    assert command[command.index("--no-binary") + 1] == "toy"
    assert not [word for word in command if "index" in word or "://" in word or "find-links" in word]


def test_settings_of_pip_that_would_send_packages_elsewhere_do_not_hold() -> None:
    given = {
        "PIP_TARGET": "x",
        "PIP_PREFIX": "x",
        "PIP_CONSTRAINT": "x",
        "PIP_INDEX_URL": "kept",
        "HOME": "kept",
    }
    made = for_pip(given | {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"})
    assert {name: made.get(name) for name in given} == dict.fromkeys(given) | {
        "PIP_INDEX_URL": "kept",
        "HOME": "kept",
    }
    assert made["PIP_USER"] == made["PIP_REQUIRE_VIRTUALENV"] == "0"


def test_progress_by_the_lines_of_pip() -> None:
    progress = PipProgress(PINS)
    seen = []
    for line in (
        "Looking in links: /nowhere",
        "Collecting toy==1.0 (from -r f.lock (line 1))",
        "  Downloading toy-1.0-py3-none-any.whl (34.1 MB)",
        "Collecting strange==1.0",
        "Ignoring far: markers 'sys_platform == \"win32\"' don't match your environment",
        "Building wheel for Toy (pyproject.toml): started",
        "Installing collected packages: toy",
    ):
        progress.read(line)
        seen.append((progress.done, progress.what))
    assert seen == [
        (0, "asking pip"),
        (0, "fetching toy 1.0"),
        (0, "downloading toy-1.0-py3-none-any.whl (34.1 MB)"),
        (0, "downloading toy-1.0-py3-none-any.whl (34.1 MB)"),
        (1, "downloading toy-1.0-py3-none-any.whl (34.1 MB)"),
        (1, "compiling toy, which takes minutes"),
        (2, "unpacking"),
    ]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "pip said nothing"),
        ("ERROR: something else\n", "something else"),
        ("ERROR: Could not install: [Errno 28] No space left on device\n", "the disk is full"),
        ("error: subprocess\nERROR: Failed building wheel for toy\n", "could not be compiled"),
        (
            "WARNING: ReadTimeoutError: slow\nERROR: No matching distribution found for toy==1\n",
            "cannot be reached",
        ),
    ],
)
def test_why_pip_failed(output: str, words: str) -> None:
    assert words in pip_trouble(output)


def test_what_no_overlay_may_hold() -> None:
    assert all(map(is_forbidden, ("torch", "numpy", "safetensors", "nvidia-cublas-cu12", "triton", "soxr")))
    assert not any(map(is_forbidden, ("torchaudio", "transformers", "onnxruntime")))
