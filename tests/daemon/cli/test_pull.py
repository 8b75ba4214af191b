"""`voiced pull` as a process, from a hub on this machine."""

import contextlib
import importlib.util
import json
import os
import pickle
import pty
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli.conftest import Run, Voiced
from tests.daemon.models.hub_server import Fault, HubServer, running_hub
from tests.daemon.models.published import PIPER, VOICE
from tests.support import need, wait_for
from voiced.cli.exits import Exit
from voiced.models.library import Library
from voiced.paths import find_paths

REPOSITORY = "facebook/mms-tts-eng"
WEIGHTS = "model.safetensors"
PULL = ("pull", "mms:eng", "--accept-licence")
# What is not about weights is shown with a voice whose files need no torch to be looked at: a second a pull.
VOICES = "rhasspy/piper-voices"
VOICE_FOLDER = "en/en_US/lessac/low"
VOICE_WEIGHTS = f"{VOICE_FOLDER}/{VOICE}.onnx"
PULL_VOICE = ("pull", PIPER)
NEEDED = ("huggingface_hub", "torch", "safetensors")


def _weights(values: Mapping[str, Any] | None = None, *, size: int = 100_000) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return bytes(save({"w": np.linspace(-1, 1, size, dtype=np.float32), **(values or {})}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, user: Path) -> Iterator[HubServer]:
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    need("engines", not lacking, f"not installed: {', '.join(lacking)}")
    files = {
        "config.json": b"{}",
        "vocab.json": b'{"a": 0}',
        WEIGHTS: _weights(),
        "README.md": b"no",
        "flax.bin": b"no",
    }
    voice = {
        VOICE_WEIGHTS: bytes(range(250)) * 1600,
        f"{VOICE_WEIGHTS}.json": b'{"audio": {"sample_rate": 16000}}',
        f"{VOICE_FOLDER}/MODEL_CARD": b"a card",
        f"{VOICE_FOLDER}/samples/speaker_0.mp3": b"no",
    }
    with running_hub({REPOSITORY: files, VOICES: voice}) as running:
        for name in [name for name in os.environ if name.startswith("HF_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HF_HOME", str(user / "hf"))
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("NO_PROXY", "*")
        yield running


@pytest.fixture
def library(user: Path) -> Library:
    return Library(find_paths().models)


def _is_clean(library: Library) -> bool:
    """Nothing unfinished lies in the library, and nothing begun but what a next pull goes on with."""
    return not [path for path in library.folder.glob(".*") if path.name not in (".lock", ".pulling")]


def _parts(library: Library) -> list[int]:
    return [path.stat().st_size for path in library.folder.glob(".pulling/*/parts/*")]


# -- what it does -------------------------------------------------------------------------------------


def test_a_model_is_fetched_checked_and_installed(
    voiced: Voiced, server: HubServer, library: Library
) -> None:
    done = voiced(*PULL)
    assert done.returncode == Exit.OK, done.stderr
    shown = done.stdout.decode()
    assert "SHA-256" in shown
    assert server.commit(REPOSITORY) in shown
    found = library.check("mms:eng", deep=True)
    assert {path.name for path in found.folder.iterdir()} == {"config.json", "vocab.json", WEIGHTS}
    assert (found.folder / WEIGHTS).read_bytes() == server.repositories[REPOSITORY][WEIGHTS]
    assert (found.manifest.source, found.manifest.revision) == (REPOSITORY, server.commit(REPOSITORY))
    assert _parts(library) == []
    assert _is_clean(library)
    assert b"fetching model.safetensors" in done.stderr
    assert b"not for commercial use" in done.stderr
    for file in found.folder.iterdir():
        about = file.stat()
        assert about.st_mode & 0o777 == 0o600
        assert about.st_nlink == 1  # no second name is left behind
    known = (f"/api/models/{REPOSITORY}/", f"/{REPOSITORY}/resolve/", f"/cdn/{REPOSITORY}/")
    assert [asked.path for asked in server.asked if not asked.path.startswith(known)] == []


def test_what_is_here_is_not_fetched_again(voiced: Voiced, server: HubServer, library: Library) -> None:
    assert voiced(*PULL_VOICE).returncode == Exit.OK
    sent = dict(server.sent)
    done = voiced(*PULL_VOICE)
    assert done.returncode == Exit.OK
    assert b"is here already" in done.stdout
    assert server.sent == sent
    found = library.find(PIPER)
    assert found is not None
    (found.folder / f"{VOICE}.onnx").write_bytes(b"spoilt")
    assert b"is installed" in voiced(*PULL_VOICE).stdout  # damaged: the same revision mends it
    library.check(PIPER, deep=True)


def test_a_newer_revision_replaces_the_older(voiced: Voiced, server: HubServer, library: Library) -> None:
    card = server.repositories[VOICES].pop(f"{VOICE_FOLDER}/MODEL_CARD")
    assert voiced(*PULL_VOICE).returncode == Exit.OK
    server.repositories[VOICES][VOICE_WEIGHTS] = bytes(200_000)
    server.repositories[VOICES][f"{VOICE_FOLDER}/MODEL_CARD"] = card
    done = voiced(*PULL_VOICE)
    assert done.returncode == Exit.OK, done.stderr
    found = library.check(PIPER, deep=True)
    assert found.manifest.revision == server.commit(VOICES)
    assert (found.folder / f"{VOICE}.onnx").read_bytes() == server.repositories[VOICES][VOICE_WEIGHTS]
    assert (found.folder / "MODEL_CARD").exists()
    assert _is_clean(library)


def test_json_lines(voiced: Voiced, server: HubServer) -> None:
    done = voiced(*PULL_VOICE, "--json")
    assert done.returncode == Exit.OK, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    steps = [line["step"] for line in lines]
    assert steps[0] == "begin"
    assert steps[-1] == "done"
    assert set(steps) == {"begin", "fetch", "install", "done"}
    assert {file["file"] for file in lines[0]["files"]} == {
        f"{VOICE}.onnx",
        f"{VOICE}.onnx.json",
        "MODEL_CARD",
    }
    fetched = [line["done_bytes"] for line in lines if line["step"] == "fetch"]
    assert fetched == sorted(fetched)
    assert fetched[-1] == lines[0]["total_bytes"] == sum(file["bytes"] for file in lines[0]["files"])
    assert lines[-1] == {
        "step": "done",
        "model": PIPER,
        "is_new": True,
        "source": VOICES,
        "revision": server.commit(VOICES),
    }
    again = [json.loads(line) for line in voiced(*PULL_VOICE, "--json").stdout.splitlines()]
    assert [(line["step"], line["is_new"]) for line in again] == [("done", False)]


def test_torchs_files_are_converted_and_a_codec_comes_from_its_own_repository(
    voiced: Voiced, server: HubServer, library: Library, tmp_path: Path
) -> None:
    import torch
    from safetensors.numpy import load_file

    torch.save({"w": torch.arange(4.0)}, tmp_path / "codec.bin")
    server.repositories["someone/maya"] = {"quants/m.gguf": b"GGUF" + bytes(5000), "quants/other.gguf": b"no"}
    server.repositories["hubertsiuzdak/snac_24khz"] = {
        "config.json": b"{}",
        "pytorch_model.bin": (tmp_path / "codec.bin").read_bytes(),
    }
    done = voiced("pull", "maya1:gguf", "--repository", "someone/maya", "--file", "quants/m.gguf", timeout=60)
    assert done.returncode == Exit.OK, done.stderr
    found = library.check("maya1:gguf", deep=True)
    names = {str(path.relative_to(found.folder)) for path in found.folder.rglob("*") if path.is_file()}
    assert names == {"m.gguf", "snac/config.json", "snac/pytorch_model.safetensors"}
    assert load_file(found.folder / "snac/pytorch_model.safetensors")["w"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found.manifest.source == "someone/maya:quants/m.gguf, hubertsiuzdak/snac_24khz"
    assert b"voiced engine install maya1-gguf" in done.stdout


# -- licences -----------------------------------------------------------------------------------------


def test_a_licence_that_nobody_can_accept_ends_it_before_anything(
    voiced: Voiced, server: HubServer, library: Library
) -> None:
    done = voiced("pull", "mms:eng")
    assert done.returncode == Exit.DATA
    assert b"CC-BY-NC-4.0" in done.stderr
    assert b"--accept-licence" in done.stderr
    assert server.asked == []
    assert not library.folder.exists()


@pytest.mark.process
@pytest.mark.parametrize(("answer", "code"), [("y", Exit.OK), ("n", Exit.DATA), ("", Exit.DATA)])
def test_a_person_is_asked(server: HubServer, library: Library, answer: str, code: Exit) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "voiced", "pull", "mms:eng"], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = _read_until(ours, b"[y/N]")
        assert b"CC-BY-NC-4.0" in shown
        os.write(ours, answer.encode() + b"\n")
        shown = _read_until(ours, b"never shown")  # to its end: its terminal must not fill up
        assert process.wait(30) == code
    finally:
        os.close(ours)
    assert (library.find("mms:eng") is not None) == (code is Exit.OK)
    assert (b"3 files" in shown) == (code is Exit.OK)  # the bar


def _read_until(descriptor: int, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        if not select.select([descriptor], [], [], 30)[0]:
            raise AssertionError(seen)
        try:
            data = os.read(descriptor, 4096)
        except OSError:  # EIO: the other end is closed
            return seen
        if not data:
            return seen
        seen += data
    return seen


# -- what goes wrong ----------------------------------------------------------------------------------


def test_a_broken_pull_goes_on_where_it_stopped(voiced: Voiced, server: HubServer, library: Library) -> None:
    server.fail(VOICE_WEIGHTS, Fault(cut_after=150_000))
    broken = voiced(*PULL_VOICE, "--tries", "1")
    assert broken.returncode == Exit.DATA
    assert b"the same `voiced pull` tries again" in broken.stderr
    assert library.find(PIPER) is None
    assert 150_000 in _parts(library)
    done = voiced(*PULL_VOICE)
    assert done.returncode == Exit.OK, done.stderr
    assert b"are here already" in done.stderr
    assert server.sent[VOICE_WEIGHTS] == len(server.repositories[VOICES][VOICE_WEIGHTS])
    assert server.sent[f"{VOICE_FOLDER}/MODEL_CARD"] == 6
    library.check(PIPER, deep=True)


def test_a_connection_that_breaks_is_mended_without_a_word_from_the_user(
    voiced: Voiced, server: HubServer, library: Library
) -> None:
    server.fail(VOICE_WEIGHTS, Fault(cut_after=150_000))
    server.fail("api", Fault(503, {"Retry-After": "0"}))
    done = voiced(*PULL_VOICE)
    assert done.returncode == Exit.OK, done.stderr
    assert b"trying again in 1 s" in done.stderr
    assert server.sent[VOICE_WEIGHTS] == len(server.repositories[VOICES][VOICE_WEIGHTS])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_stopped_pull_keeps_what_came(
    voiced: Voiced, server: HubServer, library: Library, number: int, code: int
) -> None:
    server.fail(WEIGHTS, Fault(hold_after=131_072))
    with _started(*PULL) as process:
        wait_for(lambda: 131_072 in _parts(library), what="the first part")
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert b"goes on from there" in errors
    assert b"Traceback" not in errors
    assert 131_072 in _parts(library)
    assert library.find("mms:eng") is None
    server.fail(WEIGHTS, Fault(404))  # that it goes on there is enough to know
    voiced(*PULL)
    assert "bytes=131072-" in [asked.range for asked in server.asked]


@contextlib.contextmanager
def _started(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "voiced", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_pulls_of_one_model_do_not_meet(voiced: Voiced, server: HubServer, library: Library) -> None:
    server.fail(VOICE_WEIGHTS, Fault(hold_after=131_072))
    with _started(*PULL_VOICE) as process:
        wait_for(lambda: 131_072 in _parts(library), what="the first part")
        second = voiced(*PULL_VOICE)
        assert second.returncode == Exit.DATA
        assert b"another `voiced pull`" in second.stderr
        server.release.set()
        process.communicate(timeout=30)
    assert process.returncode == Exit.OK
    library.check(PIPER, deep=True)


def test_a_full_disk_keeps_what_came(voiced: Voiced, server: HubServer, library: Library) -> None:
    """A limit on the size of files stands for the disk: the write itself fails, as with ENOSPC."""
    limit = 200_000
    full = voiced(*PULL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert full.returncode == Exit.INPUT_OUTPUT
    assert b"make room" in full.stderr
    assert b"Traceback" not in full.stderr
    assert limit in _parts(library)
    assert library.find("mms:eng") is None
    server.fail(WEIGHTS, Fault(404))
    voiced(*PULL)
    assert f"bytes={limit}-" in [asked.range for asked in server.asked]


def test_a_model_larger_than_the_disk_is_not_begun(
    voiced: Voiced, server: HubServer, library: Library
) -> None:
    lfs = {"oid": "a" * 64, "size": 10**18, "pointerSize": 1}
    server.extra_entries = [
        {"type": "file", "oid": "b" * 40, "size": 10**18, "path": "x.safetensors", "lfs": lfs}
    ]
    done = voiced(*PULL)
    assert done.returncode == Exit.INPUT_OUTPUT
    assert b"1000000000." in done.stderr
    assert server.sent == {}


def test_wrong_bytes_are_refused_and_named(voiced: Voiced, server: HubServer, library: Library) -> None:
    server.fail(WEIGHTS, Fault(wrong=_weights(size=99_999) + bytes(4)))
    done = voiced(*PULL)
    assert done.returncode == Exit.DATA
    assert b"model.safetensors of facebook/mms-tts-eng does not have the checksum" in done.stderr
    assert library.find("mms:eng") is None
    assert len(server.repositories[REPOSITORY][WEIGHTS]) not in _parts(library)


class _Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/voiced-must-not-exist",)


@pytest.mark.parametrize("kind", ["no number", "truncated"])
def test_bad_weights_leave_the_older_model_as_it_was(
    voiced: Voiced, server: HubServer, library: Library, kind: str
) -> None:
    """The hub's checksum holds, the content is refused: what was installed stays."""
    import numpy as np

    assert voiced(*PULL).returncode == Exit.OK
    before = library.check("mms:eng", deep=True)
    server.repositories[REPOSITORY][WEIGHTS] = (
        _weights({"bad": np.array([1.0, np.nan], np.float32)}) if kind == "no number" else _weights()[:-8]
    )
    done = voiced(*PULL)
    assert done.returncode == Exit.DATA
    assert b"nothing was installed" in done.stderr
    assert b".pulling" in done.stderr
    assert library.check("mms:eng", deep=True) == before
    assert _is_clean(library)


def test_a_pickle_with_a_command_runs_nothing(voiced: Voiced, server: HubServer, library: Library) -> None:
    server.repositories["someone/maya"] = {"m.gguf": b"GGUF" + bytes(100)}
    server.repositories["hubertsiuzdak/snac_24khz"] = {
        "config.json": b"{}",
        "pytorch_model.bin": pickle.dumps({"w": _Command()}),
    }
    done = voiced("pull", "maya1:gguf", "--repository", "someone/maya", "--file", "m.gguf", timeout=60)
    assert done.returncode == Exit.DATA
    assert not Path("/tmp/voiced-must-not-exist").exists()
    assert library.find("maya1:gguf") is None
    assert _is_clean(library)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nothing",), Exit.DATA, "voiced models --all"),
        (("espeak",), Exit.DATA, "nothing to pull"),
        (("maya1:gguf",), Exit.DATA, "--repository OWNER/NAME"),
        (("kokoro", "--repository", "a/b", "--file", "c"), Exit.DATA, "hexgrad/Kokoro-82M"),
        (("kokoro", "--tries", "0"), Exit.USAGE, "from 1 to 100"),
        (("kokoro",), Exit.DATA, "no open repository hexgrad/Kokoro-82M"),
        (("mms:eng", "--accept-licence", "--revision", "v7"), Exit.DATA, "no such revision"),
        (("mms:eng", "--accept-licence", "--endpoint", "hub"), Exit.DATA, "https://HOST"),
        (
            ("mms:eng", "--accept-licence", "--endpoint", "http://127.0.0.1:1", "--tries", "1"),
            Exit.DATA,
            "check the network",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    voiced: Voiced, server: HubServer, arguments: tuple[str, ...], code: Exit, words: str
) -> None:
    done = voiced("pull", *arguments)
    assert done.returncode == code, done.stderr
    assert words.encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_closed_repository_says_how_to_open_it(
    voiced: Voiced, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.gated.add(VOICES)
    done = voiced(*PULL_VOICE)
    assert done.returncode == Exit.DATA
    assert f"accept it on {server.url}/{VOICES}".encode() in done.stderr
    assert b"HF_TOKEN" in done.stderr
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    done = voiced(*PULL_VOICE)
    assert done.returncode == Exit.OK, done.stderr
    assert b"hf_secret" not in done.stdout + done.stderr


def test_without_a_hub_client_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "voiced.models.hub", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    ran = run(*PULL)
    assert ran.code == Exit.DATA
    assert "pip install 'voiced[models]'" in ran.err


@pytest.mark.process
def test_nobody_else_imports_the_hubs_client() -> None:
    code = (
        "import sys, voiced.app, voiced.daemon, voiced.workers.spawn, voiced.models.library, voiced.cli.pull\n"
        "print([name for name in ('huggingface_hub', 'httpx2', 'torch', 'voiced.models.hub') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
