"""Computed weights kept over loads: used while they are whole, made anew where they are not."""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import need
from voiced.models.weight_cache import WeightCache, installed_torch

if TYPE_CHECKING:
    from voiced.engines.kept import Kept

need_torch = (
    importlib.util.find_spec("torch") is not None and importlib.util.find_spec("safetensors") is not None
)
KEY = "a" * 64


class Loader:
    """An engine that keeps three numbers."""

    def __init__(self, folder: Path) -> None:
        need("engines", need_torch, "torch and safetensors are not installed: pip install 'voiced[models]'")
        self.folder = folder
        self.made = 0

    def load(self, key: str = KEY, folder: Path | None = None) -> "Kept":
        from voiced.engines.kept import kept

        return kept(folder or self.folder, key, "some-model", self._make)

    def _make(self) -> dict[str, Any]:
        import torch

        self.made += 1
        return {"w": torch.arange(3, dtype=torch.bfloat16), "t": torch.arange(6).reshape(2, 3).T}


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path / "weights")


def check(found: "Kept", *, is_hit: bool) -> None:
    assert found.is_hit is is_hit
    assert found.tensors["w"].tolist() == [0, 1, 2]
    assert found.tensors["t"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_made_once_then_read(loader: Loader) -> None:
    check(loader.load(), is_hit=False)
    check(loader.load(), is_hit=True)
    assert loader.made == 1
    assert sorted(path.suffix for path in loader.folder.iterdir()) == [".json", ".safetensors"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in loader.folder.iterdir())


def test_the_daemon_sees_it(loader: Loader) -> None:
    cache = WeightCache(loader.folder, 1 << 20)
    cache.look()
    loader.load()
    cache.look()
    assert tuple(cache.tally) == (0, 1, "first use")
    os.utime(loader.folder / f"{KEY}.json", (1.0, 1.0))  # long ago
    loader.load()
    cache.look()
    assert tuple(cache.tally) == (1, 1, "first use")
    assert cache.index.entries[0].model == "some-model"
    assert installed_torch()


@pytest.mark.parametrize("change", ["flip", "cut", "text", "gone"])
def test_damage_is_made_good(loader: Loader, change: str) -> None:
    loader.load()
    path = loader.folder / f"{KEY}.safetensors"
    data = bytearray(path.read_bytes())
    if change == "gone":
        path.unlink()
    else:
        data[-1] ^= 1
        path.write_bytes({"flip": bytes(data), "cut": bytes(data[:-1]), "text": b"This is no model."}[change])
        os.utime(path, (1.0, 1.0))
    check(loader.load(), is_hit=False)
    check(loader.load(), is_hit=True)
    assert loader.made == 2


def test_a_copied_file_is_read_after_its_checksum(loader: Loader) -> None:
    loader.load()
    path = loader.folder / f"{KEY}.safetensors"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    check(loader.load(), is_hit=True)


def test_another_torch_is_made_anew(loader: Loader) -> None:
    loader.load()
    facts = loader.folder / f"{KEY}.json"
    facts.write_text(facts.read_text().replace(installed_torch(), "1.0"))
    check(loader.load(), is_hit=False)


def test_nothing_is_kept_without_a_folder_or_where_it_cannot_be_written(
    loader: Loader, tmp_path: Path
) -> None:
    from voiced.engines.kept import kept

    assert not kept(None, KEY, "some-model", loader._make).is_hit
    (tmp_path / "weights").write_text("in the way")
    check(loader.load(), is_hit=False)
    assert (tmp_path / "weights").read_text() == "in the way"


def test_keys(loader: Loader) -> None:
    from voiced.engines.kept import weights_key

    parts = {"file": "1", "precision": "int8"}
    assert weights_key(parts) == weights_key(dict(reversed(parts.items())))
    assert (
        len({weights_key(parts), weights_key(parts | {"file": "2"}), weights_key({"file": "1precision"})})
        == 3
    )
