"""Where the packages of the engine families lie: VOICED_TEST_ENGINES names a folder with one folder for each."""

import os
from pathlib import Path

from tests.support import need

# Read before the fixture that clears it for each test.
ENGINES = os.environ.get("VOICED_TEST_ENGINES", "")


def find_overlay(family: str) -> Path | None:
    """Return the folder of a family's packages, None where there is none."""
    folder = Path(ENGINES) / family
    return folder if ENGINES and folder.is_dir() else None


def overlay_of(family: str, group: str = "engines") -> Path:
    """Return the folder of a family's packages; skips where there is none.

    Args:
        family: Whose.
        group: What must be required for its absence to be a failure.
    """
    folder = find_overlay(family)
    need(group, folder is not None, f"VOICED_TEST_ENGINES names no folder with the packages of {family}")
    assert folder is not None
    return folder
