"""Files of a scribe that are on the disk when they are there."""

import os
from pathlib import Path

from voiced.files.atomic import fsync_folder
from voiced.files.names import unfinished


def write_durably(folder: Path, files: dict[str, bytes]) -> None:
    """Write files whole or not at all, in their order."""
    for name, content in files.items():
        temporary = unfinished(folder / name)
        temporary.unlink(missing_ok=True)  # left over from a crash
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(folder / name)
    fsync_folder(folder)
