"""The folders of voiced: where each thing lies. Nothing is created here.

platformdirs names the places; `VOICED_CONFIG_DIR`, `VOICED_DATA_DIR`, `VOICED_STATE_DIR`, `VOICED_CACHE_DIR` move one
of them, `VOICED_HOME` (the user's own folder, `~/Voiced`) another. `VOICED_ROOT` moves them all below one folder:
a portable installation, the demo, the tests.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Paths(NamedTuple):
    """The folders, absolute."""

    config: Path
    """`voiced.toml`, `lexicon.toml`, `.env`."""
    data: Path
    """Models, voices, engine overlays."""
    state: Path
    """jobs.sqlite, spool, incoming, metrics, log."""
    cache: Path
    """Prompts, prepared weights, the list of voices."""
    home: Path
    """The user's own folder: `Drop`, `Audio`, `Done`, `Failed`."""

    @property
    def config_file(self) -> Path:
        """The settings."""
        return self.config / "voiced.toml"

    @property
    def lexicon_file(self) -> Path:
        """How single words are spoken."""
        return self.config / "lexicon.toml"

    @property
    def database(self) -> Path:
        """The job store."""
        return self.state / "jobs.sqlite"

    @property
    def spool(self) -> Path:
        """A folder for each unfinished job: its text and its plan."""
        return self.state / "spool"

    @property
    def incoming(self) -> Path:
        """Documents that clients hand in."""
        return self.state / "incoming"

    @property
    def log_file(self) -> Path:
        """The rotating log."""
        return self.state / "voiced.log"

    @property
    def models(self) -> Path:
        """The model library: a folder for each model."""
        return self.data / "models"

    @property
    def overlays(self) -> Path:
        """Packages of engine families: a folder for each."""
        return self.data / "engines"

    @property
    def voices(self) -> Path:
        """Voices that were added: a folder for each."""
        return self.data / "voices"

    @property
    def prompts(self) -> Path:
        """The prompt cache."""
        return self.cache / "prompts"

    @property
    def weights(self) -> Path:
        """The weight cache: what loading had to compute."""
        return self.cache / "weights"

    @property
    def lock_file(self) -> Path:
        """Held by the one running daemon; holds its pid."""
        return self.state / "voiced.lock"


def find_paths(environ: Mapping[str, str] | None = None) -> Paths:
    """Return this user's folders."""
    env = os.environ if environ is None else environ
    root = env.get("VOICED_ROOT", "")
    base = _below(Path(root).absolute()) if root else _usual()
    return base._replace(
        **{
            field: Path(value).expanduser().absolute()
            for field in Paths._fields
            if (value := env.get(_VARIABLES[field], ""))
        }
    )


_VARIABLES = {
    "config": "VOICED_CONFIG_DIR",
    "data": "VOICED_DATA_DIR",
    "state": "VOICED_STATE_DIR",
    "cache": "VOICED_CACHE_DIR",
    "home": "VOICED_HOME",
}


def _below(root: Path) -> Paths:
    return Paths(root / "config", root / "data", root / "state", root / "cache", root / "Voiced")


def _usual() -> Paths:
    import platformdirs  # 3 ms that a daemon with VOICED_ROOT and the tests need not spend

    dirs = platformdirs.PlatformDirs("voiced", appauthor=False)
    return Paths(
        dirs.user_config_path,
        dirs.user_data_path,
        dirs.user_state_path,
        dirs.user_cache_path,
        Path.home() / "Voiced",
    )
