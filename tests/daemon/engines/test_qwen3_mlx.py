"""Qwen3-TTS through mlx-audio: where its packages are; MLX runs on a Linux CPU too, slowly."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.daemon.child.helpers import Child, start_worker
from tests.daemon.engines.test_qwen3_tts import recorded, voice_of
from tests.overlays import overlay_of

pytestmark = pytest.mark.process


BUILD_S = 110.0
TEXT = "Hi."


@pytest.fixture(scope="session")
def overlay() -> Path:
    return overlay_of("qwen3-mlx", "mlx")


def built(folder: Path, kind: str) -> Path:
    """A checkpoint; the packages of the engine on torch write it."""
    packages = overlay_of("qwen3-tts", "mlx")
    options = ["--wide", "--size", "1.7b", "--kind", kind, "--ends", "0"]
    subprocess.run(
        [sys.executable, "-m", "tests.daemon.engines.checkpoints.qwen3_tts", str(folder), *options],
        env=os.environ | {"PYTHONPATH": str(packages)},
        timeout=BUILD_S,
        check=True,
    )
    settings = folder / "generation_config.json"
    # A frame takes a second on a CPU.
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"max_new_tokens": 5}))
    return folder


def load(child: Child, folder: Path) -> dict[str, Any]:
    child.link.settimeout(100)
    return child.load(engine="qwen3-mlx", family="qwen3-mlx", model="qwen3-tts:0.6b", folder=str(folder))


def test_without_its_packages_the_remedy_is_named(tmp_path: Path) -> None:
    with start_worker() as child:
        answer = load(child, tmp_path)
        assert answer["type"] == "refused"
        assert "voiced engine install qwen3-mlx" in answer["message"]


def test_named_speakers(overlay: Path, tmp_path: Path) -> None:
    folder = built(tmp_path / "model", "custom_voice")
    with start_worker(overlay=overlay) as child:
        ready = load(child, folder)
        assert ready["type"] == "ready", ready
        identity = {"model": "qwen3-tts:1.7b", "kind": "custom_voice", "width": "64", "code": "mlx-1"}
        assert ready["identity"].items() >= identity.items()
        usual = child.speak(1, TEXT)
        assert usual.end["type"] == "done"
        assert np.frombuffer(usual.audio[0], "<i2").any()
        assert child.speak(2, TEXT, seed=2).audio[0] != usual.audio[0]
        assert child.speak(3, TEXT).audio[0] == usual.audio[0]
        assert child.speak(4, TEXT, voice="nobody").end["code"] == "unknown-voice"
        child.ask(5, "Other words.", "More of them.")
        assert child.receive()[0]["type"] == "audio"
        child.send(type="cancel", task=5)
        assert child.answer(5).end["type"] == "cancelled"
        assert child.speak(6, TEXT).audio[0] == usual.audio[0]


def test_a_cloned_voice(overlay: Path, tmp_path: Path) -> None:
    folder = built(tmp_path / "model", "base")
    recording = recorded(tmp_path / "low.wav", 120)
    with start_worker(overlay=overlay) as child:
        assert load(child, folder)["type"] == "ready"
        assert child.speak(1, TEXT).end["code"] == "invalid-request"
        usual = child.speak(2, TEXT, prompt=voice_of(recording, "low"))
        assert usual.end["type"] == "done"
        assert usual.audio[0]
        other = voice_of(recorded(tmp_path / "high.wav", 300), "high")
        assert child.speak(3, TEXT, prompt=other).audio[0] != usual.audio[0]
        assert child.speak(4, TEXT, prompt=voice_of(recording, "low")).audio[0] == usual.audio[0]
