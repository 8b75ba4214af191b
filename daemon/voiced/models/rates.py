"""The sample rate of an installed model, where its own files tell another than the catalogue."""

import json
from pathlib import Path

from voiced.models.spec import ModelSpec

_MAX_BYTES = 1 << 22
_LOWEST_HZ, _HIGHEST_HZ = 8000, 192_000


def with_own_rate(spec: ModelSpec, folder: Path) -> ModelSpec:
    """Return what is known of a model with the rate that its files tell; streams announce it before it is loaded.

    Args:
        spec: The model.
        folder: Its files.
    """
    if spec.engine == "piper":
        found = [_number(file, "audio", "sample_rate") for file in sorted(folder.glob("*.onnx.json"))[:1]]
    elif spec.engine == "vits":
        found = [_number(folder / "config.json", "sampling_rate")]
    else:
        found = []
    rate = next((rate for rate in found if _LOWEST_HZ <= rate <= _HIGHEST_HZ), spec.sample_rate_hz)
    return spec._replace(sample_rate_hz=rate)


def _number(file: Path, *path: str) -> int:
    """What stands at a place of a JSON file; 0 = no number, the load then says what is wrong with it."""
    try:
        with file.open("rb") as opened:
            value = json.loads(opened.read(_MAX_BYTES))
        for name in path:
            value = value[name]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
