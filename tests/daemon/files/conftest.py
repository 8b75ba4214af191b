import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import need


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another device."""
    memory = Path("/dev/shm")
    is_there = memory.is_dir() and memory.stat().st_dev != tmp_path.stat().st_dev
    need("devices", is_there, "needs /dev/shm on a device of its own")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)
