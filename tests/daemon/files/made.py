"""Files made for a test, and the names in a folder."""

from pathlib import Path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, text: str = "text") -> Path:
    path.write_text(text)
    return path
