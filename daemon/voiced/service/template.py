"""The templates of units and agents, and the program that they are to start."""

import os
import sys
import sysconfig
from pathlib import Path

from voiced.service.host import ServiceError


def find_program() -> Path:
    """Return the `voiced` of this installation.

    Raises:
        ServiceError: If there is none, as when it runs from a folder of sources.
    """
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", "posix_user")):
        program = Path(folder) / "voiced"
        if os.access(program, os.X_OK):
            return program
    raise ServiceError(
        f"no program `voiced` belongs to {sys.executable}: install it with `pip install voiced`"
    )


def read_template(kind: str, name: str) -> bytes:
    """Return a file of the distribution's folder `kind`: of the checkout where this is one, else of its shared data.

    Raises:
        ServiceError: If the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    folders = [Path(sysconfig.get_path("data", scheme)) / "share/voiced" for scheme in _schemes()]
    if package.parent.name == "daemon":
        folders.insert(
            0, package.parents[1]
        )  # the copies of an editable install may be older than the checkout
    for folder in folders:
        file = folder / kind / name
        if file.is_file():
            return file.read_bytes()
    raise ServiceError(f"the installation lacks {kind}/{name}: install voiced again")


def _schemes() -> tuple[str, str]:
    return sysconfig.get_default_scheme(), "posix_user"
