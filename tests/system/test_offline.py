"""After the pull nothing asks the network: a model speaks where there is none, and knocks at no door where there is."""

import importlib.util
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.daemon.engines.checkpoints import vits
from tests.daemon.models.hub_server import HubServer, running_hub
from tests.support import DaemonProcess, Home, need

MODEL = "mms:eng"
REPOSITORY = "facebook/mms-tts-eng"
NEEDED = ("torch", "transformers", "safetensors", "huggingface_hub")
WITHOUT_NETWORK = ("unshare", "--net")
"""A network namespace with nothing in it but a loopback interface that is down."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny model as its repository has it."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    need("engines", not lacking, f"not installed: {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("published")
    vits.build(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(published: dict[str, bytes]) -> Iterator[HubServer]:
    with running_hub({REPOSITORY: published}) as running:
        yield running


@pytest.fixture
def pulled(home: Home, hub: HubServer) -> Home:
    """A home into which the model was pulled from the hub, with the command that people use."""
    done = _voiced(
        home, "pull", MODEL, "--accept-licence", "--endpoint", hub.url, HF_HOME=str(home.root / "hf")
    )
    assert done.returncode == 0, done.stderr
    assert hub.sent["model.safetensors"] > 0
    return home


def _voiced(
    home: Home, *arguments: str, before: Sequence[str] = (), **environ: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*before, sys.executable, "-m", "voiced", *arguments],
        env=home.environ | {"NO_PROXY": "*"} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=90,
        check=False,
    )


def _start(home: Home, *before: str, **environ: str) -> DaemonProcess:
    """A daemon that was started by another command."""
    daemon = DaemonProcess(home)
    with daemon.errors.open("ab") as errors:
        daemon.process = subprocess.Popen(
            [*before, sys.executable, "-m", "voiced", "run"],
            env=home.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    return daemon


def _speaks(daemon: DaemonProcess) -> None:
    """It loads the model and speaks with it, as a stream and as a file."""
    daemon.wait_ready()
    with daemon.client(timeout_s=90.0) as client:
        pcm, accepted = client.synthesize("hello there", model=MODEL)
    assert pcm
    assert accepted.model == MODEL
    place = daemon.home.root / "said.wav"
    done = _voiced(daemon.home, "say", "--model", MODEL, "-o", str(place), "hello there")
    assert done.returncode == 0, done.stderr
    with wave.open(str(place)) as sound:
        assert sound.getframerate() == 16000
        assert sound.getnframes() > 0


def test_a_pulled_model_speaks_without_any_network(pulled: Home) -> None:
    is_root = os.getuid() == 0 and shutil.which("unshare") is not None
    need("root", is_root, "needs root and unshare, to be alone in a network namespace")
    told = subprocess.run(
        [*WITHOUT_NETWORK, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True
    )
    assert [line.split(":")[0].strip() for line in told.stdout.splitlines()[2:]] == ["lo"]
    daemon = _start(pulled, *WITHOUT_NETWORK)
    try:
        _speaks(daemon)
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def test_a_pulled_model_knocks_at_no_door(
    pulled: Home, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way to the outside leads to a server that remembers who came: a hub, and a proxy for all else."""
    before = len(hub.asked)
    doors = dict.fromkeys(("HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"), hub.url)
    daemon = _start(pulled, **doors)
    try:
        _speaks(daemon)
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    assert hub.asked[before:] == []


def test_what_was_not_pulled_is_not_fetched_behind_anyones_back(pulled: Home, hub: HubServer) -> None:
    before = len(hub.asked)
    daemon = _start(pulled, HF_ENDPOINT=hub.url)
    try:
        daemon.wait_ready()
        done = _voiced(pulled, "say", "--model", "mms:deu", "-o", "/dev/null", "--format", "wav", "hallo")
        assert done.returncode == 65
        assert b"voiced pull mms:deu" in done.stderr
    finally:
        daemon.kill()
    assert hub.asked[before:] == []


def test_the_network_would_have_been_noticed(hub: HubServer) -> None:
    """The watcher of the test above sees a library that asks: it is not blind."""
    code = "from huggingface_hub import HfApi; HfApi().model_info('owner/name')"
    environ = {"PATH": os.environ["PATH"], "HF_ENDPOINT": hub.url, "HOME": str(Path.home()), "NO_PROXY": "*"}
    subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=60, check=False)
    assert "/api/models/owner/name" in [asked.path for asked in hub.asked]
