"""Toy families for the overlays: wheels made here, locks with their hashes, the real pip without a network."""

import base64
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from voiced.models.overlay import Family, Here, Overlays
from voiced.models.overlay_install import InstallStep, install

HERE = Here("3.11", "2.13", "linux-x86_64")
NOBODY = "http://127.0.0.1:9"
"""Where nothing listens."""


class Box:
    """A folder with wheels and locks, and the overlays made of them."""

    def __init__(self, root: Path) -> None:
        self.wheels = root / "wheels"
        self.locks = root / "locks"
        self.folder = root / "engines"
        for folder in (self.wheels, self.locks):
            folder.mkdir()
        self.families: dict[str, Family] = {}
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PIP_")
        } | {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_RETRIES": "0",
            "PIP_CACHE_DIR": str(root / "cache"),
        }
        self.here = HERE

    @property
    def overlays(self) -> Overlays:
        return Overlays(self.folder, families=self.families, locks=self.locks, look=lambda: self.here)

    def family(self, family: str, *wheels: Path, adapter: str = "toy", **fields: object) -> None:
        """Make a family known whose lock names these files."""
        fields.setdefault("disk_bytes", 1000)
        self.families[family] = Family("a toy", adapter, **fields)  # type: ignore[arg-type]
        self.lock(family, *wheels)

    def lock(self, family: str, *wheels: Path) -> None:
        lines = []
        for wheel in wheels:
            name, version = wheel.name.removesuffix(".tar.gz").split("-")[:2]
            lines.append(f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{sha256(wheel)}\n")
        (self.locks / f"{family}.lock").write_text("".join(lines))

    def toy(self, version: str = "1.0", *, said: str = "hello") -> Path:
        return self.wheel("toy", version, {"toy.py": f"SAID = {said!r}\n"})

    def wheel(self, name: str, version: str, files: Mapping[str, str], *facts: str) -> Path:
        """Make a wheel; `facts` are lines of its metadata."""
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        path.write_bytes(wheel_bytes(name, version, files, *facts))
        return path

    def source(self, name: str, version: str) -> Path:
        """Make a source distribution that builds itself, with nothing from anywhere."""
        top = f"{name}-{version}"
        wheel = base64.b64encode(wheel_bytes(name, version, {f"{name}.py": "SAID = 'built'\n"})).decode()
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        backend = (
            "import base64, pathlib\n"
            "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
            f"    name = '{top}-py3-none-any.whl'\n"
            f"    pathlib.Path(folder, name).write_bytes(base64.b64decode('{wheel}'))\n"
            "    return name\n"
        )
        path = self.wheels / f"{top}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file, text in (
                ("pyproject.toml", project),
                ("backend.py", backend),
                ("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            ):
                facts = tarfile.TarInfo(f"{top}/{file}")
                facts.size = len(text)
                archive.addfile(facts, io.BytesIO(text.encode()))
        return path

    def install(self, family: str, *, is_forced: bool = False) -> list[InstallStep]:
        return list(install(self.overlays, family, environment=self.environment, is_forced=is_forced))

    def left(self) -> list[str]:
        """What lies in the overlays' folder besides the lock file."""
        return sorted(entry.name for entry in self.folder.iterdir() if entry.name != ".lock")


def wheel_bytes(name: str, version: str, files: Mapping[str, str], *facts: str) -> bytes:
    about = f"{name}-{version}.dist-info"
    metadata = "".join(
        f"{line}\n" for line in ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *facts)
    )
    every = dict(files) | {
        f"{about}/METADATA": metadata,
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: box\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    every[f"{about}/RECORD"] = "".join(f"{file},,\n" for file in (*every, f"{about}/RECORD"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for file, text in every.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return made.getvalue()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
