"""Checkpoints with random weights for a measurement, as an import leaves them, and the packages that they need."""

from pathlib import Path
from typing import NamedTuple

from tests.daemon.engines.checkpoints import converted
from tests.system.installed import build


class Checkpoint(NamedTuple):
    """A model on disk, ready to be loaded."""

    what: str
    """Its name and size, for a row."""
    engine: str
    model: str
    precision: str
    folder: Path
    overlay: Path | None

    is_real: bool = True
    """Of a published model's widths."""

    @property
    def weights_bytes(self) -> int:
        """All its weights, those of its codec too; not its voices."""
        return sum(
            file.stat().st_size for file in self.folder.rglob("*.safetensors") if "voices" not in str(file)
        )


def absence(family: str) -> str:
    """Return why what needs a family is not measured."""
    return f"VOICED_TEST_ENGINES names no folder with the packages of {family}"


def qwen(root: Path, overlay: Path, kind: str, *, is_real: bool) -> Checkpoint:
    """Return Qwen3-TTS 0.6B, of real widths (2.8 GB, a minute) or of tiny ones.

    Args:
        root: Where its folder is made.
        overlay: With its packages.
        kind: `base` or `custom_voice`.
        is_real: Of real widths.
    """
    arguments = ["--kind", kind, *(["--real"] if is_real else [])]
    folder = build("qwen3_tts", root / "qwen", *arguments, overlay=overlay)
    model = "qwen3-tts:0.6b" + ("" if kind == "base" else "-speakers")
    what = "Qwen3-TTS 0.6B" + ("" if is_real else ", tiny")
    return Checkpoint(what, "qwen3-tts", model, "bf16", folder, overlay, is_real)


def kokoro(root: Path, overlay: Path) -> Checkpoint:
    """Return Kokoro, of the only widths that it has: 327 MB."""
    folder = converted(build("kokoro", root / "kokoro", overlay=overlay))
    return Checkpoint("Kokoro", "kokoro", "kokoro", "fp32", folder, overlay)
