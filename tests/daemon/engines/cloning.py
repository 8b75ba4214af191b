"""What the tests of cloning engines share: overlays, recordings, voices as a worker is given them, spoiled files."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

_REPOSITORY = Path(__file__).parents[3]
RUN_S = 200.0
RATE_HZ = 24000


def run_with(overlay: Path, module: str, *arguments: object) -> str:
    """Run one of our modules with an overlay on its path; return what it printed."""
    # The repository first: some packages install a folder `tests` of their own.
    environ = os.environ | {"PYTHONPATH": f"{_REPOSITORY}{os.pathsep}{overlay}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        env=environ,
        timeout=RUN_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def record(path: Path, hz: float = 140.0, seconds: float = 6.0) -> Path:
    """A hum that gets loud and soft as syllables do."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    hum = sum(np.sin(2 * np.pi * hz * overtone * time_s) / overtone for overtone in range(1, 8))
    soundfile.write(path, 0.2 * hum * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time_s)), RATE_HZ)
    return path


def voice(*recordings: Path, transcript: str = "What is said.") -> dict[str, Any]:
    """A voice as a `speak` frame carries it; nothing is kept on the disk."""
    references = [
        {
            "path": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "transcript": transcript,
        }
        for path in recordings
    ]
    key = hashlib.sha256("".join(one["sha256"] for one in references).encode()).hexdigest()
    return {"key": key, "file": "", "references": references}


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Put a changed safetensors file in the place of one."""
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(tensors)
    file.unlink()
    save_file(tensors, file)


Spoil = Callable[[Path], object]


def take(name: str) -> Spoil:
    """A file is not there."""
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Spoil:
    """A file ends in its middle."""

    def half(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(whole[: len(whole) // 2])

    return half


def lose(name: str, weight: str) -> Spoil:
    """A file has a weight less."""
    return lambda folder: rewrite(folder / name, lambda tensors: tensors.pop(weight))


def misshape(name: str, weight: str) -> Spoil:
    """A file has a weight of another shape."""
    return lambda folder: rewrite(
        folder / name, lambda tensors: tensors.update({weight: tensors[weight][..., :-1].contiguous()})
    )


def refusals(
    overlay: Path, engine: tuple[str, str], folder: Path, spoils: Mapping[str, Spoil], room: Path
) -> dict[str, tuple[str, str]]:
    """Load spoiled copies of a model; return code and message of each refusal."""
    copies = []
    for number, spoil in enumerate(spoils.values()):
        # Links: a file is replaced and never written into.
        shutil.copytree(folder, room / str(number), copy_function=os.link)
        spoil(room / str(number))
        copies.append(room / str(number))
    printed = json.loads(run_with(overlay, "tests.daemon.engines.load_each", *engine, *copies))
    return {name: (code, message) for name, (code, message) in zip(spoils, printed, strict=True)}
